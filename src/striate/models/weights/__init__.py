"""Weights: files of them, and how they are loaded into models."""
