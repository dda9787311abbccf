"""Experiments that show what pooling does."""
