"""Export of a network: the file is written only after it has answered as the network does."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

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

SUFFIXES = {"onnx": ONNX, "openvino": OPENVINO, "web": ".html"}
FOLDER = "hf"
FORMATS = (*SUFFIXES, FOLDER)
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
        to: the format: "onnx"; "openvino" for an .xml file with a .bin file of weights beside it; "web" for one HTML
            file in which the network runs, see `striate.exporting.web.page`; "hf" for a folder that timm and the
            Hugging Face hub understand. Commands of Striate do not take the last two in place of a run.
        out: the file or folder; by default model.onnx, model.xml, model.html or hf in the run's folder, or NAME.onnx,
            NAME.xml, NAME.html or NAME-hf here.
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

    >>> made = striate.export(run, "onnx", out="numbers.onnx")
    >>> made.path.name, made.agreement
    ('numbers.onnx', 1.0)
    >>> striate.evaluate("numbers.onnx", data).accuracy == striate.evaluate(run).accuracy
    True
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    if to == FOLDER and (int8 or input != "image"):
        raise ArgumentError("to=hf keeps the network's own weights: leave out int8 and input.")
    if input not in INPUTS:
        raise unknown("input", input, INPUTS)
    if not 0 <= max_loss <= 100:
        raise ArgumentError(f"max_loss={max_loss}: expected percentage points, 0 to 100.")
    if to == "web" and (int8 or input != "image"):
        raise ArgumentError("a page takes pictures of any size and computes in float32: leave input and int8 out.")
    _check_packages(to)
    trained, data = network_and_data(run, data, module=model, preprocess=preprocess, classes=classes)
    if trained.file is not None:
        raise ArgumentError(f"{trained.file.name} is an exported file already: name the run.")
    path = Path(out) if out is not None else _usual_place(trained, to)
    if to in SUFFIXES and (path.suffix.lower() != SUFFIXES[to] or path.is_dir()):
        raise ArgumentError(f"{path}: the file's name must end in {SUFFIXES[to]}, so that other programs know it.")
    questions, notes = _questions(trained, data, input, int8)
    expected = verification.answered(trained, questions)
    own = verification.measured(expected, questions)
    card = card_of(trained, input, own, int8)
    if to == FOLDER:
        return _folder(path, trained, card, questions, expected, notes)
    more: tuple[str, ...] = ()
    if to == "web":
        files = _page(trained, card, questions)
    else:
        files, more = _files(trained, to, card, data, path.name)
    logits = torch.from_numpy(files.opened.answers(questions.pictures)[0])
    agreement = verification.compared(logits, questions, expected)
    if int8:
        agreement.check_loss(trained.name, own, max_loss)
    else:
        agreement.check(trained.name)
    some, opened = questions.pixels[: verification.BATCH], files.opened
    latency, throughput = verification.speeds(lambda pixels: opened.answer(pixels.numpy()), some)
    latency_run, throughput_run = verification.speeds(lambda pixels: trained.logits(pixels, "cpu", tta="none"), some)
    result = replace(
        _result(path, to, card, len(files.content) + len(files.weights or b""), questions, agreement, (*notes, *more)),
        opset=_opset(), latency_ms=latency, latency_ms_run=latency_run, throughput=throughput,
        throughput_run=throughput_run,
    )  # fmt: skip
    files.write(path)
    return result


def _check_packages(to: str) -> None:
    if to == FOLDER:
        return
    extras = {**dict.fromkeys(PACKAGES, "onnx"), **({"openvino": "openvino"} if to == "openvino" else {})}
    for name, extra in extras.items():
        if find_spec(name) is None:
            raise ArgumentError(f"exporting to {to} needs {name}: pip install 'striate[{extra}]'.")


def _usual_place(trained: Trained, to: str) -> Path:
    if trained.run is not None:
        return trained.run.path / (FOLDER if to == FOLDER else f"model{SUFFIXES[to]}")
    return Path(trained.name.partition(":")[0] + SUFFIXES.get(to, f"-{FOLDER}"))


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


def card_of(trained: Trained, kind: Input = "image", measured: Measured | None = None, int8: bool = False) -> Card:
    """Description that an exported file carries, see `Card`."""
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


def _page(trained: Trained, card: Card, questions: Questions) -> _Files:
    from striate.exporting.web import page

    made = page(trained, card, None if questions.labels is None else (questions.pixels, questions.labels))
    return _Files(made.content, None, made.file)


def _folder(
    path: Path,
    trained: Trained,
    card: Card,
    questions: Questions,
    expected: Tensor,
    notes: tuple[str, ...],
) -> Export:
    """Write a folder for the hub, once the weights in it, read again, have given the network's logits."""
    from striate.exporting import hugging_face

    files = hugging_face.folder_files(trained, card)
    module = copy.deepcopy(trained.module)
    module.load_state_dict(hugging_face.reopened(trained, files[hugging_face.WEIGHTS]))
    logits = replace(trained, module=module).logits(questions.pixels, "cpu", tta="none")
    agreement = verification.compared(logits, questions, expected)
    agreement.check(trained.name)
    hugging_face.write(path, files)
    return _result(path, FOLDER, card, sum(map(len, files.values())), questions, agreement, notes)


def _opset() -> int:
    from striate.inference.onnx_preprocessing import OPSET

    return OPSET


def _result(
    path: Path,
    to: str,
    card: Card,
    size: int,
    questions: Questions,
    agreement: Agreement,
    notes: tuple[str, ...],
) -> Export:
    own = card.measured
    return Export(
        path=path,
        format=to,
        precision=card.precision,
        bytes=size,
        opset=None,
        agreement=agreement.share,
        max_difference=agreement.max_difference,
        largest_logit=agreement.largest,
        n=agreement.n,
        split=questions.split,
        accuracy=agreement.accuracy,
        interval=agreement.interval,
        accuracy_run=own.accuracy if own else None,
        latency_ms=None,
        latency_ms_run=None,
        throughput=None,
        throughput_run=None,
        notes=notes,
    )
