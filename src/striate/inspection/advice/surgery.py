"""Surgery on networks: layers are replaced, and the layers behind them adapted to the new number of channels.

A change is made on a copy. Afterwards one image goes through, and every layer that then receives another number of
channels than it was made for is given weights for them. So it makes no difference how a network passes its tensors on;
where this is not enough, as for a layer with a special shape, the change fails with an error.

`ChannelTies` finds the layers whose outputs are added together and so need the same number of channels: those of a
residual block and those whose output enters it.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate import layers, seeding
from striate.errors import ArgumentError
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import like, taking
from striate.inspection.structure.trace import first_tensor, layers_of, uncompiled
from striate.models import evaluating
from striate.models.antialias import replace_module

Surgery = Callable[[nn.Module, tuple[int, int, int]], None]  # changes a network that takes (channels, height, width)
Size = tuple[int, ...]
_CONVOLUTIONS = (nn.Conv2d,)
_MAKERS = (nn.Conv2d, layers.PartialConv2d, layers.PaddedShortcut)
_PER_CHANNEL = (*layer_kinds.BATCH_NORMS, *layer_kinds.INSTANCE_NORMS, nn.GroupNorm, nn.PReLU)


def changed(model: nn.Module, surgery: Surgery, shape: tuple[int, int, int], seed: int = 0) -> nn.Module:
    """Do the surgery on a copy of a network, and check that the copy works.

    Raises:
        ArgumentError: if it doesn't, or if its output has another shape.
    """
    new = copy.deepcopy(model)
    vars(new).pop("architecture", None)  # it is no longer what that makes
    name = type(model).__name__
    try:
        with seeding.scoped(seed, "surgery"):
            surgery(new, shape)
            refit(new, shape)
        with evaluating(model), evaluating(new), torch.no_grad():
            before, after = model(_image(model, shape)), new(_image(new, shape))
        dry_run(new, shape)
    except Exception as error:
        reason = str(error.__cause__ or error).rstrip(".")
        raise ArgumentError(f"{name} can't be changed so: {reason}.") from error
    if first_tensor(before).shape != first_tensor(after).shape:  # type: ignore[union-attr]
        raise ArgumentError(f"{name} can't be changed so: its output would have another shape.")
    return new


def dry_run(model: nn.Module, shape: tuple[int, int, int], images: int = 2) -> Any:
    """Run the model on images of zeros in training mode, without changing it: its buffers stay."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        model.train()
        with taking(model, shape), seeding.scoped(0, "rehearsal"):
            return functional_call(model, buffers, (_image(model, shape, images),))
    finally:
        for module, mode in modes:
            module.training = mode


def put(model: nn.Module, path: str, new: nn.Module) -> None:
    """Replace a module by another, wherever the network holds it."""
    if not path:
        raise ArgumentError("the network is a single layer.")
    old = model.get_submodule(path)
    new.train(old.training)
    replace_module(model, old, new)


def swapping(paths: Iterable[str], new: nn.Module) -> Surgery:
    """Make the surgery that replaces these modules by one without parameters."""

    def swap(model: nn.Module, shape: tuple[int, int, int]) -> None:
        for path in paths:
            put(model, path, copy.deepcopy(new))

    return swap


