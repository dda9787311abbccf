"""Layers of LeNet-5 that PyTorch lacks, its output prototypes and its weight initialisation.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the
IEEE 86(11), 1998, section II.B, Table I and Appendix A; prototypes after its Fig. 3.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import Size, image_size, output_size, pair, positive

#: Table I: for each of the 16 feature maps of C3, the feature maps of S2 connected to it.
#:
#: >>> len(LENET5_C3_TABLE), sum(len(sources) for sources in LENET5_C3_TABLE)
#: (16, 60)
LENET5_C3_TABLE: tuple[tuple[int, ...], ...] = (
    # six contiguous triples, cyclic
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    # six contiguous quadruples, cyclic
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    # three discontinuous quadruples, and all
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# Fig. 3, 7 wide and 12 high, '#' = +1 and '.' = -1. The figure's frame hides a few cells of the outermost columns;
# those follow the common transcription.
_BITMAPS = """
.#####. ...##.. .#####. ####### .#####.
....... ..###.. ....... .....## .......
..###.. .####.. .#####. ....##. .......
.##.##. ...##.. ##...## ...##.. .##..##
##...## ...##.. #....## ..####. .##..##
##...## ...##.. ....##. .....## ###..##
##...## ...##.. ..###.. .....## ##...##
##...## ...##.. .##.... .....## ##...##
.##.##. ...##.. ##..... ##...## ##..###
..###.. .###### ####### .#####. .######
....... ....... ....... ....... .....##
....... ....... ....... ....... .....##

.#####. ..####. ####### .#####. .#####.
....... .##.... .....## ##...## ##..###
####### ##..... .....## ##...## ##...##
##..... ##..... ....##. ##...## ##...##
##..... ######. ...##.. .#####. ##..###
.####.. ###..## ...##.. ##...## .######
..####. ##...## ..##... ##...## .....##
.....## ##...## ..##... ##...## .....##
##...## ###..## ..##... ##...## ....##.
.#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... .......
....... ....... ....... ....... .......
"""


def digit_prototypes() -> Tensor:
    """Return the ten fixed target codes of LeNet-5's output layer: (10, 84) float32 of ±1, digit `d` in row `d`.

    Row-major bitmaps, 12 rows of 7 cells; squared distances between two of them lie in 48 (6 and 8) ... 200.

    >>> codes = digit_prototypes()
    >>> codes.shape, int((codes[6] - codes[8]).square().sum())
    (torch.Size([10, 84]), 48)
    """
    bands = [[line.split() for line in band.splitlines()] for band in _BITMAPS.strip().split("\n\n")]
    digits = ["".join(rows) for band in bands for rows in zip(*band, strict=True)]
    return torch.tensor([[1.0 if cell == "#" else -1.0 for cell in digit] for digit in digits])


def fan_in_uniform_(weight: Tensor, fan_in: int | None = None, generator: Generator | None = None) -> Tensor:
    """Fill `weight` in place from the uniform distribution on ±2.4 / fan_in (Appendix A), and return it.

    `fan_in`: inputs of one unit; by default all axes but the first, as in `nn.Linear` and `nn.Conv2d`. The bias input
    is not counted: the paper does not say.

    >>> weight = fan_in_uniform_(torch.empty(10, 24))
    >>> weight.abs().max().item() <= 2.4 / 24
    True
    """
    bound = 2.4 / (math.prod(weight.shape[1:]) if fan_in is None else fan_in)
    with torch.no_grad():
        return weight.uniform_(-bound, bound, generator=generator)


class ScaledTanh(nn.Module):
    """Scaled hyperbolic tangent, f(a) = amplitude * tanh(slope * a). Any shape, any float.

    f(1) = 1 and f(-1) = -1, where |f''| is greatest.

    >>> ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-1.0000,  0.0000,  1.0000])
    """

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3):
        super().__init__()
        self.amplitude = amplitude
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return self.amplitude * torch.tanh(self.slope * x)

    def extra_repr(self) -> str:
        return f"amplitude={self.amplitude:g}, slope={self.slope:g}"


class Subsampling2d(nn.Module):
    """Average pooling over windows that do not overlap, with a trainable coefficient and bias for each channel.

    (N, C, H, W) -> (N, C, floor(H / kh), floor(W / kw)), or the same without N. Rows and columns that fill no window
    are left out. No activation inside.

    Parameters: `weight` (C,) starts at 1 and `bias` (C,) at 0, so that the layer begins as plain averaging. Section
    II.A averages the inputs, II.B adds them: a coefficient here is kh * kw times the one of II.B. The paper does not
    say how either starts.

    Raises ShapeError for another channel count or an image smaller than the window.

    >>> Subsampling2d(1)(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])).item()
    3.0
    """

    _average = staticmethod(F.avg_pool2d)  # or what stands for it in training

    def __init__(self, channels: int, kernel_size: Size = 2):
        super().__init__()
        self.channels = positive(channels, "channels")
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = self.kernel_size  # an anti-aliased network's is 1, see models/antialias.py
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the coefficients to 1 and the biases to 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        for n, kernel in zip(image_size(x, "Subsampling2d", self.channels), self.kernel_size, strict=True):
            output_size(n, kernel, kernel, "valid")
        means = self._average(x, self.kernel_size, self.stride)
        return means * self.weight[:, None, None] + self.bias[:, None, None]

    def extra_repr(self) -> str:
        return f"{self.channels}, kernel_size={self.kernel_size}"


class PartialConv2d(nn.Module):
    """Convolution with a connection table: each output channel is connected to the listed input channels only.

    (N, in_channels, H, W) -> (N, len(connections), H - kh + 1, W - kw + 1), or the same without N.

    `connections`: for each output channel, its input channels. Weights exist only for these: `weight`
    (number of connections, kh, kw), in the table's order, starts uniform in ±2.4 / (the channel's own connections *
    kh * kw); `bias` (out_channels,) starts at 0 (the paper does not say). A dense convolution with zeros where nothing
    is connected is faster than one for each output channel, so `forward` makes `dense_weight()`.

    Raises ArgumentError for a table that is empty, repeats a channel or names one that does not exist, and ShapeError
    for another channel count or an image smaller than the kernel.

    >>> c3 = PartialConv2d(LENET5_C3_TABLE, in_channels=6, kernel_size=5)
    >>> sum(p.numel() for p in c3.parameters()), c3(torch.zeros(2, 6, 14, 14)).shape
    (1516, torch.Size([2, 16, 10, 10]))
    """

    connected_outputs: Tensor
    connected_inputs: Tensor

    def __init__(self, connections: Sequence[Sequence[int]], in_channels: int, kernel_size: Size):
        super().__init__()
        self.in_channels = positive(in_channels, "in_channels")
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.connections = _checked_table(connections, in_channels)
        self.out_channels = len(self.connections)
        pairs = [(o, i) for o, inputs in enumerate(self.connections) for i in inputs]
        outputs, inputs = torch.tensor(pairs).unbind(1)
        self.register_buffer("connected_outputs", outputs.contiguous(), persistent=False)
        self.register_buffer("connected_inputs", inputs.contiguous(), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(pairs), *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.reset_parameters()

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the weights anew, in the table's order, and set the biases to 0."""
        start = 0
        for inputs in self.connections:
            rows = self.weight.detach()[start : start + len(inputs)]
            fan_in_uniform_(rows, fan_in=rows.numel(), generator=generator)
            start += len(inputs)
        nn.init.zeros_(self.bias)

    def dense_weight(self) -> Tensor:
        """Return the weights as (out_channels, in_channels, kh, kw), zero where not connected; differentiable."""
        zeros = self.weight.new_zeros(self.out_channels, self.in_channels, *self.kernel_size)
        return zeros.index_put((self.connected_outputs, self.connected_inputs), self.weight)

    def forward(self, x: Tensor) -> Tensor:
        for n, kernel in zip(image_size(x, "PartialConv2d", self.in_channels), self.kernel_size, strict=True):
            output_size(n, kernel, 1, "valid")
        return F.conv2d(x, self.dense_weight(), self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, connections={len(self.weight)}"
        )


