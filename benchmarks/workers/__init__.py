"""Worker programs, one module a peer; each runs in its own environment, without Striate, and imports nothing of it."""
