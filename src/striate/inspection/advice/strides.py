"""Strides larger than their kernels, which skip the cells between the windows.

Source of the change: He, T. et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", 2018,
section 4.2 (ResNet-D): an average pooling takes over the stride of a 1×1 convolution, which then reads everything.
"""

import math

import torch
from torch import Tensor, nn

from striate import seeding
from striate.inspection.advice.finding import Finding, share
from striate.inspection.advice.network import Network
from striate.inspection.advice.surgery import Surgery, convolution, put
from striate.inspection.attribution import randomised
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import like
from striate.inspection.structure.trace import Call
from striate.models import evaluating
from striate.units import by

PROBES = 4  # images of noise
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def skipping_strides(network: Network) -> list[Finding]:
    """Find windows with a stride larger than their kernel whose skipped cells no other path of the network reads.

    The shortcut of a residual block may skip cells that the block's other branch reads. So the gradient decides: a cell
    between the windows counts if, on a copy with random weights, the output's derivative with respect to it is 0.
    """
    calls = {call.name: call for call in network.calls if _skips(call)}
    unread = {name: part for name, part in _unread(network, calls).items() if part > 0}
    if not unread:
        return []
    kinds = sorted({_text(calls[name]) for name in unread})
    plain = all(type(calls[name].module) in (nn.Conv2d, *_POOLS) for name in unread)
    worst = max(unread.values())
    return [
        Finding(
            rule="skipping-stride",
            layers=tuple(unread),
            found=f"{' and '.join(kinds)}: {share(worst, 1)} of the input cells are not used.",
            numbers={"unread": worst, "layers": len(unread)},
            change=f"{_proposal([calls[name] for name in unread])}.",
            manual="" if plain else "a layer is of a custom type",
            surgery=_covering(list(unread)) if plain else None,
        )
    ]


def _text(call: Call) -> str:
    window = layer_kinds.window(call.module, 2)
    return f"{by(window.kernel or ())} with stride {by(window.stride or (), shorten=True)}"


def _skips(call: Call) -> bool:
    window = layer_kinds.window(call.module, 2)
    if len(call.output_shape) != 4 or window.kernel is None or window.stride is None or len(window.kernel) != 2:
        return False
    return any(step > kernel for kernel, step in zip(window.kernel, window.stride, strict=True))


def _between(call: Call) -> Tensor:
    """The cells that no window of the layer covers: bool (height, width)."""
    window, given = layer_kinds.window(call.module, 2), getattr(call.module, "padding", 0)
    padding = (given, given) if isinstance(given, int) else (0, 0) if isinstance(given, str) else given
    covered = []
    for axis, (cells, windows) in enumerate(zip(call.input_shape[2:], call.output_shape[2:], strict=True)):
        kernel, stride = (window.kernel or (1, 1))[axis], (window.stride or (1, 1))[axis]
        read = torch.arange(windows)[:, None] * stride - padding[axis] + torch.arange(kernel)
        covered.append(torch.isin(torch.arange(cells), read))
    return ~(covered[0][:, None] & covered[1])


def _unread(network: Network, calls: dict[str, Call]) -> dict[str, float]:
    """Share of the input cells of each layer that it skips and that the output does not depend on."""
    if not calls:
        return {}
    copied = randomised(network.module)
    taken: dict[str, Tensor] = {}
    handles = []
    for path in calls:

        def keep(module: nn.Module, args: tuple[Tensor, ...], path: str = path) -> None:
            taken[path] = args[0]

        handles.append(copied.get_submodule(path).register_forward_pre_hook(keep))
    noise = torch.randn(PROBES, *network.shape, generator=seeding.generator(0, "probe")).to(like(copied))
    try:
        with evaluating(copied), torch.enable_grad():
            output = copied(noise.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    weights = torch.randn(output.shape, generator=seeding.generator(0, "probe weights")).to(output)
    slopes = torch.autograd.grad(output, list(taken.values()), weights)
    silent = {path: (slope == 0).all(1).all(0).cpu() for path, slope in zip(taken, slopes, strict=True)}
    return {path: float((silent[path] & _between(call)).double().mean()) for path, call in calls.items()}


def _proposal(calls: list[Call]) -> str:
    pointwise = all(_pointwise(call.module) for call in calls)
    if pointwise:
        return "Put an average pooling with the stride before each of them (ResNet-D)"
    return "Enlarge the kernels until they meet, and the padding with them"


def _pointwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.padding == (0, 0)


def _covering(paths: list[str]) -> Surgery:
    def cover(model: nn.Module, shape: tuple[int, int, int]) -> None:
        for path in paths:
            old = model.get_submodule(path)
            put(model, path, _averaged(old) if _pointwise(old) else _enlarged(old))  # type: ignore[arg-type]

    return cover


def _averaged(conv: nn.Conv2d) -> nn.Sequential:
    """The same weights behind an average pooling that takes over the stride."""
    stride, conv.stride = conv.stride, (1, 1)
    return nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False), conv)  # type: ignore[arg-type]


def _enlarged(old: nn.Module) -> nn.Module:
    """The same layer with a kernel at least as large as its stride, padded so that its output keeps its size."""
    window = layer_kinds.window(old, 2)
    kernel, stride = window.kernel or (1, 1), window.stride or (1, 1)
    padding = getattr(old, "padding", 0)
    padding = (padding, padding) if isinstance(padding, int) else (0, 0) if isinstance(padding, str) else padding
    more = [max(0, math.ceil((step - size) / 2)) for size, step in zip(kernel, stride, strict=True)]
    size = tuple(each + 2 * extra for each, extra in zip(kernel, more, strict=True))
    border = tuple(each + extra for each, extra in zip(padding, more, strict=True))
    if isinstance(old, nn.Conv2d):
        return convolution(old, old.in_channels, old.out_channels, kernel_size=size, padding=border)
    if isinstance(old, nn.AvgPool2d):
        return nn.AvgPool2d(size, stride, border, old.ceil_mode, count_include_pad=False)  # type: ignore[arg-type]
    return nn.MaxPool2d(size, stride, border, ceil_mode=old.ceil_mode)  # type: ignore[arg-type]
