"""Preprocessing of images of any size into network input, the same for training, evaluation and prediction."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from PIL import Image

from striate.errors import ArgumentError, ShapeError
from striate.resizing import (
    INTERPOLATIONS,
    Interpolation,
    Picture,
    picture_of,
    pixels_of,
    resized,
    resized_together,
)

if TYPE_CHECKING:  # the processes that decode images do without it, and start ten times as fast
    import torch

Fit = Literal["crop", "letterbox", "stretch"]
Resize = Callable[[Picture, int, int, Interpolation], np.ndarray]
FITS: tuple[Fit, ...] = ("crop", "letterbox", "stretch")

_CACHED = 2**18  # values
_TOGETHER = 2**22  # bytes of images that are resized by one call
_SMALL = 64 * 64  # pixels of images that are added up as a whole, and not row by row
_EXACT = 2**16  # squares of as many pixel values add up to less than 2**32


@dataclass(frozen=True)
class Preprocess:
    """Resizing and normalisation of images to network input; saved with every set of weights.

    Args:
        height, width: the network's input, in pixels.
        channels: 1 (grey) or 3 (red, green, blue).
        fit: the treatment of other aspect ratios. "letterbox" keeps the whole image and pads with black, "crop" keeps
            the aspect ratio and cuts the longer side, "stretch" keeps the whole image and not the aspect ratio.
        mean, std: one value a channel, in units where black is 0 and full intensity 1.
        crop: the share of the shorter side that "crop" keeps, in (0, 1]: 0.875 resizes the shorter side to 256 pixels
            for an input of 224, and cuts the middle out, as most published weights expect. An image that has the
            input's size already stays as it is.
        interpolation: "bilinear" or "bicubic", anti-aliased where an image shrinks.

    >>> preprocess = striate.Preprocess(height=32, width=32, channels=1, mean=(0.5,), std=(0.5,))
    >>> black = torch.zeros(1, 32, 32, 1, dtype=torch.uint8)
    >>> preprocess.normalize(black).shape, preprocess.normalize(black).min().item()
    (torch.Size([1, 1, 32, 32]), -1.0)
    """

    height: int
    width: int
    channels: int
    fit: Fit = "letterbox"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ShapeError(f"image size {self.height}×{self.width}: both sides must be at least 1 pixel.")
        if self.channels not in (1, 3):
            raise ShapeError(f"channels={self.channels}: use 1 (grey) or 3 (colour).")
        if self.fit not in FITS:
            raise ArgumentError(f"fit='{self.fit}': use one of {', '.join(FITS)}.")
        if not 0 < self.crop <= 1:
            raise ArgumentError(f"crop={self.crop}: a share of the shorter side, above 0 and at most 1.")
        if self.crop != 1 and self.fit != "crop":
            raise ArgumentError(f"crop={self.crop} with fit='{self.fit}': a share is kept by fit='crop' alone.")
        if self.interpolation not in INTERPOLATIONS:
            raise ArgumentError(f"interpolation='{self.interpolation}': use one of {', '.join(INTERPOLATIONS)}.")
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ArgumentError(f"mean and std need {self.channels} values each, and std must be above 0.")

    @classmethod
    def resizing(
        cls,
        size: Sequence[int],
        channels: int,
        fit: Fit = "letterbox",
        crop: float = 1.0,
        interpolation: Interpolation = "bilinear",
    ) -> Self:
        """Preprocessing that only resizes: to `size` (height, width) and `channels`, values unchanged.

        Raises:
            ArgumentError: for a size, a number of channels, a fit, a crop or an interpolation that can't be.
        """
        height, width = size
        return cls(height, width, channels, fit, (0.0,) * channels, (1.0,) * channels, crop, interpolation)

    def conform(self, image: np.ndarray) -> np.ndarray:
        """Resize one image, and convert its channels: uint8 (h, w, c) to uint8 (height, width, channels).

        The filter is anti-aliased when it shrinks, see `resized`; grey from colour is ITU-R 601 luma.
        """
        if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
            raise ShapeError(f"an image of shape {image.shape}: expected (height, width, 1 or 3).")
        if image.dtype != np.uint8:
            raise ArgumentError(f"an image of {image.dtype}: expected uint8, pixel values of 0 … 255.")
        return self.conform_picture(image)

    def conform_picture(self, picture: Picture, resize: Resize = resized) -> np.ndarray:
        """Run `conform` for an array or a Pillow image in mode L or RGB; `resize` is `resized` or does the same."""
        mode = "L" if self.channels == 1 else "RGB"
        if isinstance(picture, np.ndarray) and picture.shape[2] != self.channels:
            picture = picture_of(picture)
        if isinstance(picture, Image.Image) and picture.mode != mode:
            picture = picture.convert(mode)
        height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size[::-1]
        if (height, width) == (self.height, self.width):
            return pixels_of(picture)
        return self._framed(resize(picture, *self.scaled(width, height), self.interpolation)[None])[0]

    def conform_stack(self, images: np.ndarray) -> np.ndarray:
        """Run `conform` for a stack: uint8 (N, h, w, c) to uint8 (N, height, width, channels), or itself if it fits."""
        count, height, width, channels = images.shape
        if channels != self.channels or images.dtype != np.uint8 or 0 in images.shape:
            results = np.empty((count, self.height, self.width, self.channels), dtype=np.uint8)
            for image, result in zip(images, results, strict=True):
                result[:] = self.conform(image)
            return results
        if (height, width) == (self.height, self.width):
            return images
        return self._framed(resized_together(images, *self.scaled(width, height), self.interpolation))

    def conform_all(self, images: "torch.Tensor") -> "torch.Tensor":
        """Run `conform` for a tensor of images: uint8 (N, h, w, c) to uint8 (N, height, width, channels)."""
        import torch

        if images.shape[1:] == (self.height, self.width, self.channels):
            return images
        result = torch.empty((len(images), self.height, self.width, self.channels), dtype=torch.uint8)
        count = max(1, _TOGETHER // max(1, images.shape[1:].numel(), result.shape[1:].numel()))
        for part, conformed in zip(images.split(count), result.split(count), strict=True):
            conformed.copy_(torch.from_numpy(self.conform_stack(part.numpy())))
        return result

    def normalize(self, images: "torch.Tensor", out: "torch.Tensor | None" = None) -> "torch.Tensor":
        """Normalise pixels to network input: (N, H, W, C) in 0 … 255 to float32 (N, C, H, W), channels-last in memory.

        Each value becomes (pixel / 255 − mean) / std.

        Args:
            images: the pixels.
            out: the output array, float32 (N, H, W, C), contiguous; by default a new one.
        """
        import torch

        _, height, width, channels = images.shape
        # Channels are laid out along the row, since a loop over one or three of them is slower than one over a row.
        scales = [1 / (255 * s) for s in self.std] * width
        offsets = [-m / s for m, s in zip(self.mean, self.std, strict=True)] * width
        scale = torch.tensor(scales, dtype=torch.float32, device=images.device)
        offset = torch.tensor(offsets, dtype=torch.float32, device=images.device)
        pixels = images.flatten(2)
        rows = torch.empty(pixels.shape, dtype=torch.float32, device=images.device) if out is None else out.flatten(2)
        # On a CPU a part is scaled while it is still in the cache, where it was converted.
        together = _CACHED // (height * width * channels) if images.device.type == "cpu" else len(images)
        parts = zip(*(each.split(max(1, together)) for each in (pixels, rows)), strict=True)
        for values, inputs in parts:
            torch.addcmul(offset, inputs.copy_(values), scale, out=inputs)
        return rows.view(images.shape).permute(0, 3, 1, 2)

    def with_statistics(self, images: "torch.Tensor") -> "Preprocess":
        """Return a copy with the mean and standard deviation of `images`, uint8 (N, height, width, channels)."""
        return self.with_power_sums(power_sums(images.numpy()))

    def with_power_sums(self, sums: np.ndarray) -> "Preprocess":
        """Return a copy with the mean and standard deviation of images that have these `power_sums`."""
        means, spreads = [], []
        for count, total, squares in sums.T.tolist():  # integers as long as they need to be: nothing is rounded yet
            means.append(total / (255 * count))
            spreads.append(math.sqrt((count * squares - total**2) / (255 * count) ** 2))
        # A data set of one flat colour has no spread; 1/255 keeps the division finite.
        return replace(self, mean=tuple(means), std=tuple(max(s, 1 / 255) for s in spreads))

    @property
    def load_options(self) -> dict[str, Any]:
        """The arguments of `striate.load` that bring images to this size, these channels and this fit."""
        return {
            "image_size": (self.height, self.width),
            "channels": self.channels,
            "fit": self.fit,
            "crop": self.crop,
            "interpolation": self.interpolation,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocess":
        """The inverse of `to_dict`."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to which `conform` resizes an image before it pads or cuts it."""
        if self.fit == "stretch":
            return self.width, self.height
        ratios = (self.width / self.crop / width, self.height / self.crop / height)
        ratio = max(ratios) if self.fit == "crop" else min(ratios)
        return max(1, round(width * ratio)), max(1, round(height * ratio))

    def _framed(self, scaled: np.ndarray) -> np.ndarray:
        """Pad or cut resized images to the network's input size."""
        height, width = scaled.shape[1:3]
        if (height, width) == (self.height, self.width):
            return scaled
        left, top = (self.width - width) // 2, (self.height - height) // 2
        framed = np.zeros((len(scaled), self.height, self.width, self.channels), dtype=np.uint8)
        shown = scaled[:, max(-top, 0) :, max(-left, 0) :][:, : self.height, : self.width]
        framed[:, max(top, 0) :, max(left, 0) :][:, :height, :width] = shown
        return framed


def power_sums(images: np.ndarray) -> np.ndarray:
    """Compute the exact number of pixels, the sum of their values and the sum of squares, for each channel.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        int64 (3, C); the power sums of two sets of images add up to those of both together.
    """
    _, height, width, channels = images.shape
    rows = images.reshape(-1, width * channels * (height if height * width < _SMALL else 1))
    sums = np.zeros((2, rows.shape[1]), dtype=np.int64)
    for start in range(0, len(rows), _EXACT):
        part = rows[start : start + _EXACT]
        sums += np.einsum("ij->j", part, dtype=np.uint32), np.einsum("ij,ij->j", part, part, dtype=np.uint32)
    total, squares = sums.reshape(2, -1, channels).sum(axis=1)
    return np.stack([np.full(channels, images.size // channels), total, squares])
