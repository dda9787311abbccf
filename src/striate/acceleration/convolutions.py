"""Faster convolutions on the CPU: wide 3×3 ones, those whose filters cover all of their image, and small ones.

Wide layers use fewer multiplications for their 3×3 convolutions, see winograd.py. Which convolutions those are depends
on their shapes and on the processor, and not on a measurement, so that a run gives the same weights again.
The bounds are where it overtakes oneDNN on two cores, see docs/benchmarks/convolutions.md; with AVX-512 oneDNN gains
more than the transforms do. A convolution whose filters cover all of their image is a matrix product, as is LeNet-5's
C5.

Prediction hands small convolutions to PyTorch's own kernel, because calling oneDNN costs more than the work: at the
sizes of LeNet-5 a call of oneDNN takes 65 to 85 µs, one of PyTorch's own kernel 15 to 20 (one core with AVX2).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from striate.acceleration.replacing import is_wide, pair, pytorch_gradients
from striate.acceleration.winograd import SIDE, convolution, filter_gradient, fits, taken, tiles_of, transformed
from striate.hardware import is_zen_5


def bounds(capability: str, zen_5: bool) -> tuple[float, float]:
    """Least channels for a fast filter gradient, and least tiles for fast feature maps, on a processor.

    On AMD's since Zen 5 oneDNN computes on 512 bits at once, and MKL, whose products Winograd takes, on 256.

    Args:
        capability: the processor's vector instructions, by PyTorch's name for them.
        zen_5: see `hardware.is_zen_5`.
    """
    if zen_5:
        return math.inf, math.inf
    return (256, 128) if capability == "AVX512" else (64, 256)


LEAST_CHANNELS, MANY_TILES = bounds(torch.backends.cpu.get_cpu_capability(), is_zen_5())
LARGE = 4  # pixels: sides of filters from which on one that covers its image is a matrix product
LEAST_TILES = 32  # in a batch: for the gradient of the filters
MANY_CHANNELS = 256  # in and out: for the feature maps and their gradient, too

# Of the small convolutions: from about here on oneDNN is the faster, for a whole batch.
SMALL_WORK = 300_000  # multiply-adds
SMALL_OUTPUT = 8_192  # values

# PyTorch's own kernel has no public name; without it every convolution is F.conv2d's.
_kernel: Callable[..., Tensor] | None = getattr(torch._C._nn, "thnn_conv2d", None)


def whole_image(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """The convolution as a matrix product, or `None` if its filters are smaller than the images, or small anyway."""
    if input.ndim != 4 or not covers(input, weight) or groups != 1:
        return None
    if padding not in (0, (0, 0), "valid") or dilation not in (1, (1, 1)):
        return None
    # With channels last, neither is copied.
    flat = F.linear(input.permute(0, 2, 3, 1).flatten(1), weight.permute(0, 2, 3, 1).flatten(1), bias)
    return flat[:, :, None, None]


def with_winograd_gradients(*args: Any, **kwargs: Any) -> Tensor | None:
    """`F.conv2d` of wide 3×3 filters, float32 on the CPU, with fewer multiplications; `None` where none are saved."""
    if torch.is_autocast_enabled("cpu") or not fits(*args, **kwargs):
        return None
    images, weight, bias = taken(*args, **kwargs)
    return _convolution(images, weight, bias) if filters_pay(images, weight) else None


def by_winograd(*args: Any, **kwargs: Any) -> Tensor | None:
    """`F.conv2d` of very wide 3×3 filters, without gradients, likewise."""
    if not fits(*args, **kwargs):
        return None
    images, weight, bias = taken(*args, **kwargs)
    return convolution(images, transformed(weight), bias) if feature_maps_pay(images, weight) else None


class _Convolution(torch.autograd.Function):
    """`F.conv2d` with padding 1 and fast gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        if feature_maps_pay(x, weight):
            return convolution(x, transformed(weight), bias)
        return torch.conv2d(x, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _input_gradient(x, weight, gradient) if of_x else None,
            filter_gradient(x, gradient) if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
        )


_convolution: Callable[[Tensor, Tensor, Tensor | None], Tensor] = _Convolution.apply


def _input_gradient(x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the input: a convolution of the output's gradient with the filters turned by 180°."""
    if feature_maps_pay(x, weight):
        return convolution(gradient, transformed(weight.flip(2, 3).transpose(0, 1)), None)
    return pytorch_gradients(gradient, x, weight, (1, 1), (1, 1), (True, False))[0]


def covers(x: Tensor, weight: Tensor) -> bool:
    """Tell whether filters are as large as the image, and that is not small."""
    return x.shape[2:] == weight.shape[2:] and min(weight.shape[2:]) >= LARGE


def filters_pay(x: Tensor, weight: Tensor) -> bool:
    """Tell whether the fast gradient of these filters is the faster one, given these images."""
    return is_wide(weight, LEAST_CHANNELS) and tiles_of(x) >= LEAST_TILES


def feature_maps_pay(x: Tensor, weight: Tensor) -> bool:
    """Tell whether the fast feature maps and their gradient are, too; feature maps smaller than a tile never are."""
    return is_wide(weight, MANY_CHANNELS) and tiles_of(x) >= MANY_TILES and min(x.shape[2:]) >= SIDE


def by_own_kernel(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """`F.conv2d` by PyTorch's own kernel; `None` but for small ones, float32 on the CPU, dense, undilated."""
    dense = groups == 1 and pair(dilation) == (1, 1)
    if _kernel is None or not dense or input.ndim != 4 or input.device.type != "cpu" or input.dtype != torch.float32:
        return None
    kernel, stride = pair(weight.shape[2:]), pair(stride)
    if padding == "same":
        if stride != (1, 1) or not all(side % 2 for side in kernel):
            return None  # a mistake, or one row or column more behind than in front
        padding = tuple(side // 2 for side in kernel)
    padding = (0, 0) if padding == "valid" else pair(padding)
    places = int(input.shape[0])
    for image, side, step, border in zip(pair(input.shape[2:]), kernel, stride, padding, strict=True):
        places *= (image + 2 * border - side) // step + 1
    if places * int(weight.numel()) > SMALL_WORK or places * int(weight.shape[0]) > SMALL_OUTPUT:
        return None
    return _kernel(_row_major(input), _row_major(weight), kernel, bias, stride, padding)


def _row_major(x: Tensor) -> Tensor:
    """Return the tensor with contiguous strides, also for single channels: the kernel is slow with channels last."""
    return x.contiguous().view(x.shape)
