"""Acceleration: faster convolutions, batches sharded over CPU cores, and bfloat16 where it is faster."""

from striate.acceleration.precision import fastest, supported

__all__ = [
    "fastest",
    "supported",
]
