"""Layer kinds: textbook names of modules, their kernel, stride and padding, and what they cost.

The cost is connections, as LeCun et al. (1998) count them, and multiply-adds.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from striate import layers
from striate.units import by

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MAX_POOLS = (layers.MaxPool2d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVG_POOLS = (layers.AvgPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
GLOBAL_POOLS = (layers.GlobalAvgPool2d, layers.GlobalMaxPool2d)
DEPTHWISE_POOLS = (layers.DepthwiseAvgPool2d, layers.DepthwiseMaxPool2d)
ADAPTIVE_AVG = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
ADAPTIVE_MAX = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (*BATCH_NORMS, *INSTANCE_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_PYTORCHS_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
DROPOUTS = (*_PYTORCHS_DROPOUTS, layers.StochasticDepth)
FEATURES_LAST = (layers.RBFOutput, nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.MultiheadAttention, nn.Embedding)
_FEATURES_FIRST = (layers.PixelLinear, layers.LayerNorm2d)

# The first entry that fits names the module.
_WORDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("partial conv", (layers.PartialConv2d,)),
    ("subsample", (layers.Subsampling2d,)),
    ("RBF", (layers.RBFOutput,)),
    ("add", (layers.Add,)),
    ("padded shortcut", (layers.PaddedShortcut,)),
    ("depthwise max pool", (layers.DepthwiseMaxPool2d,)),
    ("depthwise avg pool", (layers.DepthwiseAvgPool2d,)),
    ("global avg pool", (layers.GlobalAvgPool2d,)),
    ("global max pool", (layers.GlobalMaxPool2d,)),
    ("adaptive avg pool", ADAPTIVE_AVG),
    ("adaptive max pool", ADAPTIVE_MAX),
    ("blur pool", (layers.BlurPool2d,)),
    ("max pool", MAX_POOLS),
    ("avg pool", AVG_POOLS),
    ("blurred conv", (layers.BlurredConv2d,)),
    ("conv", CONVOLUTIONS),
    ("transposed conv", TRANSPOSED),
    ("dense", (nn.Linear,)),
    ("batch norm", BATCH_NORMS),
    ("instance norm", INSTANCE_NORMS),
    ("group norm", (nn.GroupNorm,)),
    ("layer norm", (nn.LayerNorm,)),
    ("RMS norm", (nn.RMSNorm,)),
    ("local response norm", (layers.LocalResponseNorm, nn.LocalResponseNorm)),
    ("attention", (nn.MultiheadAttention,)),
    ("embedding", (nn.Embedding,)),
    ("flatten", (nn.Flatten,)),
    ("upsample", (nn.Upsample,)),
)

# Increasing functions of one value. They commute with the maximum over a window; the others don't.
_INCREASING: tuple[tuple[str, type[nn.Module]], ...] = (
    ("scaled tanh", layers.ScaledTanh),
    ("ReLU6", nn.ReLU6),
    ("ReLU", nn.ReLU),
    ("leaky ReLU", nn.LeakyReLU),
    ("tanh", nn.Tanh),
    ("sigmoid", nn.Sigmoid),
    ("ELU", nn.ELU),
    ("SELU", nn.SELU),
    ("CELU", nn.CELU),
    ("softplus", nn.Softplus),
    ("softsign", nn.Softsign),
    ("hard tanh", nn.Hardtanh),
    ("hard sigmoid", nn.Hardsigmoid),
)
_OTHER_ACTIVATIONS: tuple[tuple[str, type[nn.Module]], ...] = (
    ("PReLU", nn.PReLU),
    ("GELU", nn.GELU),
    ("SiLU", nn.SiLU),
    ("Mish", nn.Mish),
    ("hard swish", nn.Hardswish),
    ("softmax", nn.Softmax),
    ("softmax", nn.Softmax2d),
    ("log-softmax", nn.LogSoftmax),
)


@dataclass(frozen=True)
class Window:
    """Window of a layer: kernel and stride along each axis, and "valid", "same" or the cells added on each side."""

    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    padding: str = ""


def is_layer(module: nn.Module) -> bool:
    """Tell whether the module counts as one layer, even where it has children (as a parametrised convolution has)."""
    return _word(module) is not None or activation(module) is not None or isinstance(module, DROPOUTS)


def features_last(module: nn.Module | None, output_shape: tuple[int, ...]) -> bool:
    """Tell whether the features of an output, or its channels, are its last axis, and not the one after the batch."""
    if not isinstance(module, FEATURES_LAST) or isinstance(module, _FEATURES_FIRST):
        return False
    if isinstance(module, nn.LayerNorm):  # some networks have their own, which moves the channels there and back
        return output_shape[-len(module.normalized_shape) :] == tuple(module.normalized_shape)
    return True


def kind(module: nn.Module) -> str:
    """The textbook name of a layer; its class name where there is none."""
    word = _word(module)
    if word is None:
        return dropout(module) or activation(module) or type(module).__name__.lstrip("_")
    if isinstance(module, ADAPTIVE_AVG + ADAPTIVE_MAX) and set(_tuple(module.output_size, 1)) == {1}:
        return word.replace("adaptive", "global")
    if isinstance(module, CONVOLUTIONS + TRANSPOSED):
        if module.groups > 1:
            depthwise = module.groups == module.in_channels
            word = f"depthwise {word}" if depthwise else f"{word}, {module.groups} groups"
        if set(module.dilation) != {1}:
            word += f", dilation {by(module.dilation, shorten=True)}"
    return word


def activation(module: nn.Module) -> str | None:
    """The name of an activation function, or `None` for another module."""
    return next((name for name, cls in _INCREASING + _OTHER_ACTIVATIONS if isinstance(module, cls)), None)


def increasing(module: nn.Module) -> bool:
    """Tell whether the module is an activation that commutes with the maximum."""
    return isinstance(module, tuple(cls for _, cls in _INCREASING))


def commutes(module: nn.Module) -> bool:
    """Tell whether an increasing function may be applied before this layer instead: maxima and flattening."""
    maxima = (*MAX_POOLS, *ADAPTIVE_MAX, layers.GlobalMaxPool2d, layers.DepthwiseMaxPool2d)
    return isinstance(module, (*maxima, nn.Flatten))


def dropout(module: nn.Module) -> str | None:
    """The kind and rate of dropout, as in "dropout 0.5", or `None` for another module."""
    if not isinstance(module, DROPOUTS):
        return None
    names: dict[type[nn.Module], str] = {
        nn.Dropout: "dropout",
        nn.AlphaDropout: "alpha dropout",
        nn.FeatureAlphaDropout: "alpha channel dropout",
        layers.StochasticDepth: "stochastic depth",
    }
    return f"{names.get(type(module), 'channel dropout')} {module.p:.3g}"


def window(module: nn.Module, axes: int) -> Window:
    """The window of a layer whose output has `axes` spatial axes; an empty one where it has none.

    A padding of whole numbers is called "same" where the stride is 1 and the output is as large as the input.
    """
    kernel = getattr(module, "kernel_size", None)
    if not isinstance(kernel, int | tuple | list):
        return Window()
    axes = 1 if isinstance(module, DEPTHWISE_POOLS) else axes
    kernel = _tuple(kernel, axes)
    if isinstance(module, layers.Subsampling2d):
        return Window(kernel, module.stride, "valid")
    if isinstance(module, layers.BlurPool2d):
        return Window(kernel, module.stride, "mirrored")
    steps = module.blur.stride if isinstance(module, layers.BlurredConv2d) else getattr(module, "stride", 1)
    stride = _tuple(steps or kernel, axes)
    padding = getattr(module, "padding", 0)
    if not isinstance(padding, str):
        dilation = _tuple(getattr(module, "dilation", 1), axes)
        padding = _named(_tuple(padding, axes), kernel, stride, dilation, isinstance(module, TRANSPOSED))
    return Window(kernel, stride, f"{padding} (ceil)" if getattr(module, "ceil_mode", False) else padding)


def _word(module: nn.Module) -> str | None:
    return next((word for word, classes in _WORDS if isinstance(module, classes)), None)


def _named(
    padding: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    transposed: bool,
) -> str:
    if not any(padding):
        return "valid"
    keeps = all(2 * p == d * (k - 1) for p, d, k in zip(padding, dilation, kernel, strict=True))
    return "same" if keeps and set(stride) == {1} and not transposed else by(padding, shorten=True)


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * max(axes, 1)


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
    if isinstance(module, NORMS):
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
    if isinstance(module, CONVOLUTIONS):
        return units * module.in_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, TRANSPOSED):
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
    if isinstance(module, GLOBAL_POOLS):
        return math.prod(input_shape)
    if isinstance(module, ADAPTIVE_AVG + ADAPTIVE_MAX):
        axes = zip(input_shape[2:], output_shape[2:], strict=True)
        return math.prod(output_shape[:2]) * math.prod(_adaptive(cells, windows) for cells, windows in axes)
    kernel = window(module, len(output_shape) - 2).kernel
    return math.prod(output_shape) * math.prod(kernel) if kernel else 0


def _adaptive(cells: int, windows: int) -> int:
    """Cells of all windows of an adaptive pooling along one axis; windows overlap where they don't divide it evenly."""
    return sum(-(-(i + 1) * cells // windows) - i * cells // windows for i in range(windows))


def _has_bias(module: nn.Module) -> bool:
    return getattr(module, "bias", None) is not None
