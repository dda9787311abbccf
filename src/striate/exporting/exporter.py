"""Export of a network: the file is written only after it has answered as the network does."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from torch import nn

from striate.errors import ArgumentError, DataError, unknown
from striate.evaluation.samples import network_and_data, samples_of
from striate.exporting import verification
from striate.exporting.verification import Agreement, Questions
from striate.files import write_atomic
from striate.inference.onnx_file import FORMAT, SUFFIX, Card, Input, Measured, OnnxFile
from striate.preprocess import Preprocess
from striate.runs import Run, Trained
from striate.units import aligned, percent, readable
from striate.version import __version__

FORMATS = ("onnx",)
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUTS: tuple[Input, ...] = get_args(Input)


@dataclass(frozen=True)
class Export:
    """An exported file, what it answers beside the network, and what it costs.

    Args:
        path: the file.
        format: "onnx".
        bytes: the file's size.
        opset: the version of ONNX's operators.
        agreement: the share of images to which file and network give the same class, in [0, 1].
        max_difference: the largest difference between two logits of both.
        largest_logit: the largest absolute logit, to compare it with.
        n: of how many images.
        split: which split of the data these are; empty if they were made up.
        accuracy, interval: the file's, in [0, 1], with its 95 % interval; `None` if there are no labels.
        accuracy_run: the network's own.
        latency_ms, latency_ms_run: milliseconds for one image, by the file and by the network.
        throughput, throughput_run: images a second of a batch of 64.
        notes: what to know about it, a sentence each.
    """

    path: Path
    format: str
    bytes: int
    opset: int
    agreement: float
    max_difference: float
    largest_logit: float
    n: int
    split: str
    accuracy: float | None
    interval: tuple[float, float] | None
    accuracy_run: float | None
    latency_ms: float
    latency_ms_run: float
    throughput: float
    throughput_run: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = None if self.interval is None else list(self.interval)
        return {**asdict(self), "path": str(self.path), "interval": interval, "notes": list(self.notes)}

    def text(self) -> str:
        """A table of the file beside the network, for terminals."""
        rows = [("", "file", "network")]
        if self.interval is not None:
            low, high = self.interval
            rows.append((f"accuracy on {self.split}", percent(self.accuracy), percent(self.accuracy_run)))
            rows.append(("95 % interval", f"{percent(low)} to {percent(high)}", ""))
        rows += [
            ("one image", f"{self.latency_ms:.2f} ms", f"{self.latency_ms_run:.2f} ms"),
            ("batches of 64", f"{self.throughput:,.0f} images/s", f"{self.throughput_run:,.0f} images/s"),
            ("size", readable(self.bytes), ""),
        ]
        share = (
            f"Same class for {percent(self.agreement)} of {self.n:,} {self.split or 'made-up'} images; logits differ "
            f"by at most {self.max_difference:.2g}, the largest being {self.largest_logit:.3g}."
        )
        return "\n".join([f"{self.path}: ONNX, opset {self.opset}", aligned(rows, "<>>"), share])

    def _repr_html_(self) -> str:
        """The text, for notebooks."""
        return f"<pre>{html.escape(self.text())}</pre>"


def export(
    run: Run | str | Path | nn.Module,
    to: str = "onnx",
    *,
    out: str | Path | None = None,
    input: Input = "image",
    data: Any = None,
    model: nn.Module | None = None,
    preprocess: Preprocess | None = None,
    classes: Sequence[str] | None = None,
) -> Export:
    """Export a network to a file that carries its preprocessing and classes, and prove that it answers alike.

    The file takes `image`, uint8 (N, H, W, 1 or 3), and gives `logits` and `probabilities`, float32 (N, classes), the
    latter calibrated if the run is. Before it is kept, it is asked about the images that the run was not trained on,
    through its own preprocessing. Where there are none, as for a pretrained model without `data`, it is asked about
    made-up pictures instead, and a note says so. `striate.predict` and `striate.evaluate` take it in place of the run.

    Args:
        run: a run or its folder, the name of a model with published weights, or a module.
        to: the format: "onnx".
        out: the file; by default model.onnx in the run's folder, or NAME.onnx here.
        input: "image" for pictures of any size; "tensor" for those of the network's own size and channels, for programs
            that can't resize as the network needs it. Both are normalised by the file.
        data: other images with labels to verify it on, see `striate.evaluate`.
        model: for a run whose model Striate did not create, a module of the same structure.
        preprocess, classes: for a module, how images become its input, and the names of its classes.

    Raises:
        ArgumentError: for an unknown format or input, or if packages are missing, naming the extra that brings them.
        ExportError: if PyTorch can't export the network, or the file's class is another for more than one image in a
            thousand; then no file is kept.
        CheckpointError: if the run has no usable weights.
        StorageError: if the file can't be written.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    if input not in INPUTS:
        raise unknown("input", input, INPUTS)
    _check_packages()
    from striate.exporting.graph import exported
    from striate.exporting.preprocessing import OPSET

    trained, data = network_and_data(run, data, module=model, preprocess=preprocess, classes=classes)
    if trained.file is not None:
        raise ArgumentError(f"{trained.file.name} is an exported file already: name the run.")
    path = Path(out) if out is not None else _usual_place(trained)
    if path.suffix.lower() != SUFFIX or path.is_dir():
        raise ArgumentError(f"{path}: the file's name must end in {SUFFIX}, so that other commands know it.")
    questions, notes = _questions(trained, data, input)
    expected = verification.answered(trained, questions)
    own = verification.measured(expected, questions)
    content = exported(trained.module, _card(trained, input, own))
    file = OnnxFile.of(content, path.name)
    agreement = verification.compared(file, questions, expected)
    agreement.check(trained.name)
    result = _result(path, file, trained, questions, agreement, own, OPSET, notes)
    write_atomic(path, content)
    return result


