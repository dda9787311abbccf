"""Receptive fields by interval arithmetic through any network."""
