"""Anti-aliasing as a change to any network: strided pooling and convolution become the blurred forms of Zhang (2019).

A layer with a stride keeps its place, its name and its weights and loses its stride; a BlurPool2d brings its output to
the size it had. As in the paper, section 3.2, the blur stands behind the activation that follows:

Max(k, stride s)                 becomes  Max(k), Blur(s)
Conv(k, stride s), norm, ReLU    becomes  Conv(k), norm, ReLU, Blur(s)

An average keeps its window too: its blur is the paper's for a filter longer by the window less one. Where no module of
the network's own activates the output (a sum comes next, `F.relu`, or one ReLU module that serves several places), the
blur stands directly behind the layer.
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

LARGE = 64  # pixels; on images of this side and more, a convolution that sees the image itself keeps its stride

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
    """A copy of a network whose strided layers are blurred: less of what it says depends on where the object stands.

    Weights are kept, and the names and shapes of all parameters, so that saved weights load into either network. What
    the layers compute is not the same: a network is best trained, or trained on, with its blur. Left alone are layers
    without a stride, adaptive and global pooling, what one image in evaluation mode does not reach, and, for its cost
    and as in the paper's networks, the first convolution if a side of the image has 64 pixels or more.

    Args:
        model: any module from (N, C, H, W); it stays as it is.
        filter: "rect-2", "tri-3", "tri-4" or "bin-5", weak to strong.
        input_shape: channels, height, width; known for models that Striate made.

    Raises:
        ArgumentError: for another filter, a network with no such layer, or one of a kind that can't be blurred.
        ShapeError: if the model can't take such an image.
    """
    layers.BlurPool2d(1, filter)  # raises for an unknown one
    made = getattr(model, "architecture", None)
    shape = input_shape or (made and (made.channels, *made.image_size))
    if not shape:
        raise ArgumentError(
            f"{type(model).__name__} does not say what it takes: pass input_shape=(channels, height, width)."
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
    """One call of a layer: the tensors it took and made, by id and version; operations in place make new versions."""

    module: nn.Module
    taken: tuple[int, int]
    made: tuple[int, int]
    channels: int  # of what it made; 0 if that is no stack of maps


def _watched(model: nn.Module, shape: tuple[int, int, int]) -> tuple[Tensor, list[_Call]]:
    """What the model says of one image of zeros in evaluation mode, and the calls of its layers without children."""
    calls: list[_Call] = []
    alive: list[Tensor] = []  # so that no two tensors share an id
    taken: dict[nn.Module, tuple[int, int]] = {}

    def begin(module: nn.Module, args: tuple[Any, ...]) -> None:
        taken[module] = (id(args[0]), args[0]._version) if args and isinstance(args[0], Tensor) else (0, 0)
        alive.extend(value for value in args if isinstance(value, Tensor))

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            alive.append(output)
            channels = output.shape[1] if output.dim() == 4 else 0
            calls.append(_Call(module, taken.pop(module), (id(output), output._version), channels))

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
    """The layers to blur, in the order they are called, each once."""
    first = next((call.module for call in calls if isinstance(call.module, nn.Conv2d)), None)
    kept = first if min(shape[1:]) >= LARGE else None
    modules = dict.fromkeys(call.module for call in calls if call.module is not kept)
    return [module for module in modules if isinstance(module, Strided) and _steps(module) != (1, 1)]


def _steps(layer: Strided) -> tuple[int, int]:
    stride: int | tuple[int, ...] = layer.stride
    return (stride, stride) if isinstance(stride, int) else (stride[0], stride[1])


def _blur(model: nn.Module, calls: list[_Call], layer: Strided, filter: str) -> None:
    """Take a layer's stride away and put a blur behind it, or behind its activation."""
    mine = [call for call in calls if call.module is layer]
    activation = _activation(calls, mine[0]) if len(mine) == 1 else None
    place = activation or layer
    if activation is None and type(layer) is nn.Conv2d:
        _put(model, layer, layers.BlurredConv2d(layer, filter))
        return
    if any(True for _ in place.parameters()):
        raise ArgumentError(f"a {type(place).__name__} can't be blurred where no activation stands behind it.")
    steps, like = _steps(layer), next(model.parameters(), torch.empty(0))
    blurs = {call.channels: layers.BlurPool2d(call.channels, filter, steps) for call in mine}
    blur = (_BlurEach(blurs) if len(blurs) > 1 else blurs[mine[0].channels]).to(like.device, like.dtype)
    if getattr(layer, "ceil_mode", False):
        if not isinstance(layer, nn.MaxPool2d):
            raise ArgumentError(f"a {type(layer).__name__} with ceil_mode can't be blurred.")
        _put(model, layer, nn.Sequential(_LastWindow(layer), layer))
    layer.stride = (1, 1)
    _put(model, place, nn.Sequential(place, blur))


def _activation(calls: list[_Call], call: _Call) -> nn.Module | None:
    """The activation, without parameters, that takes what a call made, normalised perhaps, and serves nothing else."""
    uses = Counter(other.module for other in calls)
    while True:
        takers = [other for other in calls if other.taken == call.made]
        if len(takers) != 1 or uses[takers[0].module] > 1:
            return None
        (call,) = takers
        if isinstance(call.module, _ACTIVATIONS):
            return call.module
        if not isinstance(call.module, _NORMS):
            return None


def _put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in another's place, wherever the network holds that one."""
    for name in [name for name, module in model.named_modules(remove_duplicate=False) if module is old]:
        model.set_submodule(name, new)


class _BlurEach(nn.Module):
    """The blurs of a layer that serves maps of several channel counts."""

    def __init__(self, blurs: dict[int, layers.BlurPool2d]):
        super().__init__()
        self.blurs = nn.ModuleDict({str(channels): blur for channels, blur in blurs.items()})

    def forward(self, x: Tensor) -> Tensor:
        return self.blurs[str(x.shape[1])](x)


class _LastWindow(nn.Module):
    """Cells of −∞ behind the image, so many that a max pooling in ceil mode has its last windows without stride too."""

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
