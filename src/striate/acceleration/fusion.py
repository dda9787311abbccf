"""Convolutions that add a shortcut and compute their activation in the same call of oneDNN, in prediction on the CPU.

Each layer by itself reads and writes all of the feature maps. In one call they are written once, already normalised,
added to and cut off; filters are laid out for oneDNN once and not in every call.
"""

import operator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from striate.acceleration.convolutions import SMALL_OUTPUT, SMALL_WORK, covers, feature_maps_pay
from striate.acceleration.depthwise import is_depthwise
from striate.acceleration.folding import LayersTracer, folded
from striate.layers import Add, SameConv2d, SqueezeExcitation, StochasticDepth
from striate.layers.padding import same_padding

_WITHOUT_EFFECT = (nn.Identity, nn.Dropout, nn.Dropout2d, StochasticDepth)  # in evaluation mode
_ACTIVATIONS: dict[type[nn.Module], str] = {  # by their names in oneDNN
    nn.ReLU: "relu",
    nn.ReLU6: "hardtanh",
    nn.Hardswish: "hardswish",
    nn.SiLU: "swish",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.GELU: "gelu",
}


def fused(model: nn.Module) -> nn.Module:
    """Return a network that computes the same in fewer calls, for images (N, C, H, W) of one shape, float32.

    Args:
        model: in evaluation mode, without hooks; it is not changed, and the new network shares its weights.

    Raises:
        Exception: whatever the network's own code raises when it is not given numbers.
    """
    graph = LayersTracer(nn.Conv2d, whole=SqueezeExcitation).trace(model)
    module = fx.GraphModule(model, graph)
    layers = dict(module.named_modules())
    for node in list(graph.nodes):
        if _is(node, layers, *_WITHOUT_EFFECT):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    for number, node in enumerate(list(graph.nodes)):
        if _is(node, layers, nn.Conv2d, SameConv2d) and _fits(layers[node.target]):
            _fuse(module, layers, node, f"fused_{number}")
    graph.lint()
    module.recompile()
    return module


def _fuse(module: fx.GraphModule, layers: dict[str, nn.Module], conv: fx.Node, name: str) -> None:
    """Put one layer in place of a convolution and of what follows it."""
    parts, norm, shortcut, activation = [conv], None, None, None

    def follows(*kinds: type[nn.Module]) -> fx.Node | None:
        after = _next(parts[-1])
        return after if after is not None and _is(after, layers, *kinds) else None

    if (after := follows(nn.BatchNorm2d)) is not None and _is_fixed(layers[str(after.target)]):
        norm = layers[str(after.target)]
        parts.append(after)
    if (after := _next(parts[-1])) is not None and (shortcut := _added(after, parts[-1], layers)) is not None:
        parts.append(after)
    if (after := follows(*(_ACTIVATIONS if shortcut is None else (nn.ReLU,)))) is not None:
        activation = layers[str(after.target)]
        parts.append(after)
    layers[name] = _FusedConvolution(layers[str(conv.target)], norm, activation)
    module.add_submodule(name, layers[name])
    with module.graph.inserting_before(parts[-1]):
        given = (conv.args[0],) if shortcut is None else (conv.args[0], shortcut)
        parts[-1].replace_all_uses_with(module.graph.call_module(name, given))
    for each in reversed(parts):
        module.graph.erase_node(each)


class _FusedConvolution(nn.Module):
    """A convolution, the frozen normalisation after it, a shortcut's values added, and an activation.

    Its first images decide, by their shape, whether it calls oneDNN itself, and for what the filters are laid out.
    Small convolutions, and those that other algorithms compute sooner, are F.conv2d's.
    """

    def __init__(self, conv: Any, norm: Any, activation: nn.Module | None):
        super().__init__()
        weight, bias = (conv.weight, conv.bias) if norm is None else folded(conv, norm)
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self.conv, self.activation = conv, activation
        self.seen = False
        self.around: list[int] = []  # columns, then rows, of zeros, where not equally many before and after
        self.padding: list[int] = []
        self.laid_out: Tensor | None
        self.register_buffer("laid_out", None)  # a trace takes such a tensor from nowhere else

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        first, self.seen = not self.seen, True
        if first:
            self.around, self.padding, self.weight = _arranged(self.conv, self.weight, x)
        if self.around:
            x = F.pad(x, self.around)
        if self.laid_out is not None:
            return self._by_onednn(x, self.laid_out, shortcut)
        conv = self.conv
        rest = (conv.stride, tuple(self.padding), conv.dilation, conv.groups)
        output = F.conv2d(x, self.weight, self.bias, *rest)
        usual = x.ndim == 4 and (shortcut is None or shortcut.shape == output.shape)
        if first and usual and _is_large(output, self.weight) and not self._is_faster_elsewhere(x):
            self.laid_out = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, conv.stride, conv.dilation, conv.groups, x.shape
            )
        if shortcut is not None:
            output = output + shortcut
        return output if self.activation is None else self.activation(output)

    def _is_faster_elsewhere(self, x: Tensor) -> bool:
        whole = self.conv.groups == 1 and not any(self.padding) and covers(x, self.weight)
        return whole or feature_maps_pay(x, self.weight)

    def _by_onednn(self, x: Tensor, weight: Tensor, shortcut: Tensor | None) -> Tensor:
        conv, activation = self.conv, self.activation
        layer = (weight, self.bias, self.padding, conv.stride, conv.dilation, conv.groups)
        name = "none" if activation is None else _ACTIVATIONS[type(activation)]
        if shortcut is not None:
            return _onednn().added(x, shortcut, *layer, None if activation is None else name)
        return _onednn().activated(x, *layer, name, activation.approximate if isinstance(activation, nn.GELU) else "")


