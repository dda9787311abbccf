"""One HTML file about one image: what a run takes it for, and what that rests on."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data import Dataset
from striate.data.decode import decode
from striate.drawing import data_uri, render
from striate.errors import ArgumentError, DataError
from striate.evaluation import predict
from striate.evaluation.pictures import first_filters
from striate.explanation import evidence
from striate.explanation.examples import Example, Examples
from striate.explanation.pictures import heat, map_pictures, over
from striate.explanation.stages import stages
from striate.files import write_atomic
from striate.inspection import Field, describe, features, receptive_fields
from striate.inspection.features import last_maps
from striate.inspection.subject import like
from striate.runs import Run
from striate.training import pick

NEAREST = 12  # training images that are shown
UNITS, EXCITING = 4, 6  # units of the explained layer, and training images for each
TRAINING_WORK = 10**12  # multiply-adds to spend on training images: some seconds to a minute on a CPU core
FIELD_WORK = 3 * 10**10  # and on the effective fields of one layer
ALIKE = 0.7  # a correlation above which an attribution hardly depends on what was learned


def explain(
    run: Run | str | Path,
    image: str | Path,
    *,
    out: str | Path | None = None,
    layer: str | None = None,
    data: Dataset | None = None,
    device: str = "auto",
    model: nn.Module | None = None,
) -> Path:
    """Write a page about what a run makes of an image: what it takes it for, where it looks, what its layers see and
    make of it, and the training images that are nearest.

    Args:
        run: a run or its folder; of a run not finished, the newest checkpoint is used.
        image: an image file of any size.
        out: the file; explain-NAME.html in the run's folder if not given.
        layer: where Grad-CAM and the exciting images are taken from; the last one with maps if not given.
        data: whose training images to look among; the run's own data if not given. Where that is gone the page says so.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.

    Returns:
        The file's path.

    Raises:
        ArgumentError: if `out` is a folder, or for a layer that does not exist, naming those there are.
        BadFilesError: if the image can't be decoded.
        CheckpointError: if the run has no usable weights.
        StorageError: if the file can't be written; what was there before stays.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    path = run.path / f"explain-{Path(image).stem}.html" if out is None else Path(out)
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder: name the file to write, for example --out {path / 'explain.html'}.")
    prediction = predict(run, image, device=device, model=model)[0]
    subject = _Subject(run, image, run.model(model, pick(device)))
    layer, why = (layer, None) if layer else subject.last_layer()
    examples, missing = subject.examples(data, layer)
    page = {"run": run, "image": Path(image), "prediction": prediction, "alike": ALIKE}
    page |= {"layer": layer, "no_cam": why, "missing": missing}
    page |= subject.attributions(run.classes.index(prediction.label), layer)
    page |= subject.training(examples, layer) | subject.layers(examples)
    write_atomic(path, render("striate.explanation", "explain.html.j2", page))
    return path


