"""Time and memory: layers that take more than their share of a forward pass, and the memory of a training step."""

import math
import time
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from striate import layers
from striate.hardware import memory
from striate.inspection.advice.rule import Finding, Network, share
from striate.inspection.advice.surgery import Surgery, dry_run, put, swapping
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import like
from striate.inspection.structure.trace import layers_of
from striate.models import evaluating
from striate.units import readable

PASSES = 5  # of which each layer's quickest counts: other load only slows them down
SECONDS = 0.5  # for a pass at most, by taking fewer images
LARGE_SHARE = 0.25  # of the time of a pass
LARGE_RATIO = 3  # of a layer's share of the time to its share of the multiply-adds
MEASURED_IMAGES = (2, 4)  # the second batch keeps more memory than the first by that of two images
EXPONENTIALS = (nn.Tanh, nn.Sigmoid, layers.ScaledTanh)
_MEMORY_BOUND = "Its time depends on the values that it reads and writes"
_RESPONSE_NORMS = (nn.LocalResponseNorm, layers.LocalResponseNorm)


def slow_layers(network: Network) -> list[Finding]:
    """Find layers that take at least a quarter of a forward pass and three times their share of the multiply-adds.

    Measured on this machine, in evaluation mode, on noise. Layers of one type are grouped if they have no
    multiply-adds, since there are often many and each is small.
    """
    seconds, total, images = _measured(network)
    work = {row.layer: row.multiply_adds or 0 for row in network.table.rows}
    groups: dict[str, list[str]] = defaultdict(list)
    for path in seconds:
        kind = layer_kinds.activation(module := network.module.get_submodule(path)) or layer_kinds.kind(module)
        groups[path if work.get(path) else kind].append(path)
    found = []
    for paths in groups.values():
        part = sum(seconds[path] for path in paths) / total
        useful = sum(work.get(path, 0) for path in paths) / max(network.table.multiply_adds, 1)
        if part >= LARGE_SHARE and part >= LARGE_RATIO * useful:
            found.append(_finding(network, paths, (part, useful, total / images)))
    return found


def _finding(network: Network, paths: list[str], measured: tuple[float, float, float]) -> Finding:
    part, useful, seconds = measured
    kind = layer_kinds.activation(module := network.module.get_submodule(paths[0])) or layer_kinds.kind(module)
    moved = sum(
        4 * (math.prod(call.input_shape) + math.prod(call.output_shape)) for call in network.calls if call.name in paths
    )
    count = f"{len(paths)} layers ({kind}) take" if len(paths) > 1 else f"The {kind} takes"
    change, surgery = _change(network, paths)
    does = f"{share(useful, 1)} of the multiply-adds" if useful else "no multiply-adds"
    return Finding(
        rule="slow-layer",
        layers=tuple(paths),
        found=f"{count} {share(part, 1)} of the time of a forward pass and {does}: "
        f"{1000 * part * seconds:.2g} of {1000 * seconds:.2g} ms an image on this {network.device.type}, for "
        f"{readable(moved)} read and written.",
        numbers={"time": part * seconds, "share": part, "multiply_adds_share": useful, "bytes": moved},
        change=change,
        manual="" if surgery else "it depends on the purpose of the layer",
        surgery=surgery,
    )


def _change(network: Network, paths: list[str]) -> tuple[str, Surgery | None]:
    module = network.module.get_submodule(paths[0])
    if isinstance(module, _RESPONSE_NORMS):
        channels = {call.name: call.output_shape[1] for call in network.calls if call.name in paths}
        return (
            "Use batch normalisation instead, as networks since 2015 do; VGG (2014, section 2.1) found no benefit in "
            "response normalisation.",
            _norming(channels),
        )
    if isinstance(module, EXPONENTIALS):
        return "Use a ReLU, which costs a comparison for each value and no exponential.", swapping(paths, nn.ReLU())
    if layer_kinds.activation(module) or isinstance(module, layer_kinds.NORMS):
        return f"{_MEMORY_BOUND}: apply it after the pooling, on fewer values, if the order does not matter.", None
    if isinstance(module, (*layer_kinds.MAX_POOLS, *layer_kinds.AVG_POOLS)):
        return (
            f"{_MEMORY_BOUND}: pool fewer or smaller feature maps, or give the stride to the convolution before it.",
            None,
        )
    if isinstance(module, nn.Conv2d):
        inputs = module.in_channels // module.groups
        return (
            f"With {inputs} input channel{'s' if inputs != 1 else ''} a group its time depends on the values that it "
            "writes: use smaller feature maps (a stride, a smaller image) or fewer filters.",
            None,
        )
    return f"{_MEMORY_BOUND}: let it run on smaller or fewer feature maps.", None


