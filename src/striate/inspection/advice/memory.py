"""The memory that a step of training takes, and whether the machine has it."""

import math

import torch
from torch import Tensor

from striate.hardware import memory
from striate.inspection.advice.finding import Finding
from striate.inspection.advice.network import Network
from striate.inspection.advice.surgery import rehearse
from striate.inspection.advice.text import size

MEASURED = (2, 4)  # images: what the second batch keeps more is what two images keep


def much_memory(network: Network) -> list[Finding]:
    """A batch that needs more memory in a step of training than the machine has."""
    fixed, each = training_memory(network)
    needed, there = fixed + network.batch_size * each, machine_memory(network.device)
    if needed <= there:
        return []
    most = math.floor((there - fixed) / each) if each else 0
    change = (
        f"Train with batches of {2 ** int(math.log2(most))}, which fit." if most >= 1 else "Take a smaller network."
    )
    return [
        Finding(
            rule="memory",
            layers=(),
            found=f"A step on {network.batch_size} images takes {size(needed)}, and there are {size(there)}: "
            f"{size(fixed)} for parameters, gradients and the optimiser, {size(each)} for the maps of each image.",
            numbers={"needed": needed, "there": there, "fixed": fixed, "each_image": each, "most_images": most},
            change=change,
            manual="it is a setting of the training, and the network stays as it is",
        )
    ]


def training_memory(network: Network) -> tuple[int, int]:
    """Bytes that a step needs whatever the batch, and bytes that it needs for each image.

    Parameters, their gradients and the optimiser's values; and what the forward pass keeps for the backward pass,
    measured where PyTorch keeps it. What single operations need in passing comes on top.
    """
    parameters = list(network.module.parameters())
    fixed = sum(p.nbytes * (2 + network.moments if p.requires_grad else 1) for p in parameters)
    own = {p.untyped_storage().data_ptr() for p in parameters}
    few, more = (_kept(network, images, own) for images in MEASURED)
    return fixed, (more - few) // (MEASURED[1] - MEASURED[0])


def machine_memory(device: torch.device) -> int:
    """Bytes: of the GPU, or what this process may use of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return memory()


def _kept(network: Network, images: int, own: set[int]) -> int:
    """Bytes of all tensors that the forward pass in training mode keeps, each storage once, without the parameters."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no storage is given to another tensor

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        rehearse(network.module, network.shape, images)
    return sum(kept.values())
