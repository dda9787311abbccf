"""Choice of the training precision on a device, by a measurement of one second.

Under "bfloat16" convolutions and matrix products, Muon's too, use numbers of 8 bits' precision (PyTorch's autocast);
weights, momentum, sums and the loss stay float32. bfloat16 has the range of float32, so that no loss scale is needed.
"""

import copy
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from striate import seeding
from striate.acceleration.convolutions import training_convolutions
from striate.models import Outputs

Precision = Literal["float32", "bfloat16"]

SECONDS = 1.0


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Context of a forward pass and an update in this precision."""
    on: AbstractContextManager[None] = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )
    return on


def supported(device: torch.device) -> bool:
    """Tell whether the device has instructions for bfloat16; without them it is only slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.10 and newer
    return any(has and "bf16" in name for name, has in capabilities.items())


def fastest(
    model: nn.Module, inputs: Tensor, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> Precision:
    """Measure in which precision this model's forward and backward pass is the fastest.

    Only precisions are considered for which the device has memory; it is float32 if it has for none. An update is not
    timed: its gain comes on top.

    Args:
        model: left as it is: a copy is measured.
        inputs: a training batch, float32 (N, C, H, W).
        device: where it is to be trained, one for which bfloat16 is `supported`.
        clock: seconds.
    """
    trial = copy.deepcopy(model).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    inputs = inputs.to(device)
    times: dict[Precision, float] = {}
    both: tuple[Precision, ...] = ("float32", "bfloat16")
    with seeding.scoped(0, "precision", device=device):  # dropout draws
        fitting = [precision for precision in both if _fits(trial, inputs, precision)]
        if len(fitting) < 2:
            return fitting[0] if fitting else "float32"
        began = clock()
        while not times or clock() - began < SECONDS:
            for precision in both:
                started = clock()
                _pass(trial, inputs, precision)
                times[precision] = min(times.get(precision, math.inf), clock() - started)
    return min(both, key=times.__getitem__)


def _fits(model: nn.Module, inputs: Tensor, precision: str) -> bool:
    """Tell whether there is memory for a pass: the first, in which kernels are chosen and compiled."""
    try:
        _pass(model, inputs, precision)
    except torch.OutOfMemoryError:
        return False
    return True


def _pass(model: nn.Module, inputs: Tensor, precision: str) -> None:
    with autocast(precision, inputs.device), training_convolutions(model, inputs.device, precision):
        outputs = model(inputs)
    logits: Tensor = outputs.logits if isinstance(outputs, Outputs) else outputs
    logits.float().logsumexp(dim=1).mean().backward()
    if inputs.device.type == "cuda":
        torch.cuda.synchronize(inputs.device)
