"""Page of a network: one HTML file, in which it runs without a network connection."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor

from striate import seeding
from striate.data.lazy import Images
from striate.errors import ArgumentError, DataError
from striate.evaluation.samples import samples_of
from striate.exporting.web.network import Shown, gradient_graph, shown_layers, watched_graph
from striate.inference.exported_file import Card, ExportedFile
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.trace import trace
from striate.runs import Trained
from striate.units import percent

LARGEST_CANVAS = 64  # pixels of a side up to which grey pictures are drawn, and not chosen
EXAMPLES = 10  # of the data that the page offers
MEASURED = 2000  # pictures of the data that show how drawings are to be prepared
SCRIPTS = (
    *("colours", "bars", "strokes", "turning", "pad", "photo", "maps", "unit", "evidence", "stays", "network"),
    "main",
)
RUNTIME = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_FILES = resources.files("striate.exporting.web")


@dataclass(frozen=True)
class WebPage:
    """A page with a network in it.

    Args:
        content: the HTML in UTF-8.
        policy: its Content-Security-Policy, for the header of a server: the page says it in a meta element, too.
        file: the network as the page has it, to be verified.
    """

    content: bytes
    policy: str
    file: ExportedFile


def examples_of(trained: Trained, data: Any = None) -> tuple[Images, Tensor] | None:
    """Pictures of a run's data, uint8 (N, h, w, c), and their classes, int64 (N,); `None` if they are not at hand."""
    if trained.run is None and data is None:
        return None
    try:
        split = samples_of(trained, data).split
    except DataError:
        return None
    return split.images, split.labels


def page(trained: Trained, card: Card, examples: tuple[Images, Tensor] | None = None) -> WebPage:
    """Make the page of a network; equal arguments make equal bytes.

    Grey pictures of at most `LARGEST_CANVAS` pixels a side are drawn on it, others chosen, dropped, pasted or taken by
    a camera. The page shows the probabilities, the outputs of all layers, their receptive fields and filters, Grad-CAM
    and the effect of shifts and turns.

    Args:
        trained: the network.
        card: what the ONNX file inside says about itself, with input "image".
        examples: pictures of the data at the network's size, see `examples_of`: of those that are drawn, they show how
            drawings are to be prepared, and the first of each class can be chosen on the page. Photographs, which may
            be private, are never put into it.

    Raises:
        ArgumentError: for an exported file, whose layers can't be looked into.
        ExportError: if PyTorch can't export the network.
    """
    if trained.file is not None:
        raise ArgumentError(f"{trained.file.name} is an exported file, whose layers can't be shown: name the run.")
    layers = shown_layers(trained.module, trained.input_shape)
    content = watched_graph(trained.module, card, [each.call.name for each in layers])
    facts = {**_facts(trained, examples), "layers": [each.outline() for each in layers], "evidence": None}
    gradient = None
    if (looked_at := _last_maps(layers)) is not None:
        random = torch.rand((1, *trained.input_shape), generator=seeding.generator(0, "picture"))
        gradient = gradient_graph(trained.module, layers[looked_at].call.name, random)
        if gradient is not None:
            facts["evidence"] = {"layer": looked_at, **_evidence(trained, layers[looked_at])}
    return _assembled(trained, card, facts, content, gradient)


def _last_maps(layers: Sequence[Shown]) -> int | None:
    """The position of the last layer with feature maps of more than one pixel."""
    grids = [number for number, each in enumerate(layers) if torch.Size(each.call.output_shape[2:]).numel() > 1]
    return grids[-1] if grids else None


def _facts(trained: Trained, examples: tuple[Images, Tensor] | None) -> dict[str, Any]:
    preprocess = trained.preprocess
    height, width, channels = preprocess.height, preprocess.width, preprocess.channels
    drawn = channels == 1 and max(height, width) <= LARGEST_CANVAS
    pictures = examples[0][:MEASURED] if examples and drawn else None
    return {
        "model": trained.name,
        "classes": trained.classes,
        "height": height,
        "width": width,
        "channels": channels,
        "drawn": drawn,
        "mean": [round(255 * each) for each in preprocess.mean],
        "preparation": preparation(height, width, None if pictures is None else pictures.numpy()[..., 0]).to_dict(),
        "examples": _first_of_each(*examples) if examples and drawn else [],
    }


def _first_of_each(pictures: Images, labels: Tensor) -> list[dict[str, Any]]:
    """The first picture of each class, of the first classes."""
    found = []
    for label in labels.unique().tolist()[:EXAMPLES]:
        number = int((labels == label).nonzero()[0])
        pixels = pictures[number : number + 1].numpy()
        found.append({"label": label, "pixels": base64.b64encode(pixels.tobytes()).decode()})
    return found


def _evidence(trained: Trained, shown: Shown) -> dict[str, Any]:
    """Places of the units of the layer that Grad-CAM looks at, and whether it is a class activation map exactly."""
    field = shown.call.field
    placed = field is not None and all(field.stride)
    return {
        "centre": field.centre if field is not None and placed else None,
        "stride": field.stride if field is not None and placed else None,
        "exact": _ends_in_average(trained),
    }


def _ends_in_average(trained: Trained) -> bool:
    """Tell whether the network ends in a global average pooling and one dense layer."""
    kinds = [
        layer_kinds.kind(call.module)
        for call in trace(trained.module, trained.input_shape)
        if not call.unchanged and layer_kinds.kind(call.module) != "flatten"
    ]
    return kinds[-2:] == ["global avg pool", "dense"]


