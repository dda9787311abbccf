"""Rules for the image extent of the output of each basic PyTorch operation, given those of its inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from striate.inspection.extent.extent import MISSING, Sight, union


class Operation(NamedTuple):
    """One call of a PyTorch operation.

    Args:
        given: its arguments by their names, tensors among them.
        sights: what each of its tensors sees, by name, in their order.
        shape: of its (first) output.
    """

    given: Mapping[str, Any]
    sights: Mapping[str, Sight]
    shape: tuple[int, ...]

    def numbers(self, name: str, axes: int) -> tuple[int, ...]:
        """An argument with one number an axis, which may be one number for all."""
        value = tuple(self.given[name])
        return value * axes if len(value) == 1 else value


Rule = Callable[[Operation], Sight]


def _alike(operation: Operation) -> Sight:
    return union(list(operation.sights.values()), operation.shape)


def _written(operation: Operation) -> Sight:
    return operation.sights["src"].broadcast(operation.shape)


def _forgotten(operation: Operation) -> Sight:
    return Sight.nothing(operation.shape)


def _convolved(operation: Operation) -> Sight:
    weight = operation.given["weight"]
    axes, sight = weight.dim() - 2, operation.sights["input"]
    options = (operation.numbers(name, axes) for name in ("stride", "padding", "dilation"))
    for axis, stride, padding, dilation in zip(range(-axes, 0), *options, strict=True):
        cells, taps = torch.arange(operation.shape[axis])[:, None], torch.arange(weight.shape[axis]) * dilation
        if operation.given["transposed"]:
            reached = cells + padding - taps
            source = reached.div(stride, rounding_mode="floor")
            there = (reached % stride == 0) & (source >= 0) & (source < sight.shape[axis])
            sight = sight.windows(axis, source.where(there, torch.tensor(MISSING)), 1 / stride)
        else:
            sight = sight.windows(axis, cells * stride - padding + taps, stride)
    return sight.grouped(-axes - 1, operation.given["groups"], operation.shape[-axes - 1])


def _pooled(operation: Operation) -> Sight:
    sight: Sight = next(iter(operation.sights.values()))
    axes = len(operation.given["kernel_size"])
    kernels = operation.numbers("kernel_size", axes)
    strides = operation.numbers("stride", axes) if operation.given.get("stride") else kernels
    paddings = operation.numbers("padding", axes) if "padding" in operation.given else (0,) * axes
    dilations = operation.numbers("dilation", axes) if "dilation" in operation.given else (1,) * axes
    for axis, kernel, stride, padding, dilation in zip(
        range(-axes, 0), kernels, strides, paddings, dilations, strict=True
    ):
        first = torch.arange(operation.shape[axis])[:, None] * stride - padding
        sight = sight.windows(axis, first + torch.arange(kernel) * dilation, stride)
    return sight


def _adapted(operation: Operation) -> Sight:
    sight = operation.sights["self"]
    for axis in range(-len(operation.given["output_size"]), 0):
        old, new = sight.shape[axis], operation.shape[axis]
        cell = torch.arange(new)[:, None]
        first, last = cell * old // new, -(-(cell + 1) * old // new) - 1
        reach = torch.arange(int((last - first).max()) + 1)
        sight = sight.windows(axis, (first + reach).minimum(last), None if new == 1 or old % new else old // new)
    return sight


def _bordered(operation: Operation) -> Sight:
    """Cells added around, by padding. Whatever they are filled with, they continue the image."""
    sight, pad = operation.sights["self"], list(operation.given.get("pad") or operation.given["padding"])
    for number in range(len(pad) // 2):
        axis = -1 - number
        index = torch.arange(operation.shape[axis])[:, None] - pad[2 * number]
        sight = sight.windows(axis, index, 1)
    return sight


def _reduced(operation: Operation) -> Sight:
    sight = next(iter(operation.sights.values()))
    axes = operation.given.get("dim")
    axes = [axes] if isinstance(axes, int) else list(axes or [])
    return sight.hull(axes, operation.given.get("keepdim", False), operation.shape)


def _along_one_axis(operation: Operation) -> Sight:
    return operation.sights["self"].hull([operation.given["dim"]], True, operation.shape)


def _multiplied(operation: Operation) -> Sight:
    *added, left, right = operation.sights.values()
    sums = [left.hull([-1], True, operation.shape), right.hull([-2], True, operation.shape)]
    return union([*added, *sums], operation.shape)


def _batch_normed(operation: Operation) -> Sight:
    sight = operation.sights["input"]
    if operation.given.get("training", False):  # or without running statistics
        return sight.hull([0, *range(2, len(sight.shape))], True, operation.shape)
    return sight


def _layer_normed(operation: Operation) -> Sight:
    axes = range(-len(operation.given["normalized_shape"]), 0)
    return operation.sights["input"].hull(list(axes), True, operation.shape)


def _attended(operation: Operation) -> Sight:
    query, key, value = (operation.sights[name] for name in ("query", "key", "value"))
    parts = [query.hull([-1], True, ()), key.hull([-2, -1], True, ()), value.hull([-2], True, ())]
    return union(parts, operation.shape)


def _mixed(operation: Operation) -> Sight:
    """Every cell depends on all cells of its image's inputs."""
    parts = [
        sight.hull(list(range(1, len(sight.shape))), True, ())
        for sight in operation.sights.values()
        if len(sight.shape) == len(operation.shape)
    ]
    return union(parts, operation.shape)


def _table(*entries: tuple[Rule, str]) -> dict[str, Rule]:
    return {name: rule for rule, names in entries for name in names.split()}


# By the operation's name, in-place ones without their last "_".
_RULES = _table(
    (_alike, "hardswish _prelu_kernel _to_copy lift_fresh"),
    (_written, "copy"),
    (_forgotten, "zero fill zeros_like ones_like full_like empty_like new_zeros new_ones new_empty new_full"),
    (_convolved, "convolution"),
    (_pooled, "avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices"),
    (_adapted, "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"),
    (_bordered, "constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d"),
    (_reduced, "mean sum amax amin max min var std prod norm linalg_vector_norm logsumexp"),
    (_along_one_axis, "_softmax _log_softmax"),
    (_multiplied, "mm bmm addmm baddbmm"),
    (_batch_normed, "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit_no_training"),
    (_batch_normed, "_native_batch_norm_legit"),
    (_layer_normed, "native_layer_norm"),
    (_attended, "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention"),
    (_attended, "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"),
    (_mixed, "native_group_norm _native_multi_head_attention _transformer_encoder_layer_fwd"),
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
    return _alike if torch.Tag.pointwise in function.tags else _RULES.get(name_of(function))


def arguments(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name; those not passed are left out."""
    names = (argument.name for argument in function._schema.arguments)
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def tensors(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """The arguments that are tensors."""
    return {name: value for name, value in given.items() if isinstance(value, Tensor)}
