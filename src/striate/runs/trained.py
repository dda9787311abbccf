"""Trained networks with all it takes to use them: from a run, its folder, or any module."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data import Dataset
from striate.data.lazy import Images
from striate.errors import ArgumentError, CheckpointError, ShapeError, StriateError, unknown
from striate.hardware import pick
from striate.inference import UNCALIBRATED, Calibration, ExportedFile, is_exported_file, logits_of
from striate.inference.engines import TORCH, Engine, engine_of
from striate.inference.exported_file import FileEngine, opened_file
from striate.inference.fastest import fastest_engine
from striate.inference.predictor import answered
from striate.models import PRETRAINED, Architecture, create, evaluating, facts, names
from striate.preprocess import Preprocess
from striate.runs.run import Run
from striate.types import PRECISIONS, Precision


@dataclass(frozen=True)
class Trained:
    """A network, how images become its input, and the names of its classes.

    Args:
        name: for titles.
        module: from float32 (N, C, H, W) to logits (N, classes).
        preprocess: how images become input.
        classes: the names, in the order of the outputs.
        tta: the test-time augmentation of the run's recipe; "none" for other modules.
        run: the run that it is from, if any.
        notes: what to know about it, a sentence each.
        calibrations: how its logits become probabilities, by test-time augmentation; see `calibration`.
        file: the exported file that it is, if any.
        computing: the engine that computes the logits in place of the module, if any.

    >>> trained = Trained.of(run)
    >>> trained.name, trained.classes[:2], trained.input_shape
    ('mlp', ('0', '1'), (1, 8, 8))
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    classes: tuple[str, ...]
    tta: str = "none"
    run: Run | None = None
    notes: tuple[str, ...] = ()
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    file: ExportedFile | None = None
    computing: Engine | None = None

    @classmethod
    def of(
        cls,
        model: "Trained | Run | ExportedFile | str | Path | nn.Module",
        *,
        module: nn.Module | None = None,
        preprocess: Preprocess | None = None,
        classes: Sequence[str] | None = None,
        data: Any = None,
    ) -> "Trained":
        """Make one of a run, a run's folder, an exported file, the name of a model with published weights, or a module.

        Args:
            model: a run, a run's folder, a file from `striate.export`, a name such as "efficientnet_lite0", or a
                module; a run's folder comes first.
            module: for a run whose model Striate did not create, a module of the same structure.
            preprocess: how images become a module's input; a module from `Run.model` knows it.
            classes: the names of a module's classes; a module from `Run.model` knows them.
            data: where `preprocess` and `classes` are taken from if nothing else gives them and it is a `Dataset`: the
                size of its images, the mean and standard deviation of its training images, its classes.

        Raises:
            ArgumentError: if something is missing, or given twice.
            CheckpointError: if there is no such run, it has no usable weights, or published ones are not to be had.
        """
        if isinstance(model, Trained):
            return model
        if isinstance(model, str) and is_model_name(model):
            model = create(model, weights=PRETRAINED)
        if isinstance(model, nn.Module):
            return cls._of_module(model, preprocess, classes, data if isinstance(data, Dataset) else None)
        if is_exported_file(model):
            return cls._of_file(opened_file(model))
        if isinstance(model, str) and not Path(model).exists() and Path(model).name == model:
            raise ArgumentError(
                f"{unknown('model', model, names())} Runs are named by their folder, and {model} is none here."
            )
        run = Run.of(model)  # type: ignore[arg-type]
        if preprocess is not None or classes is not None:
            raise ArgumentError(f"{run.path} is a run and has its own preprocessing and classes: leave yours out.")
        model = run.model(module)
        found = calibrations_of(model)
        return cls(run.name, model, run.preprocess, run.classes, run.recipe.tta, run, calibrations=found)

    @classmethod
    def _of_file(cls, file: ExportedFile) -> "Trained":
        card = file.card
        try:
            calibrations = {"none": Calibration.from_dict(card.calibration)} if card.calibration else {}
        except ValueError as error:
            raise CheckpointError(f"{file.name} is damaged: its calibration is not what Striate writes.") from error
        return cls(
            card.model, _InFile(file.name), card.preprocess, card.classes, calibrations=calibrations, file=file,
            computing=FileEngine(file),
        )  # fmt: skip

    @classmethod
    def _of_module(
        cls, module: nn.Module, preprocess: Preprocess | None, classes: Sequence[str] | None, data: Dataset | None
    ) -> "Trained":
        notes: tuple[str, ...] = ()
        preprocess = preprocess or preprocess_of(module)
        if preprocess is None:
            if data is None:
                raise ArgumentError(
                    f"{type(module).__name__} does not say how images become its input: pass preprocess=, for example "
                    "striate.Preprocess(224, 224, 3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))."
                )
            preprocess = preprocess_for(module, data)
            notes = (
                "preprocess= was not given: images have the data's size and are normalised as striate.train does.",
            )
        found: Any = classes if classes is not None else classes_of(module)
        if found is None and data is not None:
            found = data.classes
        made = getattr(module, "architecture", None)
        if found is None:
            found = [str(number) for number in range(_outputs(module, made))]
        name = made.text if isinstance(made, Architecture) else type(module).__name__
        notes = (*notes, *getattr(module, "notes", ()))
        return cls(name, module, preprocess, tuple(map(str, found)), notes=notes, calibrations=calibrations_of(module))

    def calibration(self, tta: str | None = None) -> Calibration:
        """The calibration of its probabilities, `Calibration()` if it was not calibrated for them.

        Args:
            tta: the test-time augmentation of the logits; the run's own if not given.
        """
        return self.calibrations.get(self.tta if tta is None else tta, UNCALIBRATED)

    def uncalibrated(self, tta: str | None = None) -> str | None:
        """The reason why its probabilities are not calibrated, a sentence, or `None` if they are."""
        if self.calibration(tta).images:
            return None
        if self.calibrations:
            known = " and ".join(f"--tta {name}" for name in self.calibrations)
            return f"The probabilities are not calibrated for these views; they are with {known}."
        why = (
            "the network in the file was not" if self.file
            else "fewer than 20 images were held out for it" if self.run and self.run.result
            else "the run is not finished" if self.run
            else "no images are known that it was not trained on"
        )  # fmt: skip
        return f"The probabilities are not calibrated: {why}."

    @contextmanager
    def on(self, device: torch.device) -> Iterator[nn.Module]:
        """Lend the network to a device, in evaluation mode; afterwards its modes and its device are what they were."""
        before = next((weight.device for weight in self.module.parameters()), device)
        with evaluating(self.module):
            try:
                yield self.module.to(device)
            finally:
                self.module.to(before)

    def logits(self, images: Images, device: str = "auto", tta: str | None = None) -> Tensor:
        """Logits for images, uint8 (N, H, W, C) of the input's size: float32 (N, classes), on the CPU.

        Args:
            device: "auto", "cpu" or "cuda".
            tta: test-time augmentation; the run's own if not given.

        Raises:
            ShapeError: if the network does not take such images, or its outputs are not as many as the classes.
        """
        tta = self.tta if tta is None else tta
        if self.computing is not None:
            if self.file is not None and device == "cuda":
                raise ArgumentError(f"{self.file.name}: exported files are computed on the CPU; leave out --device.")
            engine = self.computing
            return answered(
                lambda pixels: torch.from_numpy(engine.logits(pixels.numpy())), images, torch.device("cpu"), None, tta
            )
        target = pick(device)
        with self.on(target) as module:
            try:
                logits = logits_of(module, images, self.preprocess, target, tta=tta)
            except (StriateError, torch.OutOfMemoryError):
                raise
            except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
                shape = ("N", *self.input_shape)
                raise ShapeError(
                    f"{self.name} gives no logits for images ({', '.join(map(str, shape))}): {error}"
                ) from error
        self.check(logits.shape)
        return logits

    def engine(self, name: str = "auto", device: str = "auto", precision: Precision = "float32") -> Engine:
        """Make the engine that computes its logits, for a service and others that ask often.

        Args:
            name: "torch", "onnxruntime" or "openvino"; "auto" for the fastest of those that are installed, measured
                once on a CPU, see `fastest_engine`. An exported file has the engine that it was opened with.
            device: "auto", "cpu" or "cuda".
            precision: "float32" or "bfloat16".

        Raises:
            ArgumentError: for another engine, or one that is not installed or does not compute so.
            ExportError: if PyTorch can't export the network for the engine.
        """
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        if self.file is not None:
            return FileEngine(self.file, precision)
        target = pick(device)
        with self.on(torch.device("cpu")) as module:
            if name == "auto" and target.type == "cpu":
                return fastest_engine(module, self.preprocess, self.classes, precision)
            name = TORCH if name == "auto" else name
            return engine_of(name, module, self.preprocess, self.classes, target, precision)

    def by(self, engine: str, device: str = "auto", precision: Precision = "float32") -> "Trained":
        """The same network, computed by an engine; see `engine`.

        "auto" is PyTorch here: for a few images, exporting a network takes longer than another engine saves.
        """
        usual = engine == "auto" and precision == "float32"
        if self.file is not None or usual:
            return self
        return replace(self, computing=self.engine(TORCH if engine == "auto" else engine, device, precision))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""
        return self.preprocess.channels, self.preprocess.height, self.preprocess.width

    def check(self, logits_shape: Sequence[int]) -> None:
        """Check that there is one output for each class.

        Raises:
            ShapeError: saying both.
        """
        if len(logits_shape) != 2 or logits_shape[1] != len(self.classes):
            raise ShapeError(
                f"{self.name} gives outputs of shape {tuple(logits_shape)}: expected (N, {len(self.classes)}), one for "
                "each class."
            )


