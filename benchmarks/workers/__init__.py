"""One file a peer. Each runs in its own environment, where Striate is not installed, and imports nothing of it."""
