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
        if func is F.max_pool2d and _fits(*args, **kwargs):
            return _joined(args[0], torch.maximum)
        if func is F.avg_pool2d and _fits(*args, **kwargs):
            return _joined(args[0], torch.add) * 0.25
        return func(*args, **kwargs)


def _fits(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    dilation: Any = 1,
    return_indices: bool = False,
    divisor_override: Any = None,
    **rounding: Any,  # nothing is left over, so that it makes no difference
) -> bool:
    kind = input.ndim == 4 and input.device.type == "cpu" and not return_indices and divisor_override is None
    windows = pair(kernel_size) == pair(stride or kernel_size) == (2, 2)
    plain = pair(padding) == (0, 0) and pair(dilation) == (1, 1)
    even = not any(int(side) % 2 for side in input.shape[2:])
    return kind and windows and plain and even and int(input.numel()) >= LEAST


def _joined(images: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    rows = join(images[:, :, ::2], images[:, :, 1::2])
    return join(rows[..., ::2], rows[..., 1::2])
