"""Experiments on pooling: across pixels and across channels."""
