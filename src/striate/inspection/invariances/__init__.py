"""Invariance of a network under shifts, rotations and other changes of its images."""
