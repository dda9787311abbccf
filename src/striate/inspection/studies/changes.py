"""Changes of a grey image that keep its class, by one number each: rotation, shift, scale, thickness, brightness."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate import seeding


@dataclass(frozen=True)
class Change:
    """One kind of change.

    Args:
        name: one word.
        done: what was done to the images, with the range, as a participle: "rotated by up to 90° to either side".
        unit: label of an axis of strengths.
        sign: what follows a strength: "°", " px".
        strengths: those that are measured, in order; training draws evenly between the first and the last.
        apply: from grey values, float32 (N, 1, H, W) with black at 0 and white at 255, and strengths, float32 (N,), to
            the changed values. A map of the plane takes any other values, too.
        unchanged: the strength that leaves the image as it is.
        between: for a map of the plane, the strengths that are tried to make one template into another; empty for other
            changes.
    """

    name: str
    done: str
    unit: str
    sign: str
    strengths: tuple[float, ...]
    apply: Callable[[Tensor, Tensor], Tensor]
    unchanged: float
    between: tuple[float, ...] = ()

    def __call__(self, images: Tensor, strengths: Tensor | float) -> Tensor:
        """Change images, uint8 (N, H, W, 1), by one strength or one for each, (N,): uint8 of the same shape."""
        given = torch.as_tensor(strengths, dtype=torch.float32).expand(len(images))
        changed = self.apply(images.permute(0, 3, 1, 2).float(), given)
        return changed.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def augment(self, images: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Change each image by a strength drawn for it in this epoch; for `Loader`."""
        low, high = self.strengths[0], self.strengths[-1]
        drawn = seeding.uniform(seed, "change", epoch, index=index, draws=1)[:, 0]
        return self(images, low + (high - low) * drawn)


def _warped(values: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Resample values, bilinearly, so that q shows what was at M q + b; places are from −1 to 1, outside is 0.

    Args:
        values: float32 (N, 1, H, W), H = W.
        matrix, offset: M, (N, 2, 2), and b, (N, 2), acting on (x, y).
    """
    grid = F.affine_grid(torch.cat([matrix, offset[:, :, None]], 2), list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, align_corners=False)


def _rotated(values: Tensor, degrees: Tensor) -> Tensor:
    angle = degrees.deg2rad()
    rows = [torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)]
    return _warped(values, torch.stack(rows, -2), angle.new_zeros(len(angle), 2))


def _shifted(values: Tensor, share: Tensor) -> Tensor:
    return _warped(values, torch.eye(2).expand(len(share), 2, 2), torch.stack([-2 * share, 0 * share], -1))


def _scaled(values: Tensor, factor: Tensor) -> Tensor:
    return _warped(values, torch.eye(2) / factor[:, None, None], factor.new_zeros(len(factor), 2))


def _thickened(values: Tensor, pixels: Tensor) -> Tensor:
    """Dilate and erode in grey: maxima and minima over 3×3 pixels, and what lies between whole pixels blended."""
    wider = _dilated(values)
    levels = torch.stack([-_dilated(-values), values, wider, _dilated(wider)])
    below = pixels.floor().clamp(max=1).long()
    share = (pixels - below)[:, None, None, None]
    each = torch.arange(len(values))
    return torch.lerp(levels[below + 1, each], levels[below + 2, each], share)


def _dilated(values: Tensor) -> Tensor:
    """Maxima over 3×3 pixels, with black outside: along rows, then along columns, faster than max_pool2d."""
    rows = F.pad(values, (1, 1, 1, 1))
    columns = torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
    return torch.maximum(torch.maximum(columns[..., :-2, :], columns[..., 1:-1, :]), columns[..., 2:, :])


def _brightened(values: Tensor, share: Tensor) -> Tensor:
    return (values + 255 * share[:, None, None, None]).clamp(0, 255)


def _steps(first: int, last: int, step: float) -> tuple[float, ...]:
    return tuple(float(round(step * number, 4)) for number in range(first, last + 1))


CHANGES = {
    change.name: change
    for change in (
        Change(
            "rotation",
            "rotated by up to 90° to either side",
            "rotation to the left, in degrees",
            "°",
            _steps(-18, 18, 5),  # further, a 6 is a 9
            _rotated,
            0.0,
            _steps(-36, 35, 5),
        ),
        Change(
            "shift",
            "moved by up to 0.3 of the width to either side",
            "shift to the right, as a share of the width",
            " of the width",
            _steps(-6, 6, 0.05),
            _shifted,
            0.0,
            _steps(-12, 12, 0.05),
        ),
        Change(
            "scale",
            "scaled by 0.5 to 1.5",
            "times as large",
            " times",
            _steps(10, 30, 0.05),
            _scaled,
            1.0,
            tuple(2 ** (eighth / 8) for eighth in range(-8, 9)),
        ),
        Change(
            "thickness",
            "strokes thinner by up to 0.75 pixels or thicker by up to 2 on each side",
            "thicker on each side, in pixels",
            " px",
            _steps(-3, 8, 0.25),
            _thickened,
            0.0,
        ),
        Change(
            "brightness",
            "darker or brighter by up to 0.6 of the range",
            "brightness added, as a share of the range",
            " of the range",
            _steps(-12, 12, 0.05),
            _brightened,
            0.0,
        ),
    )
}
