"""Pictures resized by PyTorch: with AVX2 sooner than by Pillow, and those in colour from Pillow's own memory, uncopied.

Pillow hands out its memory by the Arrow C data interface (https://arrow.apache.org/docs/format/CDataInterface.html):
an array of lists, one a pixel, of four bytes; the last means nothing.
"""

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # the processes that decode small images do without it where they can, and start ten times as fast
    import torch

_LARGE = 2**21  # pixels: Pillow keeps twice as many in one piece


def resized(picture: Image.Image, width: int, height: int) -> np.ndarray:
    """A picture of another size, by the bilinear filter, which is anti-aliased when it shrinks.

    A large one is left to Pillow, so that there is no second copy of it; the levels of both differ by one at most.

    Args:
        picture: in mode L or RGB.
        width, height: in pixels.

    Returns:
        uint8 (height, width, 1 or 3).
    """
    if picture.width * picture.height > _LARGE:
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, -1)
    from torch.nn import functional as F

    capsule = _capsule(picture)  # owns the pixels
    # A batch of one is channels-last to PyTorch only if it is one before the channels come first.
    pixels = _pixels(picture, capsule).view(1, picture.height, picture.width, -1).permute(0, 3, 1, 2)
    scaled = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    rows = scaled.permute(0, 2, 3, 1).contiguous().numpy()[0]
    if capsule is None:
        return rows
    packed = Image.frombuffer("RGBX", (width, height), rows, "raw", "RGBX", 0, 1).tobytes("raw", "RGB")
    return np.frombuffer(packed, dtype=np.uint8).reshape(height, width, 3)


def _capsule(picture: Image.Image) -> object | None:
    """Pillow's memory of a picture in colour, or None where it is in several pieces."""
    try:
        return picture.__arrow_c_array__()[1] if picture.mode == "RGB" else None
    except ValueError:
        return None


def _pixels(picture: Image.Image, capsule: object | None) -> "torch.Tensor":
    import torch

    if capsule is None:
        return torch.from_numpy(np.array(picture))
    array = _Array.from_address(_pointer(capsule, b"arrow_array"))
    memory = (ctypes.c_uint8 * (picture.width * picture.height * 4)).from_address(array.children[0].contents.buffers[1])
    return torch.frombuffer(memory, dtype=torch.uint8)


class _Array(ctypes.Structure):
    """Arrow's `struct ArrowArray`."""


_Array._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    *((name, ctypes.c_void_p) for name in ("dictionary", "release", "private_data")),
]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
