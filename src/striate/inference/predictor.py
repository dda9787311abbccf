"""Logits of a trained model: `logits_of` for one pass, `Predictor` for repeated calls.

`logits_of` computes with the model's current weights: as it is written, or, of many large images, by a faster program
that is made for this pass; of small ones it would win no more than it costs. A `Predictor` is for repeated calls.
"""

import copy
import math
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.acceleration.convolutions import by_own_kernel, by_winograd, whole_image
from striate.acceleration.depthwise import is_depthwise
from striate.acceleration.folding import hooked
from striate.acceleration.fusion import fused
from striate.acceleration.pooling import PairwisePooling
from striate.acceleration.precision import autocast, usual
from striate.acceleration.replacing import ReplacedConvolutions
from striate.acceleration.sharding import BatchFunction, in_order, shared
from striate.augmentation.test_time import ROUNDING, View, deciding, view_list
from striate.data.lazy import Images, chosen, part
from striate.errors import unknown
from striate.hardware import keep_memory, single_core_threads
from striate.models import evaluating
from striate.preprocess import Preprocess
from striate.processes import world
from striate.types import Precision

PRECISIONS = ("float32", "bfloat16", "auto")
CPU_BATCH = 64  # images; more of them leave the caches
BATCH = 256  # on other devices
PROGRAM_AREA = 3 * 224 * 224  # pixels in its batches; more of them leave the caches
PROGRAM_PIXELS = 96 * 96  # of an image, for a program to be worth making
FEW = 128  # least images for a faster program: of networks with depthwise convolutions, which gain most
MANY = 1024  # least images of other networks, and for a trace, which takes as long as a hundred images
PATIENCE = 16  # batches of a shape before it gets a program, which takes the time of a few
MOST_PROGRAMS = 4  # each may hold weights of its own
TOLERANCE = 1e-4  # how far a program's logits may lie from the model's, as a share of the largest

# What takes values out of a tensor, or gives one whose shape depends on them.
_READERS = (
    "__bool__", "__int__", "__float__", "__index__", "__contains__", "__array__",
    "item", "tolist", "numpy", "equal", "allclose", "is_nonzero",
    "nonzero", "argwhere", "masked_select", "unique", "_unique2", "unique_consecutive", "bincount", "repeat_interleave",
)  # fmt: skip


def logits_of(
    model: nn.Module,
    images: Images,
    preprocess: Preprocess,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    tta: str = "none",
) -> Tensor:
    """Logits of a model for images, in evaluation mode; every module's mode is restored afterwards.

    Args:
        model: on `device`.
        images: uint8 (N, H, W, C) of the size that `preprocess` says.
        batch_size: how many are computed at once; what is fast on the device if not given.
        tta: test-time augmentation, see `augmentation.views`. The probabilities that the model gives to an image's
            views are averaged, as Krizhevsky et al. (2012, section 4.1) do, and their logarithms returned. Once the
            heavier views have decided an image's class, so that the others can't change it, they alone are averaged.

    Returns:
        Logits, float32 (N, classes), on the CPU.

    Raises:
        ArgumentError: for an unknown test-time augmentation.

    >>> logits_of(run.model(), data.test.images[:5], run.preprocess).shape
    torch.Size([5, 10])
    """
    target = torch.device(device)
    written = _Written(model, preprocess)
    with evaluating(written), ExitStack() as stack:
        if _is_worth_a_program(model, images, target) and not batch_size:
            threads = stack.enter_context(single_core_threads(torch.get_num_threads(), "striate-evaluating"))
            few = max(round(PROGRAM_AREA / math.prod(images.shape[1:3])), 1)
            make = _program if len(images) >= MANY else _untraced
            program = threads.submit(_for_one_pass, make, written, images[:few]).result()
            if program is not None:
                return answered(program, images, target, few, tta, threads)
        return answered(written, images, target, batch_size, tta)


def _is_worth_a_program(model: nn.Module, images: Images, device: torch.device) -> bool:
    if device.type != "cpu" or torch.is_autocast_enabled("cpu") or math.prod(images.shape[1:3]) < PROGRAM_PIXELS:
        return False
    return len(images) >= (FEW if any(map(is_depthwise, model.modules())) else MANY)


@torch.inference_mode()
def _for_one_pass(
    make: Callable[["_Written", Tensor], BatchFunction | None], written: "_Written", first: Tensor
) -> BatchFunction | None:
    """Make a fast function for batches like the first; other batches are computed as the model is written."""
    program = make(written, first)
    return program and (lambda pixels: program(pixels) if pixels.shape == first.shape else written(pixels))


