"""Receptive fields that don't suit the image: too small, so large that kernels see mostly padding, or with gaps.

Gaps are the cells that strides larger than their kernels skip. Source of the change: He, T. et al., "Bag of Tricks for
Image Classification with Convolutional Neural Networks", 2018, section 4.2 (ResNet-D): an average pooling takes over
the stride of a 1×1 convolution, which then reads everything.
"""

import math

import torch
from torch import Tensor, nn

from striate import layers, seeding
from striate.errors import ArgumentError
from striate.inspection.advice.rule import Finding, Network, SkippedError, share
from striate.inspection.advice.surgery import Surgery, changed, convolution, put
from striate.inspection.attribution import randomised
from striate.inspection.extent.field import Field
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import like
from striate.inspection.structure.trace import Call, trace
from striate.models import evaluating
from striate.units import by

SMALL_SHARE = 0.5  # of the image's side: a unit of the final feature maps then sees less than a quarter of it
IDLE_SHARE = 0.05  # of the network's parameters, above which idle weights are a finding
MOST_STRIDES = 4  # to remove

_STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, layers.MaxPool2d, layers.AvgPool2d)


def small_field(network: Network) -> list[Finding]:
    """Find final feature maps whose units see less than half of the image along both sides.

    Raises:
        SkippedError: if their receptive field is unknown.
    """
    call, field = _last(network)
    image = network.shape[1:]
    if max(size / side for size, side in zip(field.size, image, strict=True)) >= SMALL_SHARE:
        return []
    stride = max([each for each in field.stride if each], default=1)
    missing = max(side - size for size, side in zip(field.size, image, strict=True))
    more = math.ceil(missing / (2 * stride))
    return [
        Finding(
            rule="small-field",
            layers=(call.name,),
            found=f"Each unit of the final feature maps sees {by(field.size)} of the image's {by(image)} pixels "
            f"({share(math.prod(field.size), math.prod(image))} of its area).",
            numbers={"field": max(field.size), "image": max(image), "stride": stride, "layers_missing": more},
            change=f"Add a pooling, or 3×3 layers, each of which widens the field by {2 * stride:g} pixels "
            f"here: {more} of them would cover the whole image.",
            manual="where to deepen a network is a design choice",
        )
    ]


def idle_weights(network: Network) -> list[Finding]:
    """Find kernels on feature maps so small that some of their weights meet nothing but padding, whatever the image.

    That is the effect of a receptive field far larger than the image: the image has shrunk to a few cells.
    """
    idle = _idle(network.calls)
    count = sum(idle.values())
    if not count or count < IDLE_SHARE * network.parameters:
        return []
    calls = [call for call in network.calls if idle.get(call.name)]
    least = min((call.input_shape[2:] for call in calls), key=math.prod)
    field = calls[-1].field
    sees = f" (receptive field {by(field.size)})" if field is not None else ""
    found = _freeing(network)
    return [
        Finding(
            rule="large-field",
            layers=tuple(call.name for call in calls),
            found=f"An image of {by(network.shape[1:])}{sees} is down to {by(least)} there: {count:,} weights "
            f"({share(count, network.parameters)} of the network's) only ever meet padding.",
            numbers={
                "idle_weights": count,
                "share": count / network.parameters,
                "field": max(field.size) if field is not None else 0,
                "image": max(network.shape[1:]),
            },
            change=f"Keep the feature maps larger: {_without(found[0])}."
            if found
            else "Keep the feature maps larger, with fewer strides or a larger image.",
            manual="" if found else "removing the first strides is not enough or not possible",
            surgery=found[1] if found else None,
        )
    ]


def _last(network: Network) -> tuple[Call, Field]:
    """The last convolution or pooling with feature maps, and its receptive field."""
    for call in reversed(network.calls):
        windowed = getattr(call.module, "kernel_size", None) is not None and len(call.output_shape) == 4
        if windowed and call.field is None:
            raise SkippedError("the receptive field of its final feature maps is unknown")
        if windowed and call.field is not None:
            return call, call.field
    raise SkippedError("it has no feature maps")


def _idle(calls: list[Call]) -> dict[str, int]:
    """Number of weights of each convolution that never meet a cell of the feature map."""
    found: dict[str, int] = {}
    for call in calls:
        conv = call.module
        if isinstance(conv, nn.Conv2d) and type(conv) is nn.Conv2d and len(call.input_shape) == 4:
            met = math.prod(
                _met(conv, axis, call.input_shape[2 + axis], call.output_shape[2 + axis]) for axis in (0, 1)
            )
            idle = conv.weight[..., 0, 0].numel() * (math.prod(conv.kernel_size) - met)
            found[call.name] = min(found.get(call.name, idle), idle)
    return found


def _met(conv: nn.Conv2d, axis: int, cells: int, made: int) -> int:
    """Number of a kernel's rows or columns that meet a cell in at least one place."""
    kernel, stride, dilation = conv.kernel_size[axis], conv.stride[axis], conv.dilation[axis]
    padding = conv._reversed_padding_repeated_twice[2 * (1 - axis)]  # what "same" comes to, too
    return sum(
        any(0 <= place * stride - padding + tap * dilation < cells for place in range(made)) for tap in range(kernel)
    )


def _freeing(network: Network) -> tuple[list[str], Surgery] | None:
    """The first strided layers whose strides have to go so that no weights are idle, and the surgery for it."""
    strided = dict.fromkeys(call.name for call in network.calls if _strides(call.module))
    for count in range(1, MOST_STRIDES + 1):
        paths = list(strided)[:count]
        try:
            freed = changed(network.module, _unstriding(paths), network.shape)
        except ArgumentError:
            return None
        if sum(_idle(trace(freed, network.shape)).values()) < IDLE_SHARE * network.parameters:
            return paths, _unstriding(paths)
    return None


def _strides(module: nn.Module) -> bool:
    return type(module) in _STRIDED and module.stride not in (1, (1, 1))


def _unstriding(paths: list[str]) -> Surgery:
    def unstride(model: nn.Module, shape: tuple[int, int, int]) -> None:
        for path in paths:
            model.get_submodule(path).stride = (1, 1)  # type: ignore[assignment]

    return unstride


def _without(paths: list[str]) -> str:
    return f"{' and '.join(paths)} without a stride"


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
    kinds = sorted({_window_text(calls[name]) for name in unread})
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


def _window_text(call: Call) -> str:
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
