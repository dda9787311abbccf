"""Faster gradients of 3×3 filters over small feature maps, in bfloat16 on some processors: one matrix product.

Where maps are small oneDNN's vectors are half empty, and the matrix units of a processor with AMX idle: the filters'
gradient of 512 channels at 4×4 pixels takes five times as long there as a product with the windows of all images side
by side, and 1.3 times as long on AMD's Zen 5. Figures: docs/benchmarks/convolutions.md.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from striate.acceleration.replacing import is_wide, pair, pytorch_gradients
from striate.hardware import is_zen_5

SOME_CHANNELS, MANY_CHANNELS = 64, 192  # in and out


def has_matrix_units() -> bool:
    """Tell whether the processor has AMX."""
    supported: Callable[[], bool] | None = getattr(torch.cpu, "_is_amx_tile_supported", None)  # has no public name
    return supported is not None and supported()


def largest_maps(matrix_units: bool, zen_5: bool) -> tuple[int, int]:
    """Most pixels of a map for the product to be faster, with SOME_CHANNELS and with MANY_CHANNELS; 0: it never is."""
    if matrix_units:
        return 16, 64
    return (16, 16) if zen_5 else (0, 0)


FEW_PIXELS, SOME_PIXELS = largest_maps(has_matrix_units(), is_zen_5())


def may_gain(module: nn.Module) -> bool:
    """Tell whether the module is a convolution whose filters may have the faster gradient on this processor."""
    return (
        FEW_PIXELS > 0
        and isinstance(module, nn.Conv2d)
        and module.groups == 1
        and is_wide(module.weight, SOME_CHANNELS)
    )


def with_fast_gradients(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """`F.conv2d` over small maps, under autocast; `None` where PyTorch's own gradients are as fast."""
    if groups != 1 or padding not in (1, (1, 1), [1, 1], "same") or not pair(stride) == pair(dilation) == (1, 1):
        return None
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return None
    if input.ndim != 4 or input.device.type != "cpu" or torch.float64 in (input.dtype, weight.dtype):
        return None
    if not pays(input, weight):
        return None
    given = (each.to(torch.bfloat16).contiguous(memory_format=torch.channels_last) for each in (input, weight))
    return _convolution(*given, None if bias is None else bias.to(torch.bfloat16))


def pays(x: Tensor, weight: Tensor) -> bool:
    """Tell whether `filter_gradient` is the faster one on this processor."""
    pixels = x.shape[2] * x.shape[3]
    few = pixels <= FEW_PIXELS and is_wide(weight, SOME_CHANNELS)
    return few or (pixels <= SOME_PIXELS and is_wide(weight, MANY_CHANNELS))


class _Convolution(torch.autograd.Function):
    """`F.conv2d` of channels-last images with padding 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.conv2d(x, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            pytorch_gradients(gradient, x, weight, (1, 1), (1, 1), (True, False))[0] if of_x else None,
            filter_gradient(gradient, x) if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
        )


_convolution: Callable[..., Tensor] = _Convolution.apply


def filter_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient of 3×3 filters with padding 1, as a product of the output's gradient and all windows.

    Args:
        gradient: of the output, (N, maps, H, W), channels last.
        x: input, (N, C, H, W), channels last.

    Returns:
        (maps, C, 3, 3), channels last.
    """
    n, channels, height, width = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    rows = padded.unfold(1, 3, 1).unfold(2, 3, 1)  # (N, H, W, C, 3, 3), a view
    windows = rows.permute(0, 1, 2, 4, 5, 3).reshape(n * height * width, 9 * channels)
    found = gradient.permute(0, 2, 3, 1).flatten(0, 2).t() @ windows
    return found.view(-1, 3, 3, channels).permute(0, 3, 1, 2)
