"""Anti-aliasing of any network: strided pooling and convolution become the blurred forms of Zhang (2019).

A layer with a stride keeps its place, its name and its weights and loses its stride; a BlurPool2d reduces its output to
the size it had. As in the paper, section 3.2, the blur comes after the activation that follows:

Max(k, stride s)                 becomes  Max(k), Blur(s)
Conv(k, stride s), norm, ReLU    becomes  Conv(k), norm, ReLU, Blur(s)

An average keeps its window too: its blur is the paper's for a filter longer by the window less one. Where no module of
the network's own activates the output (a sum comes next, `F.relu`, or one ReLU module that is used in several places),
the blur comes directly after the layer.
"""

import copy
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate import layers
from striate.errors import ArgumentError, ShapeError
from striate.models.finetuning import evaluating

LARGE = 64  # pixels; on images of this side and more, a convolution of the image itself keeps its stride

Pool = nn.MaxPool2d | nn.AvgPool2d | layers.MaxPool2d | layers.AvgPool2d | layers.Subsampling2d
Strided = nn.Conv2d | Pool | layers.PaddedShortcut
_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, layers.ScaledTanh,
)  # fmt: skip


def antialias(
    model: nn.Module, filter: str = layers.DEFAULT_FILTER, input_shape: tuple[int, int, int] | None = None
) -> nn.Module:
    """Return a copy of a network with blurred strided layers, so that its logits depend less on the object's position.

    Weights are kept, and the names and shapes of all parameters, so that saved weights load into either network. The
    layers compute other values, so a network is best trained, or trained further, with its blur. Unchanged are layers
    without a stride, adaptive and global pooling, layers that one image in evaluation mode does not reach, and, for its
    cost and as in the paper's networks, the first convolution if a side of the image has 64 pixels or more.

    Args:
        model: any module from (N, C, H, W); it is not changed.
        filter: "rect-2", "tri-3", "tri-4" or "bin-5", weak to strong.
        input_shape: channels, height, width; known for models that Striate made.

    Raises:
        ArgumentError: for another filter, a network with no such layer, or one of a kind that can't be blurred.
        ShapeError: if the model can't take such an image.

    >>> network = create("resnet18", image_size=32, channels=3)
    >>> blurred = antialias(network)
    >>> blurred.state_dict().keys() == network.state_dict().keys()
    True
    >>> sum(isinstance(layer, striate.layers.BlurredConv2d) for layer in blurred.modules())
    3
    """
    layers.BlurPool2d(1, filter)  # raises for an unknown one
    made = getattr(model, "architecture", None)
    shape = input_shape or (made and (made.channels, *made.image_size))
    if not shape:
        raise ArgumentError(
            f"the input shape of {type(model).__name__} is unknown: pass input_shape=(channels, height, width)."
        )
    if not any(model.children()):
        raise ArgumentError(
            f"{type(model).__name__} is a single layer: use layers.MaxBlurPool2d or layers.BlurredConv2d."
        )
    model = copy.deepcopy(model)
    answer, calls = _watched(model, shape)
    strided = _strided(calls, shape)
    if not strided:
        name = made.name if made else type(model).__name__
        raise ArgumentError(f"{name} has no strided pooling or convolution to blur: leave antialias out.")
    for layer in strided:
        _blur(model, calls, layer, filter)
    try:
        blurred, _ = _watched(model, shape)
    except ShapeError as error:
        raise ArgumentError(f"{type(model).__name__} can't be blurred: with it, {error}") from error
    if blurred.shape != answer.shape:
        raise ArgumentError(f"{type(model).__name__} can't be blurred: its output would have another shape.")
    if made:
        model.architecture = replace(made, options={**made.options, "antialias": filter})
    return model


@dataclass(frozen=True)
class _Call:
    """One call of a layer: its input and output tensors by id and version; in-place operations make new versions."""

    module: nn.Module
    input: tuple[int, int]
    output: tuple[int, int]
    channels: int  # of the output; 0 if it is not (N, C, H, W)


