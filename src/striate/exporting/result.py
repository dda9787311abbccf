"""Result of an export: the files, and what they answer and cost beside the network."""

import html
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from striate.units import aligned, percent, readable

TITLES = {"onnx": "ONNX", "openvino": "OpenVINO", "web": "a page with an ONNX graph", "hf": "for the Hugging Face hub"}


@dataclass(frozen=True)
class Export:
    """An exported file, what it answers beside the network, and what it costs.

    Args:
        path: the file, or the folder for the Hugging Face hub.
        format: "onnx", "openvino", "web" or "hf".
        precision: "float32" or "int8".
        bytes: the size, with that of the weights beside it.
        opset: the version of ONNX's operators; `None` where there are none.
        agreement: the share of images to which file and network give the same class, in [0, 1].
        max_difference: the largest difference between two logits of both.
        largest_logit: the largest absolute logit, to compare it with.
        n: of how many images.
        split: which split of the data these are; empty if they were made up.
        accuracy, interval: the file's, in [0, 1], with its 95 % interval; `None` if there are no labels.
        accuracy_run: the network's own.
        latency_ms, latency_ms_run: milliseconds for one image, by the file and by the network.
        throughput, throughput_run: images a second of a batch of 64. Those of a folder are `None`: it holds weights,
            and whoever computes with them decides how fast.
        notes: what to know about it, a sentence each.

    >>> made = striate.export(run, "onnx", out="digits.onnx")
    >>> made.format, made.precision, made.agreement, made.n
    ('onnx', 'float32', 1.0, 359)
    """

    path: Path
    format: str
    precision: str
    bytes: int
    opset: int | None
    agreement: float
    max_difference: float
    largest_logit: float
    n: int
    split: str
    accuracy: float | None
    interval: tuple[float, float] | None
    accuracy_run: float | None
    latency_ms: float | None
    latency_ms_run: float | None
    throughput: float | None
    throughput_run: float | None
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
        if self.latency_ms is not None:
            rows += [
                ("one image", f"{self.latency_ms:.2f} ms", f"{self.latency_ms_run:.2f} ms"),
                ("batches of 64", f"{self.throughput:,.0f} images/s", f"{self.throughput_run:,.0f} images/s"),
            ]
        rows.append(("size", readable(self.bytes), ""))
        share = (
            f"Same class for {percent(self.agreement)} of {self.n:,} {self.split or 'made-up'} images; logits differ "
            f"by at most {self.max_difference:.2g}, the largest being {self.largest_logit:.3g}."
        )
        opset = "" if self.opset is None else f", opset {self.opset}"
        title = f"{self.path}: {TITLES[self.format]}, {self.precision}{opset}"
        return "\n".join([title, aligned(rows, "<>>"), share])

    def _repr_html_(self) -> str:
        """The text, for notebooks."""
        return f"<pre>{html.escape(self.text())}</pre>"