def _assembled(trained: Trained, card: Card, facts: dict[str, Any], content: bytes, gradient: bytes | None) -> WebPage:
    scripts = {
        "runtime": gzip.decompress(_read("runtime/ort.wasm.min.js.gz")).decode(),
        "script": "\n".join(_read(f"files/{name}.js").decode() for name in SCRIPTS),
    }
    style = _read("files/page.css").decode()
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts.values()))} blob: 'wasm-unsafe-eval'; "
        f"style-src {_hash(style)}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    blobs = {name: base64.b64encode(_read(f"runtime/{name}.gz")).decode() for name in RUNTIME}
    blobs["network.onnx"] = _packed(content)
    if gradient is not None:
        blobs["gradient.onnx"] = _packed(gradient)
    environment = Environment(
        loader=PackageLoader("striate.exporting.web", "files"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    text = environment.get_template("page.html.j2").render(
        {name: Markup(each) for name, each in {**scripts, "style": style}.items()},
        policy=policy,
        facts=Markup(_json(facts)),
        blobs=blobs,
        drawn=facts["drawn"],
        examples=bool(facts["examples"]),
        trained=trained,
        source=trained.run.source if trained.run else "",
        measured=card.measured,
        accuracy=percent(card.measured.accuracy, 1) if card.measured else "",
        calibrated=card.calibration is not None,
        licence=_read("runtime/LICENSE").decode(),
    )
    return WebPage(
        text.encode("utf-8", "replace"), policy, ExportedFile.of(content, f"the network in {trained.name}'s page")
    )


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _json(facts: dict[str, Any]) -> str:
    """Plain values as JSON that may stand in a script element, whatever the names of the classes."""
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> bytes:
    return _FILES.joinpath(name).read_bytes()


SAME = 0.9  # share of pictures of one size, from which on drawings get it, too
STEADY = 0.06  # of the side: the deviation of a centre up to which drawings are moved there
INKED = 32 / 255  # from here on a pixel belongs to what is drawn
PEN = 0.085  # of the side: the width of MNIST's strokes
_MOST = 2000  # pictures that are measured


@dataclass(frozen=True)
class Preparation:
    """Preparation of a drawing: the place, size and colours that the data's own pictures have, measured on them.

    MNIST's digits were scaled to 20 of 28 pixels and moved so that their centre of mass lies in the middle; the clothes
    of Fashion-MNIST fill 28 pixels, the digits of scikit-learn all 8. Who draws elsewhere on the canvas, or smaller,
    would ask the network about pictures that it was never shown.

    Args:
        paper: the value of the background, 0 or 255; what is drawn is the other.
        size: pixels of the drawing's longer side, or `None` if the data's differ.
        centre: "mass" or "box", whichever lies at one place in the data, or `None`.
        at: that place, (row, column) in pixels; the middle of the first pixel is 0.
        pen: the width of strokes in pixels, to begin with.
    """

    paper: int
    size: int | None
    centre: str | None
    at: tuple[float, float]
    pen: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"paper": self.paper, "size": self.size, "centre": self.centre, "at": self.at, "pen": self.pen}


def preparation(height: int, width: int, pictures: np.ndarray | None) -> Preparation:
    """Measure how drawings are to be prepared.

    Args:
        height, width: of the network's input, in pixels.
        pictures: of the data, uint8 (N, height, width); without any, drawings stay as they are, white on black.
    """
    middle = ((height - 1) / 2, (width - 1) / 2)
    pen = round(max(1.2, PEN * max(height, width)), 1)
    if pictures is None or not len(pictures):
        return Preparation(0, None, None, middle, pen)
    values: np.ndarray = pictures[:_MOST] / 255
    edges = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    paper = 255 if float(np.median(edges)) > 0.5 else 0
    ink = np.abs(values - paper / 255)
    ink = ink[(ink > INKED).any((1, 2))]
    if not len(ink):
        return Preparation(paper, None, None, middle, pen)
    inked: np.ndarray = ink > INKED
    down, right = _interval(inked.max(2)), _interval(inked.max(1))
    longer = np.maximum(down[1] - down[0], right[1] - right[0])
    size = int(np.median(longer))
    boxes = np.stack([(down[0] + down[1] - 1) / 2, (right[0] + right[1] - 1) / 2], axis=1)
    masses = np.stack([_mean_place(ink.sum(2)), _mean_place(ink.sum(1))], axis=1)
    deviation, centre, at = min(
        (float(np.sqrt(places.var(0).sum())), name, places.mean(0))
        for name, places in (("box", boxes), ("mass", masses))
    )
    steady = deviation <= STEADY * max(height, width)
    return Preparation(
        paper=paper,
        size=size if float((np.abs(longer - size) <= 1).mean()) >= SAME else None,
        centre=centre if steady else None,
        at=(round(float(at[0]), 2), round(float(at[1]), 2)) if steady else middle,
        pen=pen,
    )


def _interval(inked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first inked position of each row, and the first after the last: bool (N, side) to two int64 (N,)."""
    return inked.argmax(1), inked.shape[1] - inked[:, ::-1].argmax(1)


def _mean_place(weights: np.ndarray) -> np.ndarray:
    """The mean position along the side, (N, side) to (N,)."""
    return weights @ np.arange(weights.shape[1]) / weights.sum(1)