def _watched(model: nn.Module, shape: tuple[int, int, int]) -> tuple[Tensor, list[_Call]]:
    """Run the model on one image of zeros in evaluation mode: its output, and the calls of its layers."""
    calls: list[_Call] = []
    alive: list[Tensor] = []  # so that no two tensors share an id
    inputs: dict[nn.Module, tuple[int, int]] = {}

    def begin(module: nn.Module, args: tuple[Any, ...]) -> None:
        inputs[module] = (id(args[0]), args[0]._version) if args and isinstance(args[0], Tensor) else (0, 0)
        alive.extend(value for value in args if isinstance(value, Tensor))

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            alive.append(output)
            channels = output.shape[1] if output.dim() == 4 else 0
            calls.append(_Call(module, inputs.pop(module), (id(output), output._version), channels))

    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    leaves = [
        module for module in model.modules() if isinstance(module, layers.BlurredConv2d) or not any(module.children())
    ]
    handles = [module.register_forward_pre_hook(begin) for module in leaves]
    handles += [module.register_forward_hook(end) for module in leaves]
    try:
        with evaluating(model), torch.no_grad():
            answer = model(torch.zeros(1, *shape, device=like.device, dtype=like.dtype))
    except Exception as error:
        size = "×".join(map(str, shape))
        raise ShapeError(
            f"{type(model).__name__} can't take an image of {size} (channels×height×width): {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return answer, calls


def _strided(calls: list[_Call], shape: tuple[int, int, int]) -> list[Strided]:
    """Return the layers to blur, in the order they are called, each once."""
    first = next((call.module for call in calls if isinstance(call.module, nn.Conv2d)), None)
    kept = first if min(shape[1:]) >= LARGE else None
    modules = dict.fromkeys(call.module for call in calls if call.module is not kept)
    return [module for module in modules if isinstance(module, Strided) and _steps(module) != (1, 1)]


def _steps(layer: Strided) -> tuple[int, int]:
    stride: int | tuple[int, ...] = layer.stride
    return (stride, stride) if isinstance(stride, int) else (stride[0], stride[1])


def _blur(model: nn.Module, calls: list[_Call], layer: Strided, filter: str) -> None:
    """Remove a layer's stride and insert a blur after it, or after its activation."""
    mine = [call for call in calls if call.module is layer]
    activation = _activation(calls, mine[0]) if len(mine) == 1 else None
    place = activation or layer
    if activation is None and type(layer) is nn.Conv2d:
        replace_module(model, layer, layers.BlurredConv2d(layer, filter))
        return
    if any(True for _ in place.parameters()):
        raise ArgumentError(f"a {type(place).__name__} can't be blurred if no activation follows it.")
    steps, like = _steps(layer), next(model.parameters(), torch.empty(0))
    blurs = {call.channels: layers.BlurPool2d(call.channels, filter, steps) for call in mine}
    blur = (_BlurEach(blurs) if len(blurs) > 1 else blurs[mine[0].channels]).to(like.device, like.dtype)
    if getattr(layer, "ceil_mode", False):
        if not isinstance(layer, nn.MaxPool2d):
            raise ArgumentError(f"a {type(layer).__name__} with ceil_mode can't be blurred.")
        replace_module(model, layer, nn.Sequential(_LastWindow(layer), layer))
    layer.stride = (1, 1)
    replace_module(model, place, nn.Sequential(place, blur))


def _activation(calls: list[_Call], call: _Call) -> nn.Module | None:
    """Return the parameter-free activation, used only once, of a call's output, possibly after a normalisation."""
    uses = Counter(other.module for other in calls)
    while True:
        users = [other for other in calls if other.input == call.output]
        if len(users) != 1 or uses[users[0].module] > 1:
            return None
        (call,) = users
        if isinstance(call.module, _ACTIVATIONS):
            return call.module
        if not isinstance(call.module, _NORMS):
            return None


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace a module by another, wherever the network holds it."""
    for name in [name for name, module in model.named_modules(remove_duplicate=False) if module is old]:
        model.set_submodule(name, new)


class _BlurEach(nn.Module):
    """The blurs of a layer that is called with several channel counts."""

    def __init__(self, blurs: dict[int, layers.BlurPool2d]):
        super().__init__()
        self.blurs = nn.ModuleDict({str(channels): blur for channels, blur in blurs.items()})

    def forward(self, x: Tensor) -> Tensor:
        return self.blurs[str(x.shape[1])](x)


class _LastWindow(nn.Module):
    """Padding of −∞ that gives a max pooling without stride the last windows that it has in ceil mode."""

    def __init__(self, pool: nn.MaxPool2d):
        super().__init__()
        values = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        pairs = [(value, value) if isinstance(value, int) else value for value in values]
        self.axes = list(zip(*pairs, strict=True))  # (kernel, stride, padding, dilation) of rows and of columns

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (self._missing(n, *axis) for n, axis in zip(x.shape[-2:], self.axes, strict=True))
        return F.pad(x, (0, columns, 0, rows), value=-torch.inf) if rows or columns else x

    @staticmethod
    def _missing(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
        dense = n + 2 * padding - dilation * (kernel - 1)  # windows without stride
        windows = -(-(dense - 1) // stride) + 1
        if (windows - 1) * stride >= n + padding:  # PyTorch leaves out a window that begins in the padding
            windows -= 1
        return max((windows - 1) * stride + 1 - dense, 0)
