"""What a trained model says of images, soon: the one path of evaluation, prediction and validation.

A batch is computed as the model is written. Where batches of one shape keep coming on a CPU, they get a program: pixels
to logits, traced and frozen, which folds batch normalisation into convolutions and leaves Python out. It is used only
if it gives what the model gives.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.augmentation import views
from striate.data.lazy import Images
from striate.preprocess import Preprocess
from striate.training.native import SmallConvolutions

BATCH = {"cpu": 64}  # images; on a CPU, more of them leave its caches
LARGE_BATCH = 256  # on other devices
PATIENCE = 16  # batches of a shape before it gets a program, which takes the time of about four
MOST_PROGRAMS = 8
TOLERANCE = 1e-5  # how far a program's logits may lie from the model's, as a share of the largest

# What takes values out of a tensor.
_READERS = (
    "__bool__", "__int__", "__float__", "__index__", "__contains__", "__array__",
    "item", "tolist", "numpy", "equal", "allclose", "nonzero",
)  # fmt: skip

Program = Callable[[Tensor], Tensor]


class Predictor:
    """Calls a model on images, in evaluation mode; the model's own mode is given back.

    Keep one to ask again and again: it is what becomes fast.

    Args:
        model: on `device`; its weights are laid out channels-last. After more training, make another predictor.
        preprocess: how images become input.
    """

    def __init__(self, model: nn.Module, preprocess: Preprocess, device: torch.device | str = "cpu"):
        self._device = torch.device(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._written = _Written(model, preprocess)
        self._seen: Counter[torch.Size] = Counter()
        self._programs: dict[torch.Size, Program] = {}

    def __call__(self, images: Images, batch_size: int | None = None, tta: str = "none") -> Tensor:
        """Logits, float32 (N, classes), on the CPU.

        Args:
            images: uint8 (N, H, W, C) of the size that `preprocess` says.
            batch_size: how many are computed at once; what is fast on the device if not given.
            tta: test-time augmentation, see `augmentation.views`. The probabilities that the model gives to an image's
                views are averaged, as Krizhevsky et al. (2012, section 4.1) do, and their logarithms returned.

        Raises:
            ArgumentError: for an unknown test-time augmentation.
        """
        views_of = views(tta)
        batch_size = batch_size or BATCH.get(self._device.type, LARGE_BATCH)
        with torch.inference_mode():
            outputs = [
                _averaged([(weight, self._answer(view)) for weight, view in views_of(chunk.to(self._device))])
                for chunk in images.split(batch_size)
            ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _answer(self, pixels: Tensor) -> Tensor:
        """The logits of a batch, on its device."""
        shape = pixels.shape
        program = self._programs.get(shape)
        if program is not None:
            return program(pixels)
        model = self._written.model
        training = model.training
        self._written.eval()
        try:
            answer: Tensor = self._written(pixels)
            self._seen[shape] += 1
            wanted = self._seen[shape] == PATIENCE and len(self._programs) < MOST_PROGRAMS
            if wanted and pixels.device.type == "cpu" and (program := _program(self._written, pixels)):
                self._programs[shape] = program
        finally:
            model.train(training)
        return answer


def logits_of(
    model: nn.Module,
    images: Images,
    preprocess: Preprocess,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    tta: str = "none",
) -> Tensor:
    """What a model says of images, once: see `Predictor`."""
    return Predictor(model, preprocess, device)(images, batch_size, tta)


class _Written(nn.Module):
    """From pixels, uint8 (N, H, W, C), to logits, float32 (N, classes), as the model is written."""

    def __init__(self, model: nn.Module, preprocess: Preprocess):
        super().__init__()
        self.model = model
        self.preprocess = preprocess

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(self.preprocess.normalize(pixels))
        return logits.float()


def _program(written: nn.Module, pixels: Tensor) -> Program | None:
    """A faster way to what the module gives, for batches of this shape; `None` where none is known to give it."""
    try:
        with _Numbers() as numbers:
            answer = written(pixels)
        with warnings.catch_warnings(), SmallConvolutions():
            # Sizes become constants, as they should, and TorchScript is called deprecated; without it, all stays as is.
            warnings.simplefilter("ignore")
            program: Program = torch.jit.freeze(torch.jit.trace(written, pixels, check_trace=False))
        gap = (program(pixels) - answer).abs().max()
    except Exception:  # whatever a module does that can't be traced: it works as it is written
        return None
    return program if not numbers.seen and gap <= TOLERANCE * answer.abs().max() else None


class _Numbers(TorchFunctionMode):
    """Notes whether Python reads what is in a tensor: then images may decide what is computed, and no trace sees it."""

    seen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What `func` gives."""
        self.seen |= func.__name__ in _READERS
        return func(*args, **(kwargs or {}))


def _averaged(seen: list[tuple[float, Tensor]]) -> Tensor:
    """The logarithm of the mean of the views' probabilities, on the CPU; of a single view its logits, untouched."""
    if len(seen) == 1:
        return seen[0][1].cpu()
    weighted = [logits.log_softmax(dim=1) + math.log(weight) for weight, logits in seen]
    return torch.stack(weighted).logsumexp(dim=0).cpu()
