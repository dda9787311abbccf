"""Graphs for a page: the network with the outputs of its layers, and the gradient that Grad-CAM needs."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from striate.inference.exported_file import Card
from striate.inference.onnx_graph import assembled, network, to_onnx
from striate.inference.onnx_preprocessing import preprocessing
from striate.inspection.features import capture
from striate.inspection.structure.trace import first_tensor

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
