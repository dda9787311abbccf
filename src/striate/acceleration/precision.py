"""Choice of the training precision on a device, by a rule: equal trainings on equal devices take equal precisions.

Under "bfloat16" convolutions and matrix products, Muon's too, use numbers of 8 bits' precision (PyTorch's autocast);
weights, momentum, sums and the loss stay float32. bfloat16 has the range of float32, so that no loss scale is needed.

No clock takes part, as a precision decides the weights. `python -m benchmarks.precision` measures on the machine at
hand what the rule gives away.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from striate.models import evaluating
from striate.types import Precision

# Multiply-adds of a batch's forward pass: with fewer, casts cost more than the products save.
LEAST_WORK = {"cpu": 40_000_000, "cuda": 2_000_000_000}


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


def usual(model: nn.Module, images: Tensor, batch_size: int, device: torch.device) -> Precision:
    """The usual precision of a model on a device.

    It is bfloat16 where the device has instructions for it, and a batch is enough work.

    Args:
        model: left as it is.
        images: one or more of its inputs, float32 (N, C, H, W).
        batch_size: images in a batch.
        device: where it is to compute.
    """
    if not supported(device):
        return "float32"
    work = batch_size * multiply_adds(model, images[:1])
    return "bfloat16" if work >= LEAST_WORK[device.type] else "float32"


def multiply_adds(model: nn.Module, images: Tensor) -> int:
    """Multiply-adds of convolutions and matrix products in a forward pass, as PyTorch counts them."""
    own = next(model.parameters(), images).device
    with evaluating(model), torch.no_grad(), _Counter() as counter:  # type: ignore[no-untyped-call]
        model(images.to(own))
    return counter.operations // 2


class _Counter(TorchDispatchMode):
    """Counts floating-point operations, as PyTorch's FlopCounterMode does, which would import the compiler first.

    It sees operations that others are made of only outside of inference mode.
    """

    operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tell PyTorch not to wrap the method below for its compiler, which is imported by such a wrapper."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` and add its operations."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (count := flop_registry.get(getattr(func, "_overloadpacket", None))) is not None:
            self.operations += int(count(*args, **kwargs, out_val=result))
        return result
