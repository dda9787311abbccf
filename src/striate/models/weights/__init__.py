"""Weights: reading their files, adapting them to a model, and loading them."""
