"""Rules for the image extent of the output of each basic PyTorch operation, given those of its inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from striate.inspection.extent.extent import MISSING, Extent, union


class Operation(NamedTuple):
    """One call of a PyTorch operation.

    Args:
        given: its arguments by their names, tensors among them.
        extents: what each of its tensors sees, by name, in their order.
        shape: of its (first) output.
    """

    given: Mapping[str, Any]
    extents: Mapping[str, Extent]
    shape: tuple[int, ...]

    def numbers(self, name: str, axes: int) -> tuple[int, ...]:
        """An argument with one number an axis, which may be one number for all."""
        value = tuple(self.given[name])
        return value * axes if len(value) == 1 else value


Rule = Callable[[Operation], Extent]


def _elementwise(operation: Operation) -> Extent:
    return union(list(operation.extents.values()), operation.shape)


def _copied(operation: Operation) -> Extent:
    return operation.extents["src"].broadcast(operation.shape)


def _constant(operation: Operation) -> Extent:
    return Extent.nothing(operation.shape)


def _convolved(operation: Operation) -> Extent:
    weight = operation.given["weight"]
    axes, extent = weight.dim() - 2, operation.extents["input"]
    options = (operation.numbers(name, axes) for name in ("stride", "padding", "dilation"))
    for axis, stride, padding, dilation in zip(range(-axes, 0), *options, strict=True):
        cells, taps = torch.arange(operation.shape[axis])[:, None], torch.arange(weight.shape[axis]) * dilation
        if operation.given["transposed"]:
            reached = cells + padding - taps
            source = reached.div(stride, rounding_mode="floor")
            there = (reached % stride == 0) & (source >= 0) & (source < extent.shape[axis])
            extent = extent.windows(axis, source.where(there, torch.tensor(MISSING)), 1 / stride)
        else:
            extent = extent.windows(axis, cells * stride - padding + taps, stride)
    return extent.grouped(-axes - 1, operation.given["groups"], operation.shape[-axes - 1])


def _pooled(operation: Operation) -> Extent:
    extent: Extent = next(iter(operation.extents.values()))
    axes = len(operation.given["kernel_size"])
    kernels = operation.numbers("kernel_size", axes)
    strides = operation.numbers("stride", axes) if operation.given.get("stride") else kernels
    paddings = operation.numbers("padding", axes) if "padding" in operation.given else (0,) * axes
    dilations = operation.numbers("dilation", axes) if "dilation" in operation.given else (1,) * axes
    for axis, kernel, stride, padding, dilation in zip(
        range(-axes, 0), kernels, strides, paddings, dilations, strict=True
    ):
        first = torch.arange(operation.shape[axis])[:, None] * stride - padding
        extent = extent.windows(axis, first + torch.arange(kernel) * dilation, stride)
    return extent


def _adapted(operation: Operation) -> Extent:
    extent = operation.extents["self"]
    for axis in range(-len(operation.given["output_size"]), 0):
        old, new = extent.shape[axis], operation.shape[axis]
        cell = torch.arange(new)[:, None]
        first, last = cell * old // new, -(-(cell + 1) * old // new) - 1
        reach = torch.arange(int((last - first).max()) + 1)
        extent = extent.windows(axis, (first + reach).minimum(last), None if new == 1 or old % new else old // new)
    return extent


def _padded(operation: Operation) -> Extent:
    """Cells added around, by padding. Whatever they are filled with, they continue the image."""
    extent, pad = operation.extents["self"], list(operation.given.get("pad") or operation.given["padding"])
    for number in range(len(pad) // 2):
        axis = -1 - number
        index = torch.arange(operation.shape[axis])[:, None] - pad[2 * number]
        extent = extent.windows(axis, index, 1)
    return extent


def _reduced(operation: Operation) -> Extent:
    extent = next(iter(operation.extents.values()))
    axes = operation.given.get("dim")
    axes = [axes] if isinstance(axes, int) else list(axes or [])
    return extent.hull(axes, operation.given.get("keepdim", False), operation.shape)


def _along_one_axis(operation: Operation) -> Extent:
    return operation.extents["self"].hull([operation.given["dim"]], True, operation.shape)


def _multiplied(operation: Operation) -> Extent:
    *added, left, right = operation.extents.values()
    sums = [left.hull([-1], True, operation.shape), right.hull([-2], True, operation.shape)]
    return union([*added, *sums], operation.shape)


def _batch_normed(operation: Operation) -> Extent:
    extent = operation.extents["input"]
    if operation.given.get("training", False):  # or without running statistics
        return extent.hull([0, *range(2, len(extent.shape))], True, operation.shape)
    return extent


def _layer_normed(operation: Operation) -> Extent:
    axes = range(-len(operation.given["normalized_shape"]), 0)
    return operation.extents["input"].hull(list(axes), True, operation.shape)


def _attended(operation: Operation) -> Extent:
    query, key, value = (operation.extents[name] for name in ("query", "key", "value"))
    parts = [query.hull([-1], True, ()), key.hull([-2, -1], True, ()), value.hull([-2], True, ())]
    return union(parts, operation.shape)


def _whole_image(operation: Operation) -> Extent:
    """Every cell depends on all cells of its image's inputs."""
    parts = [
        extent.hull(list(range(1, len(extent.shape))), True, ())
        for extent in operation.extents.values()
        if len(extent.shape) == len(operation.shape)
    ]
    return union(parts, operation.shape)