class Predictor:
    """Fast logits for repeated calls, from a copy of a model.

    It has a copy of the model, so that the model may be trained on: then make another predictor. On a CPU, after 16
    batches of one shape, that shape gets a program, traced and frozen: batch normalisation is folded into convolutions,
    small convolutions are called directly, very wide ones take fewer products, and Python is left out; of large batches
    each core computes its share. It is used only if it gives the copy's logits, and not if images decide what is
    computed, or if modules have hooks. No clock takes part: equal calls give equal numbers on equal processors. Threads
    may share a predictor; they take turns.

    Args:
        model: from (N, C, H, W) to logits (N, classes), a function of its input alone.
        preprocess: how images become input.
        device: where it computes.
        precision: "float32"; "bfloat16", whose logits have two to three digits, as a network that was trained in it has
            always had; or "auto", which becomes the usual one for the first batch.

    Raises:
        ArgumentError: for another precision.

    >>> predictor = striate.Predictor(run.model(), run.preprocess)
    >>> predictor(data.test.images[:4]).shape
    torch.Size([4, 10])
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Preprocess,
        device: torch.device | str = "cpu",
        precision: Precision | Literal["auto"] = "float32",
    ):
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        self._device = torch.device(device)
        self.precision = precision
        copied = copy.deepcopy(model).to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._written = _Written(copied, preprocess).eval()
        self._seen: Counter[torch.Size] = Counter()
        self._programs: dict[torch.Size, BatchFunction] = {}
        self._lock = threading.Lock()

    def __call__(self, images: Images, batch_size: int | None = None, tta: str = "none") -> Tensor:
        """Logits, float32 (N, classes), on the CPU: see `logits_of`.

        Raises:
            ArgumentError: for an unknown test-time augmentation.
        """
        with self._lock:
            return answered(self._answer, images, self._device, batch_size, tta)

    def prepare(self, images: Tensor) -> None:
        """Make the program for batches of this shape now, uint8 (n, H, W, C), unless it has one or there are four."""
        with self._lock, torch.inference_mode():
            pixels = images.to(self._device)
            known = pixels.shape in self._programs or len(self._programs) == MOST_PROGRAMS
            if self.precision == "float32" and self._has_programs(pixels) and not known:
                self._seen[pixels.shape] = PATIENCE
                self._make_program(pixels)

    def _answer(self, pixels: Tensor) -> Tensor:
        if self.precision == "auto":
            inputs = self._written.preprocess.normalize(pixels[:1]).to(self._written.dtype)
            self.precision = usual(self._written.model, inputs, len(pixels), self._device)
        return self._near(pixels) if self.precision == "bfloat16" else self._exact(pixels)

    def _near(self, pixels: Tensor) -> Tensor:
        with autocast("bfloat16", self._device):
            return self._written(pixels)

    def _exact(self, pixels: Tensor) -> Tensor:
        if not self._has_programs(pixels):
            return self._written(pixels)
        shape = pixels.shape
        if shape in self._programs:
            return self._programs[shape](pixels)
        self._seen[shape] += 1
        if self._seen[shape] == PATIENCE and len(self._programs) < MOST_PROGRAMS:
            self._make_program(pixels)
        return self._written(pixels)

    def _has_programs(self, pixels: Tensor) -> bool:
        return pixels.device.type == "cpu" and not torch.is_autocast_enabled("cpu")

    def _make_program(self, pixels: Tensor) -> None:
        program = shared(partial(_fast_program, self._written), pixels)
        if program is not None:
            self._programs[pixels.shape] = program


class _Written(nn.Module):
    """The model as written, from pixels, uint8 (N, H, W, C), to logits, float32 (N, classes)."""

    def __init__(self, model: nn.Module, preprocess: Preprocess):
        super().__init__()
        keep_memory()
        self.model = model
        self.preprocess = preprocess
        kinds = (weight.dtype for weight in model.parameters() if weight.is_floating_point())
        self.dtype = next(kinds, torch.float32)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(self.preprocess.normalize(pixels).to(self.dtype))
        return logits.float()


def answered(
    answer: BatchFunction,
    images: Images,
    device: torch.device,
    batch_size: int | None,
    tta: str,
    threads: ThreadPoolExecutor | None = None,
) -> Tensor:
    """Compute the logits of all images, batch after batch, on the CPU.

    Processes that work together divide the batches, and all of them get all logits, equal to one process's.

    Args:
        answer: from pixels, uint8 (n, H, W, C) on `device`, to logits, float32 (n, classes).
        images, device, batch_size, tta: as for `logits_of`.
        threads: compute a batch each, where they are given.
    """
    each = view_list(tta)
    batch_size = batch_size or (CPU_BATCH if device.type == "cpu" else BATCH)

    def of_batch(some: Sequence[View], pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            pixels = pixels.to(device)
            return _summed([(view.weight, _in_parts(answer, view.make(pixels))) for view in some])

    def of_views(some: Sequence[View], images: Images) -> Tensor:
        if isinstance(images, Tensor) and 0 < len(images) <= batch_size and world().size == 1 and not threads:
            return of_batch(some, images).clone()  # which may be changed, and shares no memory with the model
        shares = world().row_shares(len(images), batch_size)
        chunks = part(images, shares[world().rank]).split(max(batch_size, CPU_BATCH) if threads else batch_size)
        batches = (batch for chunk in chunks for batch in chunk.split(batch_size))
        compute = partial(of_batch, some)
        return world().joined(in_order(compute, batches, threads) if threads else map(compute, batches), shares)

    first = deciding(each)
    logits = of_views(each[:first], images)
    if first < len(each):
        logits = _with_the_others(logits, each, first, lambda places: of_views(each[first:], chosen(images, places)))
    return logits


def _with_the_others(logits: Tensor, each: Sequence[View], first: int, of_others: Callable[[Tensor], Tensor]) -> Tensor:
    """Average the other views, too, of the images whose class they can change."""
    heavier, others = (sum(view.weight for view in some) for some in (each[:first], each[first:]))
    best = logits.topk(min(2, logits.shape[1])).values.exp()
    lead = best[:, 0] - best[:, 1:].sum(dim=1)
    weights = torch.full((len(logits), 1), heavier)
    if len(places := torch.nonzero(~(lead > others + ROUNDING))[:, 0]):
        logits[places] = torch.logaddexp(logits[places], of_others(places))
        weights[places] += others
    return logits - weights.log()


def _in_parts(answer: BatchFunction, pixels: Tensor) -> Tensor:
    """Call `answer` on halves, quarters, … where the device has too little memory."""
    try:
        return answer(pixels)
    except torch.OutOfMemoryError:
        if len(pixels) == 1:
            raise
    # Out here, as the exception holds what was computed.
    return torch.cat([_in_parts(answer, half) for half in pixels.tensor_split(2)])


def _summed(seen: list[tuple[float, Tensor]]) -> Tensor:
    """Logarithm of the weighted sum of the views' probabilities, on the CPU; the logits of a single view unchanged."""
    if len(seen) == 1 and seen[0][0] == 1:
        return seen[0][1].cpu()
    weighted = [logits.log_softmax(dim=1) + math.log(weight) for weight, logits in seen]
    return torch.stack(weighted).logsumexp(dim=0).cpu()


