"""Computational cost of layers: connections as LeCun et al. (1998) count them, and multiply-adds."""

import math

from torch import nn

from striate import layers
from striate.inspection.structure import layer_kinds

Counts = tuple[int | None, int | None]


def count(module: nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Counts:
    """Count connections and multiply-adds of one call, for one image.

    Connections are the inputs of every output unit, plus 1 where it has a bias; cells of padding count as inputs.
    Multiply-adds are the weights applied, without biases. A normalisation connects each unit with itself and its bias,
    and has no multiply-adds, because it melts into the convolution before it.

    Args:
        input_shape: the shape of the input, with a batch of 1.
        output_shape: the shape of the output.

    Returns:
        (connections, multiply-adds); `None` where nothing is known of a layer that has parameters.
    """
    inputs, units = math.prod(input_shape), math.prod(output_shape)
    if isinstance(module, layers.BlurredConv2d):
        return _blurred(module, input_shape, output_shape)
    weights = _weights(module, inputs, units)
    if weights is not None:
        return weights + units * _has_bias(module), weights
    if isinstance(module, layers.Subsampling2d):
        return units * (math.prod(module.kernel_size) + 1), units
    if isinstance(module, layer_kinds.NORMS):
        return units * (1 + _has_bias(module)), 0
    if isinstance(module, nn.PReLU):
        return units, 0
    if any(True for _ in module.parameters()):
        return None, None
    return _pooled(module, input_shape, output_shape), 0


def _weights(module: nn.Module, inputs: int, units: int) -> int | None:
    """Number of weight applications; `None` for a layer that is no weighted sum."""
    if isinstance(module, layers.BlurPool2d):
        return units * math.prod(module.kernel_size)
    if isinstance(module, layer_kinds.CONVOLUTIONS):
        return units * module.in_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, layer_kinds.TRANSPOSED):
        return inputs * module.out_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, layers.PartialConv2d):
        return units // module.out_channels * module.weight.numel()
    if isinstance(module, nn.Linear):
        return units * module.in_features
    if isinstance(module, layers.RBFOutput):
        return units * module.prototypes.shape[1]
    return None


def _blurred(module: layers.BlurredConv2d, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Counts:
    """Cost of a blurred convolution: the convolution's own, plus the blur's.

    A convolution behind its blur is computed only at the pixels that are left.
    """
    sides = output_shape[2:]
    blur = math.prod(sides) * module.blur.channels * math.prod(module.blur.kernel_size)
    if not module.before:
        pads = (0, 0) if isinstance(module.padding, str) else module.padding
        lost = (d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True))
        ends = (0, 0) if module.padding == "same" else lost
        sides = tuple(n + 2 * p - end for n, p, end in zip(input_shape[2:], pads, ends, strict=True))
    units = math.prod(sides) * module.out_channels
    weights = units * module.in_channels // module.groups * math.prod(module.kernel_size)
    return weights + units * _has_bias(module) + blur, weights + blur


def _pooled(module: nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
    """Connections of a layer without parameters: the window of each output unit, 0 where there is no window."""
    if isinstance(module, layer_kinds.GLOBAL_POOLS):
        return math.prod(input_shape)
    if isinstance(module, layer_kinds.ADAPTIVE_AVG + layer_kinds.ADAPTIVE_MAX):
        axes = zip(input_shape[2:], output_shape[2:], strict=True)
        return math.prod(output_shape[:2]) * math.prod(_adaptive(cells, windows) for cells, windows in axes)
    kernel = layer_kinds.window(module, len(output_shape) - 2).kernel
    return math.prod(output_shape) * math.prod(kernel) if kernel else 0


def _adaptive(cells: int, windows: int) -> int:
    """Cells of all windows of an adaptive pooling along one axis; windows overlap where they don't divide it evenly."""
    return sum(-(-(i + 1) * cells // windows) - i * cells // windows for i in range(windows))


def _has_bias(module: nn.Module) -> bool:
    return getattr(module, "bias", None) is not None
