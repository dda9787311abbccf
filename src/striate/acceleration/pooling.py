"""Faster pooling over windows of 2×2 pixels on the CPU, in prediction.

Whole rows and columns are joined instead of one window after another: PyTorch's own kernels go through windows, and
need twice (channels last) to ten times as long for many images. Maxima are equal to the bit, averages up to rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from striate.acceleration.replacing import pair

LEAST = 2**16  # values: of fewer, the calls cost more than the work


class PairwisePooling(TorchFunctionMode):
    """Context in which F.max_pool2d and F.avg_pool2d over 2×2 pixels join rows, then columns; without gradients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, or what stands for it."""
        kwargs = kwargs or {}
        if func is F.max_pool2d and _max_fits(*args, **kwargs):
            return _joined(args[0], torch.maximum)
        if func is F.avg_pool2d and _avg_fits(*args, **kwargs):
            return _joined(args[0], torch.add) * 0.25
        return func(*args, **kwargs)


def _max_fits(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> bool:
    return pair(dilation) == (1, 1) and not return_indices and _fits(input, kernel_size, stride, padding)


def _avg_fits(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> bool:
    return divisor_override is None and _fits(input, kernel_size, stride, padding)


def _fits(input: Tensor, kernel_size: Any, stride: Any, padding: Any) -> bool:
    windows = pair(kernel_size) == pair(stride or kernel_size) == (2, 2) and pair(padding) == (0, 0)
    image = input.ndim == 4 and input.device.type == "cpu" and int(input.numel()) >= LEAST
    return windows and image and not any(int(side) % 2 for side in input.shape[2:])


def _joined(images: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    rows = join(images[:, :, ::2], images[:, :, 1::2])
    return join(rows[..., ::2], rows[..., 1::2])