def _table(*entries: tuple[Rule, str]) -> dict[str, Rule]:
    return {name: rule for rule, names in entries for name in names.split()}


# By the operation's name, in-place ones without their last "_".
_RULES = _table(
    (_elementwise, "hardswish _prelu_kernel _to_copy lift_fresh"),
    (_copied, "copy"),
    (_constant, "zero fill zeros_like ones_like full_like empty_like new_zeros new_ones new_empty new_full"),
    (_convolved, "convolution"),
    (_pooled, "avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices"),
    (_adapted, "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"),
    (_padded, "constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d"),
    (_reduced, "mean sum amax amin max min var std prod norm linalg_vector_norm logsumexp"),
    (_along_one_axis, "_softmax _log_softmax"),
    (_multiplied, "mm bmm addmm baddbmm"),
    (_batch_normed, "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit_no_training"),
    (_batch_normed, "_native_batch_norm_legit"),
    (_layer_normed, "native_layer_norm"),
    (_attended, "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention"),
    (_attended, "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"),
    (_whole_image, "native_group_norm _native_multi_head_attention _transformer_encoder_layer_fwd"),
)
# What only moves cells, besides views.
_MOVES = {"_unsafe_view", "cat", "channel_shuffle", "flip", "index", "index_select", "native_channel_shuffle"}
_MOVES |= {"pixel_shuffle", "pixel_unshuffle", "repeat", "roll", "stack", "upsample_nearest1d", "upsample_nearest2d"}
# Views that show something else than cells, or show them in a way that only this one tensor's memory allows.
_NOT_BY_CELL = {"_conj", "_neg_view", "as_strided", "view_as_complex", "view_as_real"}


def name_of(function: Any) -> str:
    """The name of an operation, or of the operation that it is the in-place form of."""
    name: str = function._overloadpacket.__name__
    return name.removesuffix("_") if function._schema.is_mutable else name


def moves(function: Any) -> bool:
    """Tell whether an operation only moves, copies or drops cells, and can be applied to any tensor of the shape."""
    name = name_of(function)
    by_cell = name not in _NOT_BY_CELL and function._overloadname != "dtype"
    return name in _MOVES or (function.is_view and by_cell)


def rule_of(function: Any) -> Rule | None:
    """The rule for an operation's output, or `None` if there is none."""
    return _elementwise if torch.Tag.pointwise in function.tags else _RULES.get(name_of(function))


def arguments(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name; those not passed are left out."""
    names = (argument.name for argument in function._schema.arguments)
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def tensors(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """The arguments that are tensors."""
    return {name: value for name, value in given.items() if isinstance(value, Tensor)}
