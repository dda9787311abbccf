"""The network of a page: outlines of its layers, and graphs with their outputs and the gradient of Grad-CAM."""

import base64
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from striate import layers
from striate.inference.exported_file import Card
from striate.inference.onnx_graph import assembled, network, to_onnx
from striate.inference.onnx_preprocessing import preprocessing
from striate.inspection.evidence import stages
from striate.inspection.features import capture
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.trace import Call, first_tensor, trace

MOST_WEIGHTS = 2**18  # of a layer whose filters are drawn
MOST_VALUES = 2**22  # of one layer for one picture


@dataclass(frozen=True)
class Shown:
    """A layer that the page shows.

    Args:
        call: the one whose output is shown, behind activation and normalisation.
        lead: the layer that those follow; the same as `call` where nothing is folded.
        source: the call that made the lead's input, if one did.
    """

    call: Call
    lead: Call
    source: Call | None

    def outline(self) -> dict[str, Any]:
        """The layer as plain values for the page's JSON."""
        shape = (*self.call.output_shape[1:], 1, 1)[:3]
        kind = layer_kinds.kind(self.lead.module)
        after = "" if self.call is self.lead else layer_kinds.kind(self.call.module)
        field = self.call.field
        grid = len(self.call.output_shape) == 4 and field is not None and not field.whole
        return {
            "name": self.lead.name,
            "kind": f"{kind}, {after}" if after else kind,
            "shape": shape,
            "size": field.text if field is not None else "",
            "rows": field.rows if grid and field is not None else None,
            "columns": field.columns if grid and field is not None else None,
            "filters": _filters(self.lead, self.source),
        }


def shown_layers(module: nn.Module, input_shape: tuple[int, int, int]) -> list[Shown]:
    """Choose the layers to show, those of single values included, down to the last."""
    leaves = trace(module, input_shape)
    by_name = {call.name: call for call in leaves}
    found = []
    for call in stages(module, input_shape, dense=True):
        lead = by_name.get(call.name)
        if lead is None:  # a block
            found.append(Shown(call, call, None))
            continue
        lead = call = by_name[call.name]
        while _changes(lead.module) and lead.source is not None and lead.source >= 0:
            before = leaves[lead.source]
            if before.output_shape != lead.output_shape:
                break
            lead = before
        source = leaves[lead.source] if lead.source is not None and lead.source >= 0 else None
        found.append(Shown(call, lead, source))
    return [each for each in found if torch.Size(each.call.output_shape).numel() <= MOST_VALUES]


def _changes(module: nn.Module) -> bool:
    """Tell whether a layer merely changes values, one by one."""
    return bool(layer_kinds.activation(module)) or isinstance(module, (*layer_kinds.NORMS, *layer_kinds.DROPOUTS))


