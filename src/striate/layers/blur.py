"""Anti-aliased downsampling: blur before subsampling.

Source: Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019, section 3; the filter of 4 taps is from
the author's later code. A layer with a stride of n is split into the same layer without stride, whose output is then
blurred and subsampled.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import unknown
from striate.layers.padding import Padding, Size, image_size, pair, positive
from striate.layers.pooling import MaxPool2d

#: Rows of Pascal's triangle; in two dimensions each is multiplied with itself, and scaled so that the weights sum to 1.
#:
#: >>> list(FILTERS), FILTERS["tri-3"]
#: (['rect-2', 'tri-3', 'tri-4', 'bin-5'], (1, 2, 1))
FILTERS = {"rect-2": (1, 1), "tri-3": (1, 2, 1), "tri-4": (1, 3, 3, 1), "bin-5": (1, 4, 6, 4, 1)}
#: The filter of blur pooling, unless another is asked for.
#:
#: >>> FILTERS[DEFAULT_FILTER]
#: (1, 3, 3, 1)
DEFAULT_FILTER = "tri-4"


class BlurPool2d(nn.Module):
    """Blur each channel with a fixed filter and keep every `stride`-th pixel, the first one included.

    (N, channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)), or the same without N; floating. The edge
    is mirrored, without repeating it; an axis too short for that repeats its last cell. Constant images are unchanged.

    `channels` is fixed, so that the filter is a constant of an exported graph whatever the batch. As a buffer that no
    state dict holds, it leaves the weights of a network what they were without it. `filter` is a key of `FILTERS`;
    along an axis with a stride of 1 nothing is blurred.

    Raises ArgumentError for an argument out of range, and ShapeError for a tensor that is no image or has another
    number of channels.

    >>> x = torch.tensor([[[[0.0, 0.0, 8.0, 0.0, 0.0, 0.0]]]])
    >>> BlurPool2d(1, "tri-3", stride=(1, 2))(x), BlurPool2d(1, "tri-4", stride=(1, 2))(x)
    (tensor([[[[0., 4., 0.]]]]), tensor([[[[1., 3., 0.]]]]))
    """

    _convolve = staticmethod(F.conv2d)  # or what stands for it in training
    taps: Tensor

    def __init__(self, channels: int, filter: str = DEFAULT_FILTER, stride: Size = 2):
        super().__init__()
        if filter not in FILTERS:
            raise unknown("filter", filter, FILTERS)
        self.channels = positive(channels, "channels")
        self.filter = filter
        self.stride = pair(stride, "stride")
        rows, columns = (torch.tensor(FILTERS[filter] if step > 1 else (1,)).float() for step in self.stride)
        self.kernel_size = (len(rows), len(columns))
        taps = torch.outer(rows / rows.sum(), columns / columns.sum())
        self.register_buffer("taps", taps.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = image_size(x, "BlurPool2d", self.channels)
        return self._convolve(self._padded(x, height, width), self.taps, stride=self.stride, groups=self.channels)

    def _padded(self, x: Tensor, height: int, width: int) -> Tensor:
        tall, wide = self.kernel_size
        rows, columns = ((tall - 1) // 2, tall // 2), ((wide - 1) // 2, wide // 2)  # before and after
        row_mode = "reflect" if height > tall // 2 else "replicate"
        column_mode = "reflect" if width > wide // 2 else "replicate"
        if row_mode == column_mode:
            return F.pad(x, columns + rows, mode=row_mode)
        return F.pad(F.pad(x, (*columns, 0, 0), mode=column_mode), (0, 0, *rows), mode=row_mode)

    def extra_repr(self) -> str:
        return f"{self.channels}, filter={self.filter!r}, stride={self.stride}"


class MaxBlurPool2d(nn.Module):
    """Max pooling without aliasing: max pooling with stride 1, then blurred and subsampled.

    Shapes, arguments and errors of MaxPool2d, and those of BlurPool2d: with "valid" H' = floor((H - kh) / sh) + 1, with
    "same" ceil(H / sh). It takes the place of a max pooling with the same kernel and stride.

    >>> x = torch.tensor([[[[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]]]])
    >>> MaxBlurPool2d(1, (1, 2), filter="tri-3")(x), MaxBlurPool2d(1, (1, 2), filter="tri-3")(x.roll(1, -1))
    (tensor([[[[0.5000, 1.0000, 0.5000]]]]), tensor([[[[0.0000, 0.7500, 1.0000]]]]))
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Padding | Size = "valid",
        filter: str = DEFAULT_FILTER,
    ):
        super().__init__()
        self.pool = MaxPool2d(kernel_size, 1, padding)
        self.blur = BlurPool2d(channels, filter, kernel_size if stride is None else stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.blur(self.pool(x))

    def __repr__(self) -> str:
        return f"MaxBlurPool2d({self.pool}, {self.blur})"


class BlurredConv2d(nn.Conv2d):
    """A convolution with a stride, without aliasing: the same one without stride, blurred and subsampled.

    (N, in_channels, H, W) to the shape that the strided convolution gives, or the same without N. Parameters, their
    names and their initial values are those of nn.Conv2d, so the weights of either load into the other. A 1×1
    convolution is applied after the blur, which gives the same at a fraction of the cost.

    An activation after it acts on blurred features. Zhang blurs after the activation, which is better where there is
    one: rectifying blurred features brings back some of the detail that the next layer's pixels can't hold.

    >>> conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    >>> BlurredConv2d(conv)(torch.zeros(2, 3, 9, 6)).shape == conv(torch.zeros(2, 3, 9, 6)).shape
    True
    """

    def __init__(self, conv: nn.Conv2d, filter: str = DEFAULT_FILTER):
        kernel, padding = (conv.kernel_size[0], conv.kernel_size[1]), conv.padding
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            kernel,
            padding=padding if isinstance(padding, str) else (padding[0], padding[1]),
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.before = kernel == (1, 1) and not any(conv.padding)
        blur = BlurPool2d(
            self.in_channels if self.before else self.out_channels, filter, (conv.stride[0], conv.stride[1])
        )
        self.blur = blur.to(conv.weight.device, conv.weight.dtype)
        self.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.blur(x)) if self.before else self.blur(super().forward(x))

    def __repr__(self) -> str:
        return f"BlurredConv2d({self.extra_repr()}, {self.blur})"  # type: ignore[no-untyped-call]
