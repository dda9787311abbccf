"""Acceleration: faster convolutions, batches sharded over CPU cores, and bfloat16 where it pays."""

from striate.acceleration.precision import supported, usual

__all__ = [
    "supported",
    "usual",
]
