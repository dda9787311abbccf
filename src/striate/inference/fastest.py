"""Choice of the fastest engine of a network on this machine, by a measurement that is made once and kept."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from torch import nn

from striate.errors import CheckpointError, ExportError, StorageError
from striate.files import cache_folder, json_bytes, read_json, sealed, sha256, unsealed, write_json
from striate.hardware import cores, processor
from striate.inference.engines import Engine, TorchEngine, engine_of, installed
from striate.inference.exported_file import FileEngine
from striate.preprocess import Preprocess
from striate.types import Precision

ONE, MANY = 1, 64  # images in the batches that are timed
FEW = 8  # images from which on a batch counts as many
SECONDS = 0.5  # that an engine is timed for, with either batch
_LEAST = 5  # repeats


@dataclass(frozen=True)
class FastestEngine:
    """The engine that is fastest for single images, and the one that is for batches; see `Engine`."""

    one: Engine
    many: Engine

    @property
    def name(self) -> str:
        """The names of both, or of the one that is both."""
        return self.one.name if self.one is self.many else f"{self.one.name} and {self.many.name}"

    @property
    def precision(self) -> str:
        """The precision of both."""
        return self.one.precision

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Compute; see `Engine.logits`."""
        return self._for(pixels).logits(pixels)

    def prepare(self, pixels: np.ndarray) -> None:
        """Prepare for batches of this shape, see `TorchEngine.prepare` and `FileEngine.prepare`."""
        if isinstance(engine := self._for(pixels), TorchEngine | FileEngine):
            engine.prepare(pixels)

    def _for(self, pixels: np.ndarray) -> Engine:
        return self.one if len(pixels) < FEW else self.many


def fastest_engine(
    module: nn.Module, preprocess: Preprocess, classes: Sequence[str], precision: Precision = "float32"
) -> FastestEngine:
    """Make the fastest engine of a network for the CPU, among those that are installed.

    All are timed once for a kind of network on a kind of processor; what was fastest is kept among the caches, so that
    equal calls compute alike. An engine that the network can't be exported for is left out.

    Args:
        module, preprocess, classes, precision: see `engine_of`.
    """
    names = installed(precision)
    kept = cache_folder() / "engines" / f"{_key(module, preprocess, names, precision)}.json"
    make: Callable[[str], Engine] = lambda name: engine_of(name, module, preprocess, classes, "cpu", precision)  # noqa: E731
    if (known := _read(kept, names)) is not None:
        engines = {name: make(name) for name in dict.fromkeys(known)}
        return FastestEngine(*(engines[name] for name in known))
    made = []
    for name in names:
        with suppress(ExportError, CheckpointError):
            made.append(make(name))
    example = np.zeros((1, preprocess.height, preprocess.width, preprocess.channels), np.uint8)
    chosen, times = fastest(made, example)
    with suppress(StorageError, OSError):  # a cache that can't be written is one that is not there
        write_json(kept, sealed({"one": chosen.one.name, "many": chosen.many.name, "milliseconds": times}))
    return chosen


def fastest(engines: list[Engine], example: np.ndarray) -> tuple[FastestEngine, dict[str, tuple[float, float]]]:
    """Measure which of several engines of a network is fastest for an image, and which for a batch of 64.

    Args:
        engines: all of one network.
        example: an image, uint8 (1, height, width, C).

    Returns:
        The engine, and by name the milliseconds for one image and for 64, the medians of some.
    """
    batches = [example, np.repeat(example, MANY, axis=0)]
    times = {}
    for engine in engines:
        times[engine.name] = tuple(1000 * _seconds(engine, batch) for batch in batches)
    one, many = (min(engines, key=lambda engine: times[engine.name][place]) for place in range(2))
    return FastestEngine(one, many), times  # type: ignore[return-value]


def _seconds(engine: Engine, pixels: np.ndarray) -> float:
    if isinstance(engine, TorchEngine):
        engine.prepare(pixels)
    engine.logits(pixels)
    taken: list[float] = []
    while len(taken) < _LEAST or sum(taken) < SECONDS:
        begun = time.perf_counter()
        engine.logits(pixels)
        taken.append(time.perf_counter() - begun)
    return median(taken)


def _key(module: nn.Module, preprocess: Preprocess, names: Sequence[str], precision: str) -> str:
    """A name for networks of this kind, on processors of this kind, in these versions of the engines."""
    versions = {name: version(name) for name in names}
    shapes = {name: list(each.shape) for name, each in module.state_dict().items()}
    facts = [repr(module), shapes, preprocess.to_dict(), precision, versions, processor(), cores()]
    return sha256(json_bytes({"facts": facts}))


def _read(path: Path, names: Sequence[str]) -> tuple[str, str] | None:
    """The names that were kept; `None` if there are none, or the file is damaged."""
    with suppress(CheckpointError, TypeError):
        values: Any = read_json(path)
        if isinstance(values, dict) and unsealed(values) and {values.get("one"), values.get("many")} <= set(names):
            return values["one"], values["many"]
    return None
