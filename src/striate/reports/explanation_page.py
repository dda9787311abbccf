"""HTML page that explains the prediction for one image."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data import Dataset
from striate.data.images.prepare import prepare
from striate.errors import ArgumentError, DataError
from striate.evaluation import predict
from striate.files import write_atomic
from striate.hardware import pick
from striate.inspection import describe, evidence, receptive_fields
from striate.inspection.evidence import stages
from striate.inspection.examples import Examples
from striate.inspection.features import last_feature_maps
from striate.inspection.structure.inputs import like
from striate.reports import pictures
from striate.reports.pictures import first_filters, over
from striate.reports.rendering import file_to_write, render
from striate.runs import Run

NEAREST = 12  # training images that are shown
UNITS, EXCITING = 4, 6  # units of the explained layer, and training images for each
TRAINING_WORK = 10**12  # multiply-adds to spend on training images: some seconds to a minute on a CPU core
FIELD_WORK = 3 * 10**10  # and on the effective fields of one layer


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
    """Write a page about the prediction for one image: attributions, receptive fields, feature maps, similar images.

    Args:
        run: a run or its folder; of a run not finished, the newest checkpoint is used.
        image: an image file of any size.
        out: the file; explain-NAME.html in the run's folder if not given.
        layer: the layer of Grad-CAM and of the excited units; the last one with feature maps if not given.
        data: source of the training images; the run's own data if not given. Where that is gone the page says so.
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
    path = file_to_write(run.path / f"explain-{Path(image).stem}.html" if out is None else out, "explain.html")
    prediction = predict(run, image, device=device, model=model)[0]
    explained = _ExplainedImage(run, image, run.model(model, pick(device)))
    layer, reason = (layer, None) if layer else explained.last_layer()
    examples, missing = explained.examples(data, layer)
    page = {"run": run, "image": Path(image), "prediction": prediction, "similar": evidence.SIMILAR}
    page |= {"layer": layer, "no_cam": reason, "missing": missing}
    page |= explained.attributions(run.classes.index(prediction.label), layer)
    page |= explained.training(examples, layer) | explained.layers(examples)
    write_atomic(path, render("explain.html.j2", page))
    return path


class _ExplainedImage:
    """An image with the network that classifies it."""

    def __init__(self, run: Run, image: str | Path, model: nn.Module):
        self.run, self.model = run, model
        self.device = like(model).device
        self.pixels = prepare(image, run.preprocess)
        self.shape = (run.preprocess.channels, run.preprocess.height, run.preprocess.width)
        self.input = self._input(torch.from_numpy(self.pixels)[None])
        self.work = max(describe(model, self.shape).multiply_adds, 1)

    def last_layer(self) -> tuple[str | None, str | None]:
        """The last layer with feature maps, or the reason why there is none."""
        try:
            return last_feature_maps(self.model, self.shape), None
        except ArgumentError as error:
            return None, str(error)

    def attributions(self, target: int, layer: str | None) -> dict[str, Any]:
        """Grad-CAM and integrated gradients for the class `target`."""
        targets = torch.tensor([target])
        ways = {"cam": evidence.grad_cams(self.model, self.input, targets, layer)[0]} if layer else {}
        black = self._input(torch.zeros(1, *self.pixels.shape, dtype=torch.uint8))
        (ways["gradients"],) = evidence.pixel_attributions(self.model, self.input, targets, black)
        return {
            "seen": over(self.pixels, "the input of the network"),
            "ways": [{"name": name, **pictures.attribution(self.pixels, way)} for name, way in ways.items()],
            "added": float(ways["gradients"].values.sum()),
            "difference": evidence.logit_difference(self.model, self.input, target, black),
            "steps": evidence.STEPS,
        }

    def examples(self, data: Dataset | None, layer: str | None) -> tuple[Examples | None, str | None]:
        """The training images with their embeddings, or the reason why there are none."""
        try:
            dataset = data or self.run.data()
        except (DataError, ArgumentError) as error:
            return None, str(error)
        most = max(256, min(4000, TRAINING_WORK // self.work))
        units = self._strongest(layer) if layer else []
        return Examples(
            self.model, dataset.train, dataset.classes, self.run.preprocess, most, self.device, layer, units
        ), None

    def training(self, examples: Examples | None, layer: str | None) -> dict[str, Any]:
        """The most similar training images, and those that excite this image's strongest units most."""
        if examples is None:
            return {"examples": None, "nearest": [], "excited": []}
        field = receptive_fields(self.model, self.shape).get(layer or "")
        excited = [
            (unit, [pictures.framed(each, field) for each in examples.exciting(unit, EXCITING)])
            for unit in examples.units
        ]
        nearest = [pictures.example(each) for each in examples.nearest(self.input, NEAREST)]
        return {"examples": examples, "nearest": nearest, "excited": excited}

    def layers(self, examples: Examples | None) -> dict[str, Any]:
        """Feature maps of the layers, their receptive fields, and the first layer's filters."""
        images = self.input
        if examples is not None:
            count = max(4, min(32, FIELD_WORK // self.work))
            images = self._input(examples.images[:: -(-len(examples) // count)])
        shown = stages(self.model, self.shape)
        return {
            "feature_maps": pictures.feature_maps(self.model, self.input, shown),
            "fields": pictures.unit_fields(self.model, images, shown, self.pixels),
            "most_feature_maps": evidence.MOST_FEATURE_MAPS,
            "samples": len(images),
            "filters": first_filters(self.model, self.run.preprocess),
        }

    def _input(self, images: Tensor) -> Tensor:
        return self.run.preprocess.normalize(images.to(self.device))

    def _strongest(self, layer: str) -> list[int]:
        """The units of a layer that this image excites most."""
        return evidence.strongest_units(self.model, self.input, layer)[:UNITS]
