"""Images of any kind as pixels: files, their bytes, PIL images, arrays and tensors."""

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from striate.data.arrays import Layout, pixel_batch
from striate.data.images.decode import UndecodableError, upright
from striate.data.images.named import images_named
from striate.data.images.prepare import prepare
from striate.errors import ArgumentError, DataError
from striate.preprocess import Preprocess

AnyImage: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor"
"""One image: a file's path or content, a PIL image, or an array or tensor (H, W), (H, W, C) or (C, H, W)."""

_FILES = (str, os.PathLike, bytes, bytearray, memoryview)


def each_image(images: "AnyImage | Iterable[AnyImage]", layout: Layout | None = None) -> list[AnyImage]:
    """List the images given: one, several, or a batch (four dimensions, or layout "NHW").

    A path may be that of a folder, which stands for all images below it, or a pattern such as "photos/*.jpg".

    Raises:
        ArgumentError: for anything else, an address, a folder without images, or a pattern that matches nothing.
    """
    if isinstance(images, np.ndarray | Tensor):
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


def prepare_any(image: AnyImage, preprocess: Preprocess, layout: Layout | None = None) -> np.ndarray:
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
    if not isinstance(image, np.ndarray | Tensor):
        raise ArgumentError(
            f"an image of type {type(image).__name__}: expected a path, bytes, a PIL image, an array or a tensor."
        )
    try:
        return preprocess.conform_all(pixel_batch(image[None], layout))[0].numpy()
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