def _filters(lead: Call, source: Call | None) -> dict[str, Any] | None:
    """The filters of a layer's units as bytes: int8 (units, channels, rows, columns), the largest of each unit 127."""
    weight = _weight(lead.module)
    if weight is None or not 0 < weight.numel() <= MOST_WEIGHTS:
        return None
    weight = weight.detach().cpu().float()
    if weight.ndim == 2:
        grid = source.input_shape[1:] if source is not None and isinstance(source.module, nn.Flatten) else ()
        if len(grid) == 3 and grid[1] * grid[2] > 1 and torch.Size(grid).numel() == weight.shape[1]:
            weight = weight.unflatten(1, grid)
        else:
            rows = _divisor(weight.shape[1])
            weight = weight.unflatten(1, (1, rows, weight.shape[1] // rows))
    largest = weight.flatten(1).abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
    levels = (127 * weight / largest[:, None, None, None]).round().to(torch.int8)
    return {
        "shape": list(levels.shape[1:]),
        "largest": [float(f"{each:.3g}") for each in largest.tolist()],
        "levels": base64.b64encode(levels.numpy().tobytes()).decode(),
    }


def _weight(module: nn.Module) -> Tensor | None:
    """The weights of each unit: (units, channels, rows, columns) or (units, inputs); `None` if it has no such."""
    if isinstance(module, layers.PartialConv2d):
        return module.dense_weight()
    if isinstance(module, layers.RBFOutput):
        return module.prototypes
    weight = getattr(module, "weight", None)
    fits = isinstance(module, nn.Conv2d | nn.Linear) and isinstance(weight, Tensor)
    return weight if fits and weight is not None and weight.ndim in (2, 4) else None


def _divisor(number: int) -> int:
    """The largest divisor that is not above the square root: 7 of 84."""
    return max(each for each in range(1, int(number**0.5) + 1) if number % each == 0)


CLOSE = 1e-3  # between the gradient of the graph and PyTorch's, as a share of the largest


class _Watched(nn.Module):
    """The network, with the outputs of some of its layers behind the logits."""

    def __init__(self, module: nn.Module, layers: Sequence[str]):
        super().__init__()
        self.module = module
        self.layers = tuple(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Of (N, C, H, W): logits (N, classes), and an output of each layer."""
        with capture(self.module, *self.layers) as made:
            logits = self.module(x)
        return (logits, *(made[layer] for layer in self.layers))


class _Rest(nn.Module):
    """The rest of a network after a layer: the mean gradient of a logit with respect to each of its feature maps."""

    def __init__(self, module: nn.Module, layer: str, image: Tensor):
        super().__init__()
        self.module, self.layer, self.image = module, layer, image

    def forward(self, maps: Tensor, which: Tensor) -> Tensor:
        """Of maps (1, channels, h, w) and 1 for one of the classes, (1, classes): weights (1, channels)."""
        handle = self.module.get_submodule(self.layer).register_forward_hook(lambda *_: maps.clone())
        try:
            logits = _logits(self.module, self.image.clone())
        finally:
            handle.remove()
        return torch.autograd.grad((logits * which).sum(), maps)[0].mean((2, 3))


def watched_graph(module: nn.Module, card: Card, layers: Sequence[str]) -> bytes:
    """Export a network to ONNX with the outputs of its layers.

    As `exported` does, with further outputs: `pixels`, uint8 (N, height, width, channels), the picture as the network
    sees it; and `layer0`, `layer1` … for each of `layers`.

    Raises:
        ExportError: if PyTorch can't export it.
    """
    names = [f"layer{number}" for number in range(len(layers))]
    model = network(_Watched(module, layers), card, names)
    preprocess = card.preprocess
    before = preprocessing(preprocess, "image").graph.node
    framed = next(f"preprocess/{node.input[0]}" for node in before if node.output[0] == "values")
    model.graph.node.append(helper.make_node("Transpose", [framed], ["pixels"], perm=[0, 2, 3, 1]))
    shape: list[str | int | None] = ["N", preprocess.height, preprocess.width, preprocess.channels]
    model.graph.output.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape))
    return assembled(model, card)


def gradient_graph(module: nn.Module, layer: str, image: Tensor) -> bytes | None:
    """Export the gradient of a class's logit with respect to a layer's feature maps, each map's mean.

    It takes `maps`, float32 (1, channels, h, w), and `which`, float32 (1, classes) with 1 for the class, and gives
    `weights`, float32 (1, channels): Grad-CAM is their weighted sum of the maps, without what is negative. PyTorch
    records what it computes for the gradient of one picture; the graph must then give the gradient of another one.

    Args:
        module: the network.
        layer: its path.
        image: an input of the network, float32 (1, C, H, W), no two values alike.

    Returns:
        The graph's bytes, or `None` if the rest of the network can't be exported so, or depends on more than the layer.
    """
    copied = copy.deepcopy(module).float().cpu().eval().requires_grad_(False)
    try:
        maps, which, weights = _gradient(copied, layer, image)
        content = _recorded(_Rest(copied, layer, image.flip(-1)), maps, which)
        (found,) = InferenceSession(content, providers=["CPUExecutionProvider"]).run(
            None, {"maps": maps.numpy(), "which": which.numpy()}
        )
    except Exception:  # an operation without gradient or counterpart in ONNX: each says so with an error of its own
        return None
    close = float((torch.from_numpy(found) - weights).abs().max()) <= CLOSE * float(weights.abs().max())
    return content if close else None


def _gradient(module: nn.Module, layer: str, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The maps of a layer for an image, 1 for the last class, and the gradient of its logit, as PyTorch computes it."""
    with torch.enable_grad(), capture(module, layer) as made:
        logits = _logits(module, image.clone().requires_grad_().clone())
        (gradient,) = torch.autograd.grad(logits[:, -1].sum(), made[layer])
    which = torch.zeros_like(logits)
    which[:, -1] = 1
    return made[layer].detach(), which, gradient.mean((2, 3))


def _logits(module: nn.Module, image: Tensor) -> Tensor:
    logits = first_tensor(module(image))
    if logits is None:
        raise TypeError("the network gives no logits")
    return logits


def _recorded(rest: _Rest, maps: Tensor, which: Tensor) -> bytes:
    with torch.enable_grad():
        recorded = make_fx(rest, decomposition_table=_decompositions())(maps.clone().requires_grad_(), which)
    recorded.graph.eliminate_dead_code()
    recorded.recompile()
    model = to_onnx(recorded, (maps, which), ["maps", "which"], ["weights"])
    return bytes(model.SerializeToString(deterministic=True))


def _decompositions() -> dict[Any, Any]:
    table = dict(core_aten_decompositions())
    table[torch.ops.aten.convolution_backward.default] = _convolution_backward
    return table


def _convolution_backward(
    gradient: Tensor, image: Tensor, weight: Tensor, _: Any, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, _more: list[int], groups: int, mask: list[bool],
) -> tuple[Tensor, None, None]:  # fmt: skip
    """The gradient of a convolution with respect to its input: a transposed convolution, which ONNX knows."""
    if transposed or mask[1] or mask[2]:
        raise NotImplementedError("only the gradient of a convolution's input is needed")
    sides = zip(image.shape[2:], gradient.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    left = [side - ((out - 1) * s - 2 * p + d * (k - 1) + 1) for side, out, k, s, p, d in sides]
    found = torch.ops.aten.convolution(gradient, weight, None, stride, padding, dilation, True, left, groups)
    return found, None, None