def refit(model: nn.Module, shape: tuple[int, int, int], wider: Mapping[str, float] | None = None) -> None:
    """Give every layer weights for the number of channels that it receives.

    Args:
        shape: channels, height, width.
        wider: by how much to multiply the channels that these convolutions make, by their paths.
    """
    left = dict(wider or {})

    def fit(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            _fit(module, args[0], left.pop(path, 1.0))

        return before

    handles = [module.register_forward_pre_hook(fit(path)) for path, module in layers_of(model)]
    try:
        with evaluating(model), torch.no_grad(), taking(model, shape):
            model(_image(model, shape))
    finally:
        for handle in handles:
            handle.remove()


def redrawn(old: Tensor, shape: tuple[int, ...], inputs: tuple[int, int]) -> nn.Parameter:
    """New weights with the spread of the old ones, scaled to the number of inputs (variance is inverse to it).

    Args:
        old: the weights that they replace.
        inputs: how many a unit had, and how many it has.
    """
    spread = float(old.detach().float().std(correction=0)) * math.sqrt(inputs[0] / inputs[1])
    return nn.Parameter((torch.randn(shape) * spread).to(old), requires_grad=old.requires_grad)


def convolution(old: nn.Conv2d, in_channels: int, out_channels: int, **options: Any) -> nn.Conv2d:
    """A convolution like `old`, with the options given, and weights drawn with the spread of the old ones."""
    given = {"stride": old.stride, "padding": old.padding, "dilation": old.dilation, "groups": old.groups, **options}
    new = nn.Conv2d(
        in_channels,
        out_channels,
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
        device="meta",
        **given,
    )
    fan_in = (old.weight[0].numel(), new.weight[0].numel())
    new.weight = redrawn(old.weight, tuple(new.weight.shape), fan_in)
    if old.bias is not None:
        mean = old.bias.detach().mean()
        new.bias = nn.Parameter(mean.expand(out_channels).clone(), requires_grad=old.bias.requires_grad)
    return new


def _fit(module: nn.Module, received: Any, wider: float) -> None:
    """Adapt the module to its input, in place, since it is about to be called."""
    if not isinstance(received, Tensor):
        return
    channels = received.shape[1] if received.dim() > 1 else 0
    if type(module) in _CONVOLUTIONS and received.dim() == 4:
        _fit_convolution(module, channels, wider)  # type: ignore[arg-type]
    elif type(module) is nn.Linear and received.shape[-1] != module.in_features:
        module.weight = redrawn(
            module.weight, (module.out_features, received.shape[-1]), (module.in_features, received.shape[-1])
        )
        module.in_features = received.shape[-1]
    elif isinstance(module, layers.PaddedShortcut):
        module.in_channels, module.out_channels = channels, round(module.out_channels * wider)
    elif isinstance(module, layers.BlurPool2d) and module.channels != channels:
        module.channels, module.taps = channels, module.taps[:1].repeat(channels, 1, 1, 1)
    elif isinstance(module, _PER_CHANNEL):
        _fit_per_channel(module, channels)


def _fit_convolution(module: nn.Conv2d, received: int, wider: float) -> None:
    depthwise = module.groups == module.in_channels > 1
    multiplier = module.out_channels // module.in_channels
    out_channels = received * multiplier if depthwise else round(module.out_channels * wider)
    if (received, out_channels) != (module.in_channels, module.out_channels):
        groups = received if depthwise else module.groups
        new = convolution(module, received, out_channels, kernel_size=module.kernel_size, groups=groups)
        module.in_channels, module.out_channels, module.groups = received, out_channels, new.groups
        module.weight, module.bias = new.weight, new.bias


def _fit_per_channel(module: nn.Module, channels: int) -> None:
    """Adapt a normalisation or PReLU, which has one value a channel and starts with the same for all."""
    for name in ("num_features", "num_channels", "num_parameters"):
        if getattr(module, name, 1) not in (1, channels):
            old = getattr(module, name)
            setattr(module, name, channels)
            for key, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if value.shape == (old,):
                    full = value.detach().mean().expand(channels).clone()
                    setattr(module, key, nn.Parameter(full) if isinstance(value, nn.Parameter) else full)


def _image(model: nn.Module, shape: tuple[int, int, int], images: int = 1) -> Tensor:
    weights = like(model)
    return torch.zeros(images, *shape, device=weights.device, dtype=weights.dtype)


class ChannelTies(TorchDispatchMode):
    """Context that tracks, for every tensor, the layer that determines its number of channels.

    Poolings, normalisations, activations and depthwise convolutions keep the channels of their input. Where an
    operation takes two tensors and makes one with as many channels as both, the layers of both are tied.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._channels: dict[int, tuple[Tensor, str]] = {}  # id -> a tensor, kept alive, and whose channels it has
        self._groups: dict[str, frozenset[str]] = {}
        self._made: dict[str, str] = {}  # the path of a module -> whose channels its output has
        self._taken: dict[str, set[Size]] = defaultdict(set)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see `ExtentTracker`

    def tied(self, path: str) -> frozenset[str]:
        """The layers whose outputs are added to this module's output, the module's own included."""
        return self._groups.get(self._made.get(path, ""), frozenset())

    def taken(self, path: str) -> set[Size]:
        """The heights and widths at which this output, or a sum with it, enters a convolution."""
        return set().union(*(self._taken[layer] for layer in self.tied(path)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = first_tensor(result)  # normalisations and poolings give statistics and places, too
        if made is not None and made.dim() == 4:
            taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.dim() == 4]
            tied = [
                self._channels[id(leaf)][1]
                for leaf in taken
                if id(leaf) in self._channels and _same_channels(leaf, made)
            ]
            if tied:
                joined = frozenset().union(*(self._groups[layer] for layer in tied))
                self._groups |= dict.fromkeys(joined, joined)
                self._channels[id(made)] = (made, tied[0])
        return result

    def entered(self, module: nn.Module, taken: Tensor | None) -> None:
        """Record the input of a module."""
        if isinstance(module, nn.Conv2d) and id(taken) in self._channels and taken is not None:
            self._taken[self._channels[id(taken)][1]].add(tuple(taken.shape[2:]))

    def left(self, path: str, module: nn.Module, made: Tensor | None) -> None:
        """Record the output of a module."""
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        if made is not None and isinstance(module, _MAKERS) and not depthwise:
            self._groups.setdefault(path, frozenset({path}))
            self._channels[id(made)] = (made, path)
        if id(made) in self._channels:
            self._made[path] = self._channels[id(made)][1]


def channel_ties(model: nn.Module, shape: tuple[int, int, int]) -> ChannelTies:
    """Find the ties of a network that takes images of (channels, height, width); it stays as it was."""
    ties, weights = ChannelTies(), like(model)
    handles = []
    for path, module in model.named_modules():

        def begin(module: nn.Module, args: Any) -> None:
            ties.entered(module, first_tensor(args))

        def end(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            ties.left(path, module, first_tensor(output))

        handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    image = torch.zeros(1, *shape, device=weights.device, dtype=weights.dtype)
    try:
        with evaluating(model), torch.no_grad(), taking(model, shape), uncompiled(), ties:
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return ties


def _same_channels(one: Tensor, other: Tensor) -> bool:
    return one.shape[1] == other.shape[1]