def _check_packages() -> None:
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError:
            raise ArgumentError(f"exporting to ONNX needs {name}: pip install 'striate[onnx]'.") from None


def _usual_place(trained: Trained) -> Path:
    if trained.run is not None:
        return trained.run.path / f"model{SUFFIX}"
    return Path(f"{trained.name.partition(':')[0]}{SUFFIX}")


def _questions(trained: Trained, data: Any, kind: Input) -> tuple[Questions, tuple[str, ...]]:
    """Pictures to ask about: the images held out, or made-up ones where there are none."""
    preprocess = trained.preprocess
    if data is not None or trained.run is not None:
        try:
            samples = samples_of(trained, data)
            return Questions.of_samples(samples, preprocess, kind), samples.notes
        except DataError as error:
            if data is not None:
                raise
            reason = str(error)
    else:
        reason = f"{trained.name} has no data of its own."
    note = f"{reason} The file is compared with the network on made-up pictures; --data measures it on labelled images."
    return Questions.made_up(preprocess, kind), (*trained.notes, note)


def _card(trained: Trained, kind: Input, measured: Measured | None) -> Card:
    calibration = trained.calibration("none")
    result = trained.run.result if trained.run is not None else None
    return Card(
        format=FORMAT,
        striate=__version__,
        model=trained.name,
        input=kind,
        classes=trained.classes,
        preprocess=trained.preprocess,
        calibration=calibration.to_dict() if calibration.images else None,
        run=(result or {}).get("sha256"),
        measured=measured,
    )


def _result(
    path: Path,
    file: OnnxFile,
    trained: Trained,
    questions: Questions,
    agreement: Agreement,
    own: Measured | None,
    opset: int,
    notes: tuple[str, ...],
) -> Export:
    some = questions.pixels[: verification.BATCH]
    latency, throughput = verification.speeds(lambda pixels: file.answer(pixels.numpy()), some)
    latency_run, throughput_run = verification.speeds(lambda pixels: trained.logits(pixels, "cpu", tta="none"), some)
    return Export(
        path=path,
        format="onnx",
        bytes=len(file.content),
        opset=opset,
        agreement=agreement.share,
        max_difference=agreement.max_difference,
        largest_logit=agreement.largest,
        n=agreement.n,
        split=questions.split,
        accuracy=agreement.accuracy,
        interval=agreement.interval,
        accuracy_run=own.accuracy if own else None,
        latency_ms=latency,
        latency_ms_run=latency_run,
        throughput=throughput,
        throughput_run=throughput_run,
        notes=notes,
    )