@cache
def _onednn() -> Any:
    """PyTorch's convolutions with more in one call, as TorchScript: a trace can't take their lists from Python."""
    return torch.jit.CompilationUnit("""
    def activated(x, weight, bias: Optional[Tensor], padding: List[int], stride: List[int], dilation: List[int],
                  groups: int, name: str, formula: str):
        numbers = torch.jit.annotate(List[Optional[number]], [])
        if name == "hardtanh":
            numbers = torch.jit.annotate(List[Optional[number]], [0.0, 6.0])
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, padding, stride, dilation, groups, name, numbers, formula)

    def added(x, shortcut, weight, bias: Optional[Tensor], padding: List[int], stride: List[int], dilation: List[int],
              groups: int, name: Optional[str]):
        numbers = torch.jit.annotate(List[Optional[number]], [])
        return torch.ops.mkldnn._convolution_pointwise(
            x, shortcut, weight, bias, padding, stride, dilation, groups, "add", 1.0, name, numbers, "")
    """)


def _arranged(conv: Any, weight: Tensor, x: Tensor) -> tuple[list[int], list[int], Tensor]:
    """Zeros to put around images, cells on each side that the convolution itself adds, and the filters for that.

    Where there is one cell less before the image than after it, depthwise filters get a first row or column of zeros
    instead, and as many cells before as after: they take no longer, and the images need not be copied.
    """
    if not isinstance(conv.padding, str):
        return [], list(conv.padding), weight
    if conv.padding == "valid":
        return [], [0, 0], weight
    reach = [span * (side - 1) + 1 for side, span in zip(conv.kernel_size, conv.dilation, strict=True)]
    rows, columns = (same_padding(int(n), k, step) for n, k, step in zip(x.shape[2:], reach, conv.stride, strict=True))
    shorter = [columns[1] - columns[0], rows[1] - rows[0]]
    if not any(shorter):
        return [], [rows[0], columns[0]], weight
    if not is_depthwise(conv) or tuple(conv.dilation) != (1, 1):
        return [*columns, *rows], [0, 0], weight
    return [], [rows[1], columns[1]], F.pad(weight, (shorter[0], 0, shorter[1], 0))


def _is_large(output: Tensor, weight: Tensor) -> bool:
    return output.numel() > SMALL_OUTPUT and output.numel() * weight[0].numel() > SMALL_WORK


def _fits(layer: Any) -> bool:
    zeros = layer.padding_mode == "zeros" and layer.weight.dtype == torch.float32
    return zeros and type(layer) in (nn.Conv2d, SameConv2d) and layer.weight.device.type == "cpu"


def _is_fixed(norm: Any) -> bool:
    return norm.running_mean is not None and norm.weight is not None and not norm.training


def _is(node: fx.Node, layers: dict[str, nn.Module], *kinds: type[nn.Module]) -> bool:
    return node.op == "call_module" and type(layers[str(node.target)]) in kinds


def _next(node: fx.Node) -> fx.Node | None:
    """Return the only node that uses a value, or `None` where several do or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _added(node: fx.Node, value: fx.Node, layers: dict[str, nn.Module]) -> fx.Node | None:
    """Return the other operand of an addition to `value`, or `None` where the node is no such addition."""
    adds = _is(node, layers, Add) or (node.op == "call_function" and node.target in (operator.add, torch.add))
    if not adds or len(node.args) != 2 or node.kwargs or not all(isinstance(each, fx.Node) for each in node.args):
        return None
    one, other = node.args
    return None if one is other else other if one is value else one  # type: ignore[return-value]
