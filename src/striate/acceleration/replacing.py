"""Functions that stand for F.conv2d, a context in which they do, and PyTorch's own gradients of convolutions."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]  # height and width, or down and to the right


class Replacement(Protocol):
    """A function with another one's arguments that gives its result, or `None` where it is not for them."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor | None: ...


class ReplacedConvolutions(TorchFunctionMode):
    """Context in which F.conv2d is a replacement where that gives a result; all functions take microseconds longer."""

    def __init__(self, replacement: Replacement):
        super().__init__()
        self.replacement = replacement

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, or its replacement."""
        kwargs = kwargs or {}
        found = self.replacement(*args, **kwargs) if func is F.conv2d else None
        return func(*args, **kwargs) if found is None else found


def pytorch_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, wanted: tuple[bool, bool]
) -> tuple[Tensor, ...]:
    """PyTorch's own gradients of an undilated convolution: of the input and of the filters, if wanted."""
    groups = x.shape[1] // weight.shape[1]
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), groups, (*wanted, False)
    )
    return found


def is_wide(weight: Tensor, channels: float) -> bool:
    """Tell whether filters are of 3×3 pixels, with so many channels in and out."""
    return tuple(weight.shape[2:]) == (3, 3) and min(weight.shape[:2]) >= channels


def pair(value: Any) -> Pair:
    """Height and width as numbers: under a trace sizes are tensors."""
    height, width = (value, value) if isinstance(value, int) else value if len(value) == 2 else value * 2
    return int(height), int(width)
