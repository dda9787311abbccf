"""Export of a network: the file is written only after it has answered as the network does."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from torch import nn

from striate.errors import ArgumentError, DataError, unknown
from striate.evaluation.samples import network_and_data, samples_of
from striate.exporting import verification
from striate.exporting.result import Export
from striate.exporting.verification import Agreement, Questions
from striate.files import write_atomic
from striate.inference.exported_file import FORMAT, ONNX, OPENVINO, WEIGHTS, Card, ExportedFile, Input, Measured
from striate.preprocess import Preprocess
from striate.runs import Run, Trained
from striate.version import __version__

SUFFIXES = {"onnx": ONNX, "openvino": OPENVINO}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUTS: tuple[Input, ...] = get_args(Input)
MAX_LOSS = 0.5  # percentage points that int8 may lose, unless the user says otherwise


@dataclass(frozen=True)
class _Files:
    """Exported files, not yet written.

    Args:
        content: the file.
        weights: the .bin file beside one of OpenVINO's.
        opened: the file, as a user opens it.
    """

    content: bytes
    weights: bytes | None
    opened: ExportedFile

    def write(self, path: Path) -> None:
        if self.weights is not None:
            write_atomic(path.with_suffix(WEIGHTS), self.weights)
        write_atomic(path, self.content)


def export(
    run: Run | str | Path | nn.Module,
    to: str = "onnx",
    *,
    out: str | Path | None = None,
    input: Input = "image",
    int8: bool = False,
    max_loss: float = MAX_LOSS,
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
        to: the format: "onnx", or "openvino" for an .xml file with a .bin file of weights beside it.
        out: the file; by default model.onnx or model.xml in the run's folder, or NAME.onnx or NAME.xml here.
        input: "image" for pictures of any size; "tensor" for those of the network's own size and channels, for programs
            that can't resize as the network needs it. Both are normalised by the file.
        int8: compute with 8-bit integers, in files of about a quarter of the size: ranges are taken from training
            images, by what is most accurate on others.
        max_loss: how many percentage points of accuracy int8 may lose.
        data: other images with labels to verify it on, see `striate.evaluate`, and to calibrate int8 with.
        model: for a run whose model Striate did not create, a module of the same structure.
        preprocess, classes: for a module, how images become its input, and the names of its classes.

    Raises:
        ArgumentError: for an unknown format or input, or if packages are missing, naming the extra that brings them.
        DataError: for int8 without images that it could be calibrated with.
        ExportError: if PyTorch can't export the network, the file's class is another for more than one image in a
            thousand, or int8 loses more than `max_loss`; then no file is kept.
        CheckpointError: if the run has no usable weights.
        StorageError: if the file can't be written.
    """
    if to not in SUFFIXES:
        raise unknown("format", to, SUFFIXES)
    if input not in INPUTS:
        raise unknown("input", input, INPUTS)
    if not 0 <= max_loss <= 100:
        raise ArgumentError(f"max_loss={max_loss}: expected percentage points, 0 to 100.")
    _check_packages(to)
    trained, data = network_and_data(run, data, module=model, preprocess=preprocess, classes=classes)
    if trained.file is not None:
        raise ArgumentError(f"{trained.file.name} is an exported file already: name the run.")
    path = Path(out) if out is not None else _usual_place(trained, SUFFIXES[to])
    if path.suffix.lower() != SUFFIXES[to] or path.is_dir():
        raise ArgumentError(f"{path}: the file's name must end in {SUFFIXES[to]}, so that other commands know it.")
    questions, notes = _questions(trained, data, input, int8)
    expected = verification.answered(trained, questions)
    own = verification.measured(expected, questions)
    files, more = _files(trained, to, _card(trained, input, own, int8), data, path.name)
    agreement = verification.compared(files.opened, questions, expected)
    if int8:
        agreement.check_loss(trained.name, own, max_loss)
    else:
        agreement.check(trained.name)
    result = _result(path, to, files, trained, questions, agreement, own, (*notes, *more))
    files.write(path)
    return result


def _check_packages(to: str) -> None:
    extras = {**dict.fromkeys(PACKAGES, "onnx"), **({"openvino": "openvino"} if to == "openvino" else {})}
    for name, extra in extras.items():
        if find_spec(name) is None:
            raise ArgumentError(f"exporting to {to} needs {name}: pip install 'striate[{extra}]'.")


def _usual_place(trained: Trained, suffix: str) -> Path:
    if trained.run is not None:
        return trained.run.path / f"model{suffix}"
    return Path(f"{trained.name.partition(':')[0]}{suffix}")


def _questions(trained: Trained, data: Any, kind: Input, int8: bool) -> tuple[Questions, tuple[str, ...]]:
    """Pictures to ask about: the images held out, or made-up ones where there are none."""
    preprocess = trained.preprocess
    if data is not None or trained.run is not None:
        try:
            samples = samples_of(trained, data)
            return Questions.of_samples(samples, preprocess, kind), samples.notes
        except DataError as error:
            if data is not None or int8:
                raise
            reason = str(error)
    elif int8:
        raise ArgumentError(f"int8 needs images with labels, and {trained.name} has none: name some with data=.")
    else:
        reason = f"{trained.name} has no data of its own."
    note = f"{reason} The file is compared with the network on made-up pictures; --data measures it on labelled images."
    return Questions.made_up(preprocess, kind), (*trained.notes, note)


def _card(trained: Trained, kind: Input, measured: Measured | None, int8: bool) -> Card:
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
        precision="int8" if int8 else "float32",
    )


def _files(trained: Trained, to: str, card: Card, data: Any, name: str) -> tuple[_Files, tuple[str, ...]]:
    """Make the files of a format, and a note on how, if there is something to say."""
    from striate.inference.onnx_graph import assembled, network

    notes: tuple[str, ...] = ()
    graph = network(trained.module, card)
    if card.precision == "int8":
        from striate.exporting.int8 import Images, quantized

        graph, note = quantized(graph, Images.of(trained, data), card.preprocess)
        notes = (note,)
    content, weights = assembled(graph, card), None
    if to == "openvino":
        from striate.exporting.openvino import converted

        content, weights = converted(content, card)
    return _Files(content, weights, ExportedFile.of(content, name, weights)), notes


def _result(
    path: Path,
    to: str,
    files: _Files,
    trained: Trained,
    questions: Questions,
    agreement: Agreement,
    own: Measured | None,
    notes: tuple[str, ...],
) -> Export:
    from striate.inference.onnx_preprocessing import OPSET

    some, opened = questions.pixels[: verification.BATCH], files.opened
    latency, throughput = verification.speeds(lambda pixels: opened.answer(pixels.numpy()), some)
    latency_run, throughput_run = verification.speeds(lambda pixels: trained.logits(pixels, "cpu", tta="none"), some)
    return Export(
        path=path,
        format=to,
        precision=opened.card.precision,
        bytes=len(files.content) + len(files.weights or b""),
        opset=OPSET,
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