def _checked_table(connections: Sequence[Sequence[int]], in_channels: int) -> tuple[tuple[int, ...], ...]:
    table = tuple(tuple(inputs) for inputs in connections)
    if not table:
        raise ArgumentError("connections is empty; it needs the input channels of at least one output channel")
    for output, inputs in enumerate(table):
        if not inputs:
            raise ArgumentError(f"connections[{output}] is empty; every output channel needs an input channel")
        if len(set(inputs)) < len(inputs):
            raise ArgumentError(f"connections[{output}] = {inputs} names an input channel twice")
        if any(not isinstance(i, int) or not 0 <= i < in_channels for i in inputs):
            raise ArgumentError(f"connections[{output}] = {inputs} must name input channels 0 to {in_channels - 1}")
    return table


class RBFOutput(nn.Module):
    """Output layer of radial basis functions: squared Euclidean distances to each class's fixed prototype.

    (..., features) -> (..., classes), y_i = sum_j (x_j - w_ij)^2, at least 0. Computed from the differences, whose
    error is relative to each distance (the expanded form loses small distances), and in the prototypes' precision where
    that is the finer one: under autocast, in float32. It uses N * classes * features floats while it works.

    `prototypes` (classes, features), floating: kept as a buffer, saved with the weights, not trained.
    Raises ShapeError where `prototypes` is not a matrix or the input's last axis is not `features`.

    >>> RBFOutput(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]))(torch.tensor([[1.0, 0.0]]))
    tensor([[1., 5.]])
    """

    prototypes: Tensor

    def __init__(self, prototypes: Tensor):
        super().__init__()
        if prototypes.dim() != 2 or 0 in prototypes.shape:
            raise ShapeError(f"prototypes must be (classes, features), received a shape of {tuple(prototypes.shape)}")
        if not prototypes.is_floating_point():
            raise ArgumentError(f"prototypes must be floating, received {prototypes.dtype}; use prototypes.float()")
        self.register_buffer("prototypes", prototypes.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        features = self.prototypes.shape[1]
        if x.dim() == 0 or x.shape[-1] != features:
            raise ShapeError(f"RBFOutput takes (..., {features}), received a tensor of shape {tuple(x.shape)}")
        return (x.unsqueeze(-2) - self.prototypes).square().sum(-1)

    def extra_repr(self) -> str:
        classes, features = self.prototypes.shape
        return f"{features}, {classes}"
