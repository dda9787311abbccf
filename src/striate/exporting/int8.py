"""8-bit integers in place of a network's floating-point numbers, chosen among calibrations by accuracy.

Weights get a scale for each output channel: one for a whole layer would cost many networks several points. Inputs of
layers have one scale, from the values that images give there. The first and the last layer, the most sensitive, stay
floating-point where they are small.
"""

import io
import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from striate import seeding
from striate.data import Split
from striate.data.dataset import conformed_images
from striate.errors import DataError, ExportError
from striate.evaluation.samples import dataset_for, positions_of
from striate.preprocess import Preprocess
from striate.runs import Trained
from striate.runs.held_out import divided

CALIBRATION, CHOICE = 128, 1000  # images, at most
FEWEST = 20  # of either
BATCH = 16
SMALL = 0.1  # share of the weights up to which the first and the last layer stay floating-point
LAYERS = ("Conv", "Gemm", "MatMul")
CALIBRATIONS: dict[str, dict[str, Any]] = {  # how the range of a layer's inputs is taken from what images give
    "smallest and largest": {"calibrate_method": CalibrationMethod.MinMax},
    "99.999 % of the values": {"calibrate_method": CalibrationMethod.Percentile, "percentile": 99.999},
    "99.99 % of the values": {"calibrate_method": CalibrationMethod.Percentile, "percentile": 99.99},
}


@dataclass(frozen=True)
class Images:
    """Images to quantise a network with.

    Args:
        calibration: training images that tell the range of values in the network, uint8 (n, height, width, C).
        choice: other images, which choose among the calibrations.
        labels: of these: positions in the network's classes, int64 (m,).
    """

    calibration: torch.Tensor
    choice: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, trained: Trained, data: Any) -> "Images":
        """Take them from the training images of a run's own data, or other data.

        The images that choose are those that the run was not trained on, where there are such.

        Raises:
            DataError: if there are too few.
        """
        dataset, same = dataset_for(trained, data)
        run, split = trained.run, dataset.train
        labels = positions_of(trained, dataset)[0][split.labels]
        split = Split(conformed_images(split.images, trained.preprocess), labels, split.files)
        kept, _ = divided(dataset.train, run.recipe) if run is not None and same else (None, None)
        order = torch.randperm(len(split), generator=seeding.generator(0, "int8"))
        if kept is None:
            half = min(CHOICE, len(order) // 2)
            choosing, calibrating = order[:half], order[half:]
        else:
            is_kept = torch.zeros(len(split), dtype=torch.bool)
            is_kept[kept] = True
            choosing, calibrating = order[~is_kept[order]], order[is_kept[order]]
        if min(len(choosing), len(calibrating)) < FEWEST:
            raise DataError(
                f"{dataset.source}: int8 is calibrated on training images, at least {2 * FEWEST}, and there are "
                f"{len(split)}."
            )
        choosing, calibrating = choosing[:CHOICE].sort().values, calibrating[:CALIBRATION].sort().values
        return cls(split.images[calibrating], split.images[choosing], split.labels[choosing])


def quantized(network: ModelProto, images: Images, preprocess: Preprocess) -> tuple[ModelProto, str]:
    """Convert a network to 8-bit integers by the calibration that is most accurate.

    Args:
        network: from `input`, float32 (N, C, height, width), to `logits`.
        images: to calibrate and to choose.
        preprocess: how images become input.

    Returns:
        The network, and a sentence on the calibration.

    Raises:
        ExportError: if ONNX Runtime can't convert it.
    """
    expected = _logits(network, images.choice, preprocess)
    found: dict[str, tuple[float, float, ModelProto]] = {}
    with tempfile.TemporaryDirectory(prefix="striate-") as folder, _quiet():
        given, prepared = str(Path(folder) / "given.onnx"), str(Path(folder) / "prepared.onnx")
        try:
            onnx.save(network, given)
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
            float_layers = _sensitive(onnx.load(prepared))
            for name, options in CALIBRATIONS.items():
                options = {**options, "nodes_to_exclude": float_layers}
                made = _quantized(prepared, Path(folder) / "int8.onnx", images.calibration, preprocess, options)
                logits = _logits(made, images.choice, preprocess)
                right = float((logits.argmax(1) == images.labels.numpy()).mean())
                found[name] = right, -float(((logits - expected) ** 2).mean()), made
        except Exception as error:  # its errors have no common class of their own
            raise ExportError(f"ONNX Runtime can't convert the network to int8: {error}") from error
    best = max(found, key=lambda name: found[name][:2])  # the most accurate, and of those the nearest to the network
    accuracies = ", ".join(f"{accuracy:.1%} by {name}" for name, (accuracy, _, _) in found.items())
    note = (
        f"int8 ranges from {len(images.calibration):,} training images: {best}, chosen on {len(images.choice):,} "
        f"others ({accuracies})."
    )
    return found[best][2], note


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives ONNX Runtime's calibration its inputs, a batch after the other."""

    def __init__(self, images: torch.Tensor, preprocess: Preprocess):
        self._inputs = [preprocess.normalize(part).numpy() for part in images.split(BATCH)]
        self._left: Iterator[np.ndarray] = iter(())

    def __len__(self) -> int:
        return len(self._inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give these batches next: the histograms of one at a time fit into memory."""
        self._left = iter(self._inputs[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Give the next batch, or `None`."""
        batch = next(self._left, None)
        return None if batch is None else {"input": batch}


def _quantized(
    prepared: str, path: Path, images: torch.Tensor, preprocess: Preprocess, options: dict[str, Any]
) -> ModelProto:
    extra = {"CalibStridedMinMax": 1, "WeightSymmetric": True, "ActivationSymmetric": False}
    if "percentile" in options:
        extra["CalibPercentile"] = options["percentile"]
    quantize_static(
        prepared,
        str(path),
        _Reader(images, preprocess),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        nodes_to_exclude=options["nodes_to_exclude"],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=options["calibrate_method"],
        extra_options=extra,
    )
    return onnx.load(str(path))


def _sensitive(network: ModelProto) -> list[str]:
    """The names of the first and the last layer with weights, where these are a small share of all."""
    sizes = {each.name: math.prod(each.dims) for each in network.graph.initializer}
    weights = {
        node.name: max(sizes.get(name, 0) for name in node.input)
        for node in network.graph.node if node.op_type in LAYERS
    }  # fmt: skip
    ends = {*list(weights)[:1], *list(weights)[-1:]}
    return sorted(name for name in ends if weights[name] <= SMALL * sum(weights.values()))


def _logits(network: ModelProto, images: torch.Tensor, preprocess: Preprocess) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(network.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    parts = [session.run(["logits"], {"input": preprocess.normalize(part).numpy()})[0] for part in images.split(BATCH)]
    return np.concatenate(parts)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ONNX Runtime prints and logs for its developers off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)
