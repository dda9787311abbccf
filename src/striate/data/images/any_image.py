"""Images of any kind as pixels: files, their bytes, PIL images, arrays and tensors."""

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from striate.data.images.decode import UndecodableError, decode, upright
from striate.data.images.named import images_named
from striate.data.images.prepare import enough_for, prepare
from striate.errors import ArgumentError, DataError
from striate.preprocess import Preprocess

if TYPE_CHECKING:  # exported files are asked about images without it
    from torch import Tensor

    from striate.data.arrays import Layout

AnyImage: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor"
"""One image: a file's path or content, a PIL image, or an array or tensor (H, W), (H, W, C) or (C, H, W)."""

_FILES = (str, os.PathLike, bytes, bytearray, memoryview)


def each_image(images: "AnyImage | Iterable[AnyImage]", layout: "Layout | None" = None) -> list[AnyImage]:
    """List the images given: one, several, or a batch (four dimensions, or layout "NHW").

    A path may be that of a folder, which stands for all images below it, or a pattern such as "photos/*.jpg".

    Raises:
        ArgumentError: for anything else, an address, a folder without images, or a pattern that matches nothing.
    """
    if _is_array(images):
        return list(images) if images.ndim == 4 or (layout == "NHW" and images.ndim == 3) else [images]
    if isinstance(images, str | os.PathLike):
        return list(images_named(images))
    if isinstance(images, (*_FILES, Image.Image)):
        return [images]  # type: ignore[list-item]
    if not isinstance(images, Iterable):
        raise ArgumentError(
            f"an image of type {type(images).__name__}: expected a path, bytes, a PIL image, an array or a tensor."
        )
    return [
        image
        for given in images
        for image in (images_named(given) if isinstance(given, str | os.PathLike) else [given])
    ]


def prepare_any(image: AnyImage, preprocess: Preprocess, layout: "Layout | None" = None) -> np.ndarray:
    """Decode or convert one image of any kind and resize it.

    Args:
        image: see `AnyImage`. Integers are intensities in 0 … 255, floating-point numbers in 0 … 1.
        preprocess: the size, the channels and the fit.
        layout: of arrays and tensors, that of a batch of them: "NHW", "NHWC" or "NCHW"; needed only where the
            shape could mean two of them.

    Returns:
        uint8 (height, width, channels).

    Raises:
        ArgumentError: for another type, or a shape that could mean two layouts.
        UndecodableError: if the image is damaged, cut off or too large, no image at all, or has values out of range.
    """
    if isinstance(image, str | os.PathLike):
        return prepare(image, preprocess)
    if isinstance(image, bytes | bytearray | memoryview):
        return prepare(bytes(image), preprocess)
    if isinstance(image, Image.Image):
        return preprocess.conform_picture(upright(image))
    return preprocess.conform(_pixels(image, layout))


def decode_any(image: AnyImage, preprocess: Preprocess, layout: "Layout | None" = None) -> np.ndarray:
    """Decode or convert one image of any kind, at its own size: uint8 (height, width, 1 or 3).

    A JPEG much larger than `preprocess` needs is decoded at a reduced scale, as `prepare_any` does. The other arguments
    and the errors are those of `prepare_any`.
    """
    if isinstance(image, str | os.PathLike):
        return decode(image, enough_for(preprocess))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(bytes(image), enough_for(preprocess))
    return upright(image) if isinstance(image, Image.Image) else _pixels(image, layout)


def _is_array(image: object) -> "TypeGuard[np.ndarray | Tensor]":
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    return isinstance(image, np.ndarray) or (torch is not None and isinstance(image, torch.Tensor))


def _pixels(image: object, layout: "Layout | None") -> np.ndarray:
    if not _is_array(image):
        raise ArgumentError(
            f"an image of type {type(image).__name__}: expected a path, bytes, a PIL image, an array or a tensor."
        )
    from striate.data.arrays import pixel_batch

    try:
        return pixel_batch(image[None], layout)[0].numpy()
    except DataError as error:
        raise UndecodableError(str(error).rstrip("."), b"") from error


def name_of(image: AnyImage, number: int) -> str:
    """The name of an image in results: its path, or its number among those given."""
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    return str(getattr(image, "filename", "") or f"image {number}")


def stem_of(image: Any) -> str:
    """The name of files made for an image: its file's name without the suffix, or "image"."""
    name = image if isinstance(image, str | os.PathLike) else getattr(image, "filename", "")
    return os.path.splitext(os.path.basename(os.fspath(name)))[0] or "image"