class _Subject:
    """An image and the network that looks at it."""

    def __init__(self, run: Run, image: str | Path, model: nn.Module):
        self.run, self.model = run, model
        self.device = like(model).device
        self.pixels = run.preprocess.conform(decode(image))
        self.shape = (run.preprocess.channels, run.preprocess.height, run.preprocess.width)
        self.input = self._input(torch.from_numpy(self.pixels.copy())[None])
        self.work = max(describe(model, self.shape).multiply_adds, 1)

    def last_layer(self) -> tuple[str | None, str | None]:
        """The last layer with maps, or why there is none."""
        try:
            return last_maps(self.model, self.shape), None
        except ArgumentError as error:
            return None, str(error)

    def attributions(self, target: int, layer: str | None) -> dict[str, Any]:
        """Where the network looks for the class `target`."""
        ways = {"cam": evidence.cam(self.model, self.input, target, layer)} if layer else {}
        black = self._input(torch.zeros(1, *self.pixels.shape, dtype=torch.uint8))
        ways["gradients"], added, difference = evidence.pixels_for(self.model, self.input, target, black)
        return {
            "seen": over(self.pixels, "the image as the network sees it"),
            "ways": [{"name": name, **self._way(way)} for name, way in ways.items()],
            "added": added,
            "difference": difference,
            "steps": evidence.STEPS,
        }

    def examples(self, data: Dataset | None, layer: str | None) -> tuple[Examples | None, str | None]:
        """The training images and what the network makes of them, or why there are none."""
        try:
            dataset = data or self.run.data()
        except (DataError, ArgumentError) as error:
            return None, str(error)
        most = max(256, min(4000, TRAINING_WORK // self.work))
        units = self._strongest(layer) if layer else []
        return Examples(self.model, dataset, self.run.preprocess, most, self.device, layer, units), None

    def training(self, examples: Examples | None, layer: str | None) -> dict[str, Any]:
        """The training images nearest to this one, and those that excite the units that it excites most."""
        if examples is None:
            return {"examples": None, "nearest": [], "excited": []}
        field = receptive_fields(self.model, self.shape).get(layer or "")
        excited = [
            (unit, [_framed(each, field) for each in examples.exciting(unit, EXCITING)]) for unit in examples.units
        ]
        nearest = [_shown(each) for each in examples.nearest(self.input, NEAREST)]
        return {"examples": examples, "nearest": nearest, "excited": excited}

    def layers(self, examples: Examples | None) -> dict[str, Any]:
        """What the layers make of the image, what they see of it, and the first filters."""
        images = self.input
        if examples is not None:
            count = max(4, min(32, FIELD_WORK // self.work))
            images = self._input(examples.images[:: -(-len(examples) // count)])
        shown = stages(self.model, self.shape)
        return {
            "maps": [
                {"maps": each, "pictures": map_pictures(each.strongest)}
                for each in evidence.maps(self.model, self.input, shown)
            ],
            "sights": [
                {"layer": name, "sight": sight, "picture": self._sight(sight)}
                for name, sight in evidence.sights(self.model, images, shown)
            ],
            "most_maps": evidence.MOST_MAPS,
            "samples": len(images),
            "filters": first_filters(self.model, self.run.preprocess),
        }

    def _input(self, images: Tensor) -> Tensor:
        return self.run.preprocess.normalize(images.to(self.device))

    def _strongest(self, layer: str) -> list[int]:
        """The units of a layer that this image excites most."""
        made = features(self.model, self.input, layer)[0]
        excited = made.flatten(1).amax(1) if made.dim() == 3 else made
        return excited.sort(descending=True, stable=True).indices[:UNITS].tolist()

    def _way(self, way: evidence.Attribution) -> dict[str, Any]:
        return {
            "learned": over(self.pixels, "the trained network", heat(way.values)),
            "untrained": over(self.pixels, "random weights", heat(way.untrained)),
            "correlation": way.correlation,
            "empty": not bool(way.values.any()),
        }

    def _sight(self, sight: evidence.Sight) -> str:
        """The image with the frame of what a layer's middle units can see and the heat of what they listen to."""
        height, width = self.pixels.shape[:2]
        top, left, bottom, right = sight.frame
        room = (_room(-top, bottom - height, height), _room(-left, right - width, width))
        label = f"field of {sight.effective.layer}"
        return over(self.pixels, label, heat(sight.effective.influence), sight.frame, room)


def _room(before: int, after: int, side: int) -> int:
    """Pixels to leave free around a side for a frame that goes beyond it, up to a quarter of the side."""
    return min(max(before, after, 0), side // 4)


def _framed(example: Example, field: Field | None) -> dict[str, Any]:
    """A training image with a frame around what the excited unit sees of it."""
    frame = field.of(*example.place) if field and example.place and all(field.stride) else None
    return {**_shown(example), "picture": over(example.pixels, f"an image of class {example.label}", frame=frame)}


def _shown(example: Example) -> dict[str, Any]:
    return {
        "picture": data_uri(example.pixels),
        "label": example.label,
        "file": example.file,
        "value": example.value,
    }
