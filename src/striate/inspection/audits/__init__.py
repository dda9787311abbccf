"""Audit of a data set: copies, labels that are probably wrong, images that belong to no class or show little."""
