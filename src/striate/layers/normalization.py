"""Normalisation: of each pixel across channels, local response normalisation, and a convolution that whitens patches.

Sources: Ba, Kiros, Hinton, "Layer Normalization", 2016; on channels alone as in Liu et al., "A ConvNet for the 2020s",
2022, section 2.5. Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
2012, section 3.3. Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.2: the eigenvectors of
the images' patches, each divided by its standard deviation, and the same with the other sign, so that a ReLU loses
nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import image_size, positive


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation across channels: at each pixel they get mean 0 and variance 1, then a scale and a bias each.

    (N, channels, H, W) -> the same, or the same without N; floating. Parameters are those of nn.LayerNorm.

    Raises ShapeError for a tensor that is no image or has another number of channels.

    >>> LayerNorm2d(2)(torch.tensor([[[[1.0]], [[3.0]]]])).flatten()
    tensor([-1.0000,  1.0000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__(channels, eps=eps)

    def forward(self, input: Tensor) -> Tensor:
        image_size(input, "LayerNorm2d", self.normalized_shape[0])
        channels_last = input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last)
        last = input.movedim(-3, -1)  # (N, H, W, C)
        normed = F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, -3)
        return normed if channels_last and not input.is_contiguous() else normed.contiguous()


class LocalResponseNorm(nn.Module):
    """Local response normalisation: each value is divided by a power of the squares in neighbouring channels.

    b_i = a_i / (k + alpha * sum of a_j² over the `size` channels around channel i that exist) ** beta, at every pixel.

    (N, C, H, W) -> the same, or the same without N; floating. The defaults are the paper's constants, and alpha is the
    paper's own: PyTorch's layer of this name divides it by `size`. Slices are added up, which takes a quarter of the
    time of PyTorch's detour by three-dimensional pooling. The divisor is computed in float32 at least, because squares
    overflow float16.

    Raises ArgumentError for an even `size`, whose window has no middle, and ShapeError for a tensor that is no image.

    >>> LocalResponseNorm(3, alpha=1, beta=1, k=1)(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)).flatten()
    tensor([0.1667, 0.1333, 0.2143])
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0):
        super().__init__()
        if positive(size, "size") % 2 == 0:
            raise ArgumentError(
                f"size={size}: the number of channels in a window is odd; use {size - 1} or {size + 1}."
            )
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        image_size(x, "LocalResponseNorm")
        channels, reach = x.shape[-3], self.size // 2
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        squares = F.pad(wide.square(), (0, 0, 0, 0, reach, reach))
        total = squares.narrow(-3, 0, channels)
        for first in range(1, self.size):
            total = total + squares.narrow(-3, first, channels)
        base = self.k + self.alpha * total
        # base ** -0.75 by square roots takes half the time of a power.
        factor = torch.rsqrt(base * base.sqrt()) if self.beta == 0.75 else base.pow(-self.beta)
        return (wide * factor).to(x.dtype)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


EPSILON = 5e-4  # added to the variances, so that directions with none don't amplify noise (Jordan 2024, section 3.2)
CHUNK = 2**22  # values of patches that are summed at once


class WhiteningConv2d(nn.Conv2d):
    """Convolution with fixed filters that whiten patches of `kernel_size` × `kernel_size` pixels.

    (N, in_channels, H, W) to (N, 2 × directions, H, W), or the same without N; floating. Padded with zeros, stride 1.
    `directions` is how many of the eigenvectors are used, those of the largest variance first; at most, and without it,
    in_channels × kernel_size². With `bias`, biases are learned.

    Until `fit` has seen images, the filters are those for pixels of unit variance whose correlation falls with their
    distance as 0.9^(rows + columns + 1 between different channels), the usual model of a picture. The filters are a
    parameter without gradient, saved and loaded as any other.

    Raises ArgumentError for an argument out of range.

    >>> WhiteningConv2d(1, kernel_size=3).weight.shape
    torch.Size([18, 1, 3, 3])
    """

    def __init__(self, in_channels: int, kernel_size: int = 3, directions: int | None = None, bias: bool = False):
        positive(in_channels, "in_channels")
        if positive(kernel_size, "kernel_size") % 2 == 0:
            raise ArgumentError(f"kernel_size must be odd, received {kernel_size}")
        most = in_channels * kernel_size**2
        directions = most if directions is None else positive(directions, "directions")
        if directions > most:
            raise ArgumentError(f"directions must be at most {most} (channels × kernel²), received {directions}")
        super().__init__(in_channels, 2 * directions, kernel_size, padding=kernel_size // 2, bias=bias)
        self.weight.requires_grad_(False)
        self._set(self._expected())

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Compute filters that whiten the patches of these images.

        Args:
            images: floating (N, in_channels, H, W), N at least 1, normalised as the layer's input will be.

        Raises:
            ShapeError: for a tensor of another shape.
        """
        if images.ndim != 4 or images.shape[1] != self.in_channels or 0 in images.shape:
            raise ShapeError(f"expected images (N, {self.in_channels}, H, W), received {tuple(images.shape)}")
        size = self.kernel_size[0]
        total = torch.zeros(self.in_channels * size**2, self.in_channels * size**2, dtype=torch.float64)
        values = images[0].numel() * size**2
        for some in images.cpu().split(max(1, CHUNK // values)):
            patches = F.unfold(some.double(), size, padding=size // 2).transpose(1, 2).flatten(0, 1)
            total += patches.T @ patches
        self._set(total / (len(images) * images.shape[2] * images.shape[3]))

    def _expected(self) -> Tensor:
        """Return the model covariance of a picture's patches, in the order of their values: channel, row, column."""
        size = self.kernel_size[0]
        places = torch.cartesian_prod(*map(torch.arange, (self.in_channels, size, size))).double().view(-1, 3)
        apart = (places[:, None] - places[None]).abs()
        apart[..., 0].clamp_(max=1)
        return 0.9 ** apart.sum(dim=2)

    @torch.no_grad()
    def _set(self, covariance: Tensor) -> None:
        variances, directions = torch.linalg.eigh(covariance)  # in rising order
        filters = (directions / (variances.clamp(min=0) + EPSILON).sqrt()).T.flip(0)[: self.out_channels // 2]
        self.weight.copy_(torch.cat([filters, -filters]).view_as(self.weight))
