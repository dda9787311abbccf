"""Striate and its peers, side by side: `make bench`. README.md says what is timed, and how."""
