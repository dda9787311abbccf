"""Faster gradients of depthwise convolutions on the CPU, put together from convolutions that oneDNN is fast at.

oneDNN is slow at two of them: the filters' gradient where filters have more than three columns, and in bfloat16 the
input's gradient where there is a stride of two. The first is computed three columns at a time. For the second, the
input's places with even and odd rows and columns have each a filter of their own, of the columns and rows that
reach them, and are a convolution of the output's gradient without a stride. Figures: docs/benchmarks/convolutions.md.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from striate.acceleration.replacing import Pair, pair, pytorch_gradients

COLUMNS = 3  # of a filter: oneDNN's gradient of wider ones is slow


def is_depthwise(module: nn.Module) -> bool:
    """Tell whether the module is a convolution that looks at each channel by itself."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def with_fast_gradients(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """`F.conv2d` of depthwise filters on the CPU, under autocast or not.

    `None` where PyTorch's own gradients are as fast, or it is no depthwise convolution.
    """
    depthwise = input.ndim == 4 and 1 < groups == weight.shape[0] == input.shape[1]
    if not depthwise or isinstance(padding, str) or pair(dilation) != (1, 1) or input.device.type != "cpu":
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
    steps, border = pair(stride), pair(padding)
    if not (filters_pay(weight, dtype, steps) or input_pays(dtype, steps)):
        return None
    images, filters = (each.to(dtype).contiguous(memory_format=torch.channels_last) for each in (input, weight))
    return _convolution(images, filters, None if bias is None else bias.to(dtype), steps, border)


def filters_pay(weight: Tensor, dtype: torch.dtype, steps: Pair) -> bool:
    """Tell whether `filter_gradient` is the faster one."""
    return weight.shape[3] > COLUMNS and (dtype == torch.bfloat16 or steps == (1, 1))


def input_pays(dtype: torch.dtype, steps: Pair) -> bool:
    """Tell whether `input_gradient` is the faster one."""
    return dtype == torch.bfloat16 and steps == (2, 2)


class _Convolution(torch.autograd.Function):
    """A depthwise `F.conv2d` of channels-last images."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, steps: Pair, border: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps, ctx.border = steps, border
        return torch.conv2d(x, weight, bias, steps, border, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        (x, weight), steps, border = ctx.saved_tensors, ctx.steps, ctx.border
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        faster_x, faster_weight = input_pays(x.dtype, steps), filters_pay(weight, x.dtype, steps)
        wanted = (of_x and not faster_x, of_weight and not faster_weight)
        found = pytorch_gradients(gradient, x, weight, steps, border, wanted) if any(wanted) else (None, None)
        return (
            input_gradient(gradient, x, weight, border) if of_x and faster_x else found[0],
            filter_gradient(gradient, x, weight, steps, border) if of_weight and faster_weight else found[1],
            gradient.sum((0, 2, 3)) if of_bias else None,
            None,
            None,
        )


_convolution: Callable[[Tensor, Tensor, Tensor | None, Pair, Pair], Tensor] = _Convolution.apply


def filter_gradient(gradient: Tensor, x: Tensor, weight: Tensor, steps: Pair, border: Pair) -> Tensor:
    """The gradient of depthwise filters, a few of their columns at a time.

    Args:
        gradient: of the output, (N, C, height, width).
        x: input, (N, C, H, W).
        weight: filters, (C, 1, rows, columns).
        steps: stride, down and to the right.
        border: rows above and below the input, and columns on both sides, that are 0.

    Returns:
        (C, 1, rows, columns).
    """
    rows, columns = weight.shape[2:]
    padded = F.pad(x, (border[1], border[1], border[0], border[0]))
    down = (gradient.shape[2] - 1) * steps[0] + rows
    across = (gradient.shape[3] - 1) * steps[1]
    found = []
    for start in range(0, columns, COLUMNS):
        some = weight[..., start : start + COLUMNS]
        seen = padded[:, :, :down, start : start + across + some.shape[3]]
        seen = seen.contiguous(memory_format=torch.channels_last)
        found.append(pytorch_gradients(gradient, seen, some, steps, (0, 0), (False, True))[1])
    return torch.cat(found, 3)


def input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, border: Pair) -> Tensor:
    """The gradient of the input of a depthwise convolution with stride 2.

    The arguments are those of `filter_gradient`. Place p + 2u of the input is seen by row i of the filter for output
    u + (p + border − i) / 2, so that even and odd places are reached by every second row each.

    Returns:
        (N, C, H, W), channels last.
    """
    found = torch.empty_like(x, memory_format=torch.channels_last)
    for top in (0, 1):
        for left in (0, 1):
            part = found[:, :, top::2, left::2]
            starts = [(side + zeros) % 2 for side, zeros in zip((top, left), border, strict=True)]
            filters = weight[:, :, starts[0] :: 2, starts[1] :: 2].flip(2, 3)
            if not part.numel() or not filters.numel():
                part.zero_()
                continue
            around: list[int] = []  # zeros, or outputs that reach no such place: columns first, as F.pad takes them
            for axis, side in ((1, left), (0, top)):
                last = (side + border[axis] - starts[axis]) // 2
                before = filters.shape[2 + axis] - 1 - last
                around += [before, part.shape[2 + axis] + last - gradient.shape[2 + axis]]
            part.copy_(F.conv2d(F.pad(gradient, around), filters.contiguous(), groups=len(weight)))
    return found
