"""Receptive fields that don't suit the image: too small, or so large that kernels see mostly padding."""

import math

from torch import nn

from striate import layers
from striate.errors import ArgumentError
from striate.inspection.advice.finding import Finding, share
from striate.inspection.advice.network import Network, SkippedError
from striate.inspection.advice.surgery import Surgery, changed
from striate.inspection.extent.field import Field
from striate.inspection.structure.trace import Call, trace
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