def _norming(channels: dict[str, int]) -> Surgery:
    def norm(model: nn.Module, shape: tuple[int, int, int]) -> None:
        for path, count in channels.items():
            put(model, path, nn.BatchNorm2d(count).to(like(model)))

    return norm


def _measured(network: Network) -> tuple[dict[str, float], float, int]:
    """Time each layer and the whole pass, the quickest of several: seconds by layer, seconds of all, images."""
    images, began = 1, 0.0
    while True:
        passes = [_pass(network, images) for _ in range(2)]
        began = min(whole for _, whole in passes)
        if images >= network.batch_size or began > SECONDS / 4:
            break
        images = min(network.batch_size, 4 * images)
    passes += [_pass(network, images) for _ in range(PASSES - 2)]
    quickest = {path: min(seconds[path] for seconds, _ in passes) for path in passes[0][0]}
    return quickest, max(min(whole for _, whole in passes), sum(quickest.values())), images


def _pass(network: Network, images: int) -> tuple[dict[str, float], float]:
    """Time one forward pass on noise: seconds of each layer and of all."""
    weights = like(network.module)
    noise = torch.rand(images, *network.shape, generator=torch.Generator().manual_seed(0)).to(weights)
    noise = noise.contiguous(memory_format=torch.channels_last)
    seconds: dict[str, float] = defaultdict(float)
    handles = []
    for path, layer in layers_of(network.module):

        def begin(module: nn.Module, args: Any, path: str = path) -> None:
            seconds[path] -= _now(network.device)

        def end(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            seconds[path] += _now(network.device)

        handles += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        with evaluating(network.module), torch.no_grad():
            began = _now(network.device)
            network.module(noise)
            whole = _now(network.device) - began
    finally:
        for handle in handles:
            handle.remove()
    return seconds, whole


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def too_much_memory(network: Network) -> list[Finding]:
    """Find a batch that needs more memory in a training step than the machine has."""
    fixed, each = training_memory(network)
    needed, available = fixed + network.batch_size * each, machine_memory(network.device)
    if needed <= available:
        return []
    most = math.floor((available - fixed) / each) if each else 0
    change = f"Train with batches of {2 ** int(math.log2(most))}, which fit." if most >= 1 else "Use a smaller network."
    return [
        Finding(
            rule="memory",
            layers=(),
            found=f"A training step on {network.batch_size} images needs {readable(needed)}, of {readable(available)} "
            f"available: {readable(fixed)} for parameters, gradients and the optimiser, {readable(each)} for the "
            "feature maps of each image.",
            numbers={"needed": needed, "there": available, "fixed": fixed, "each_image": each, "most_images": most},
            change=change,
            manual="it is a training setting, not a change of the network",
        )
    ]


def training_memory(network: Network) -> tuple[int, int]:
    """Measure the memory of a training step: bytes that any batch needs, and bytes for each image.

    Parameters, their gradients and the optimiser's values; and what the forward pass keeps for the backward pass,
    measured where PyTorch keeps it. Temporary memory of single operations comes on top.
    """
    parameters = list(network.module.parameters())
    fixed = sum(p.nbytes * (2 + network.moments if p.requires_grad else 1) for p in parameters)
    own = {p.untyped_storage().data_ptr() for p in parameters}
    few, more = (_kept(network, images, own) for images in MEASURED_IMAGES)
    return fixed, (more - few) // (MEASURED_IMAGES[1] - MEASURED_IMAGES[0])


def machine_memory(device: torch.device) -> int:
    """Memory in bytes: the GPU's, or what this process may use of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return memory()


def _kept(network: Network, images: int, own: set[int]) -> int:
    """Bytes of all tensors that a forward pass in training mode keeps, each storage once, without the parameters."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no storage is given to another tensor

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        dry_run(network.module, network.shape, images)
    return sum(kept.values())