def _fast_program(written: "_Written", pixels: Tensor) -> BatchFunction | None:
    """A traced program whose convolutions and pooling layers are those that are fast for their shapes."""
    convolutions = (ReplacedConvolutions(each) for each in (by_winograd, by_own_kernel, whole_image))
    return _program(written, pixels, *convolutions, PairwisePooling())


def _program(written: "_Written", pixels: Tensor, *modes: AbstractContextManager[object]) -> BatchFunction | None:
    """A traced program equivalent to the module for batches of this shape; `None` where there is none."""
    if hooked(*written.modules()):
        return None
    try:
        with _Numbers() as numbers:
            answer = written(pixels)
        written = _in_fewer_calls(written, pixels)
        with warnings.catch_warnings(), ExitStack() as stack:
            for each in modes:
                stack.enter_context(each)
            # Sizes become constants, as they should, and TorchScript is called deprecated; without it, all stays as is.
            warnings.simplefilter("ignore")
            program: BatchFunction = torch.jit.freeze(torch.jit.trace(written, pixels, check_trace=False))
        gap = (program(pixels) - answer).abs().max()
    except Exception:  # whatever a module does that can't be traced: it works as it is written
        return None
    return program if not numbers.seen and gap <= TOLERANCE * answer.abs().max() else None


def _untraced(written: "_Written", pixels: Tensor) -> BatchFunction | None:
    """The network in fewer calls, without a trace, which takes as long as a hundred images; `None` if there is none."""
    made = written if hooked(*written.modules()) else _in_fewer_calls(written, pixels)
    if made is written:
        return None
    answer = written(pixels)
    return made if (made(pixels) - answer).abs().max() <= TOLERANCE * answer.abs().max() else None


def _in_fewer_calls(written: "_Written", pixels: Tensor) -> "_Written":
    """The same, with convolutions that do what follows them; as it is where fx can't follow, or PyTorch lacks them."""
    if not any(isinstance(module, nn.Conv2d) for module in written.modules()):
        return written
    try:
        made = _Written(fused(written.model), written.preprocess).eval()
        made(pixels)
    except Exception:
        return written
    return made


class _Numbers(TorchFunctionMode):
    """Detects Python code that reads tensors' values: then images may decide what is computed, unseen by a trace."""

    seen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the result of `func`."""
        masked = func.__name__ == "__getitem__" and _has_mask(args[1])
        self.seen |= masked or func.__name__ in _READERS
        return func(*args, **(kwargs or {}))


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in parts)
