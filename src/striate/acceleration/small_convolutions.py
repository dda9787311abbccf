"""Small convolutions by PyTorch's own kernel: calling oneDNN costs more than the work.

At the sizes of LeNet-5 a call of oneDNN takes 65 to 85 µs, one of PyTorch's own kernel 15 to 20 (one core with AVX2).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

# From about here on oneDNN is the faster, for a whole batch.
SMALL_WORK = 300_000  # multiply-adds
SMALL_OUTPUT = 8_192  # values

# PyTorch has no public name for it; without it every convolution is F.conv2d's.
_kernel: Callable[..., Tensor] | None = getattr(torch._C._nn, "thnn_conv2d", None)


class SmallConvolutions(TorchFunctionMode):
    """Inside it, F.conv2d hands small convolutions to PyTorch's own kernel: float32 on the CPU, dense and undilated."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What `func` gives."""
        kwargs = kwargs or {}
        given = _own(*args, **kwargs) if func is F.conv2d else None
        return func(*args, **kwargs) if given is None else given


def _own(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """The convolution, if it is one for PyTorch's own kernel."""
    dense = groups == 1 and _pair(dilation) == (1, 1)
    if _kernel is None or not dense or input.ndim != 4 or input.device.type != "cpu" or input.dtype != torch.float32:
        return None
    kernel, stride = _pair(weight.shape[2:]), _pair(stride)
    if padding == "same":
        if stride != (1, 1) or not all(side % 2 for side in kernel):
            return None  # a mistake, or one row or column more behind than in front
        padding = tuple(side // 2 for side in kernel)
    padding = (0, 0) if padding == "valid" else _pair(padding)
    places = int(input.shape[0])
    for image, side, step, border in zip(_pair(input.shape[2:]), kernel, stride, padding, strict=True):
        places *= (image + 2 * border - side) // step + 1
    if places * int(weight.numel()) > SMALL_WORK or places * int(weight.shape[0]) > SMALL_OUTPUT:
        return None
    return _kernel(_row_major(input), _row_major(weight), kernel, bias, stride, padding)


def _row_major(x: Tensor) -> Tensor:
    """The same with contiguous strides, which single channels need not have: the kernel is slow with channels last."""
    return x.contiguous().view(x.shape)


def _pair(value: Any) -> tuple[int, int]:
    """Height's and width's, as numbers: under a trace sizes are tensors."""
    height, width = (value, value) if isinstance(value, int) else value if len(value) == 2 else value * 2
    return int(height), int(width)