class _InFile(nn.Module):
    """Stands for the layers of an exported file, which can't be looked into."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Refuse."""
        raise ArgumentError(f"{self.name} is an exported file, whose layers can't be looked into: name the run.")


def preprocess_of(module: nn.Module) -> Preprocess | None:
    """The preprocessing kept on a module, as on those from `Run.model`, or `None`."""
    found = getattr(module, "preprocess", None)
    return found if isinstance(found, Preprocess) else None


def classes_of(module: nn.Module) -> tuple[str, ...] | None:
    """The class names kept on a module, as on those from `Run.model`, or `None`."""
    found = getattr(module, "classes", None)
    return tuple(found) if isinstance(found, tuple | list) and all(isinstance(each, str) for each in found) else None


def calibrations_of(module: nn.Module) -> dict[str, Calibration]:
    """The calibrations kept on a module, as on those from `Run.model`, or none."""
    found = getattr(module, "calibrations", None)
    return found if isinstance(found, dict) and all(isinstance(each, Calibration) for each in found.values()) else {}


def normalization_of(module: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The mean and standard deviation kept on a module with published weights, or `None`."""
    found = getattr(module, "normalization", None)
    return found if isinstance(found, tuple) and len(found) == 2 else None


def is_model_name(text: str) -> bool:
    """True for a model's name, with or without options, unless a run's folder has it."""
    return text.partition(":")[0] in names() and not (Path(text) / "run.json").exists()


def opened(
    model: Run | str | os.PathLike[str] | nn.Module,
    classes: int | None = None,
    channels: int | None = None,
    image_size: int | None = None,
) -> Run | nn.Module:
    """Open a run's folder, or create the model of a name; runs and modules are returned as they are.

    Args:
        model: a folder that is no run does not hide a model of the same name.
        classes, channels, image_size: for a model; by default 10, 1, and the model's own size or 28 pixels.

    Raises:
        ArgumentError: for an unknown name.
        CheckpointError: for a folder that is no run.

    >>> opened(run.path).name, type(opened("mlp", classes=3)).__name__
    ('mlp', 'MLP')
    """
    if isinstance(model, Run | nn.Module):
        return model
    text = os.fspath(model)
    folder = Path(text)
    is_name = isinstance(model, str) and text.partition(":")[0] in names()
    if (folder / "run.json").exists() or (folder.exists() and not is_name):
        return Run.open(folder)
    size = (facts(text).image_size or 28) if image_size is None else image_size
    return create(text, 10 if classes is None else classes, 1 if channels is None else channels, size)


def preprocess_for(module: nn.Module, data: Dataset) -> Preprocess:
    """Preprocessing for the data's size, normalised as the weights expect, or else the model, or else by the data."""
    _, height, width, channels = data.train.images.shape
    resizing = Preprocess.resizing((height, width), channels, data.fit, data.crop, data.interpolation)
    published, made = normalization_of(module), getattr(module, "architecture", None)
    if published is not None:
        return replace(resizing, mean=published[0], std=published[1])
    known = facts(made.name) if isinstance(made, Architecture) else None
    if known is None or known.mean is None or known.std is None:
        return resizing.with_power_sums(data.train.power_sums())
    return replace(resizing, mean=(known.mean,) * channels, std=(known.std,) * channels)


def _outputs(module: nn.Module, made: Any) -> int:
    """Guess the number of a module's classes from its last layer, without running it."""
    if isinstance(made, Architecture):
        return made.classes
    last = [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    if not last:
        raise ArgumentError(f"{type(module).__name__} does not say what its outputs mean: pass classes=, the names.")
    return last[-1].out_features if isinstance(last[-1], nn.Linear) else last[-1].out_channels
