"""HTML page that explains the prediction for one image."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data import Dataset
from striate.data.images.any_image import AnyImage, each_image, prepare_any, stem_of
from striate.errors import ArgumentError, DataError
from striate.evaluation import predict
from striate.evaluation.samples import dataset_for, network_and_data
from striate.files import read_regular, sha256
from striate.hardware import pick
from striate.inspection import describe, evidence, receptive_fields
from striate.inspection.evidence import stages
from striate.inspection.examples import Examples
from striate.inspection.structure.inputs import like
from striate.preprocess import Preprocess
from striate.reports import pictures
from striate.reports.pictures import first_filters, over
from striate.reports.rendering import Page, file_to_write, write_page
from striate.runs import Run, Trained

NEAREST = 12  # training images that are shown
UNITS, EXCITING = 4, 6  # units of the explained layer, and training images for each
TRAINING_WORK = 10**12  # multiply-adds to spend on training images: some seconds to a minute on a CPU core
FIELD_WORK = 3 * 10**10  # and on the effective fields of one layer


def explain(
    run: Run | str | Path | nn.Module,
    image: AnyImage,
    *,
    out: str | Path | None = None,
    layer: str | None = None,
    data: Any = None,
    device: str = "auto",
    model: nn.Module | None = None,
    preprocess: Preprocess | None = None,
    classes: Sequence[str] | None = None,
) -> Page:
    """Write a page about the prediction for one image: attributions, receptive fields, feature maps, similar images.

    Args:
        run: a run or its folder, or a module from (N, C, H, W) to logits (N, classes); of a run not finished, the
            newest checkpoint is used.
        image: one image of any size: a path, the bytes of a file, a PIL image, an array or a tensor.
        out: the file; explain-NAME.html in the run's folder, or in the working directory, if not given.
        layer: the layer of Grad-CAM and of the excited units; the last one with feature maps if not given.
        data: source of the training images, see `evaluate`; the run's own data if not given. Where that is gone
            the page says so.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.
        preprocess, classes: for a module, how images become its input, and the names of its classes; modules from
            `Run.model` know both.

    Returns:
        The page: it shows itself in a notebook, and its `path` is the file's.

    Raises:
        ArgumentError: if `out` is a folder, or for a layer that does not exist, naming those there are.
        BadFilesError: if the image can't be decoded.
        CheckpointError: if the run has no usable weights.
        StorageError: if the file can't be written; what was there before stays.

    >>> page = striate.explain(run, data.test.images[0].numpy(), out="explained.html")
    >>> page.name, page.is_file()
    ('explained.html', True)
    """
    trained, data = network_and_data(run, data, module=model, preprocess=preprocess, classes=classes)
    (image,) = _one(each_image(image))
    folder = trained.run.path if trained.run else Path()
    if out is not None:
        file_to_write(out, "explain.html")  # a mistake here shows before anything is computed
    with trained.on(pick(device)):
        prediction = predict(trained, image, device=device)[0]
        explained = _ExplainedImage(trained, image)
        path = Path(out) if out is not None else _own_page(folder, stem_of(image), explained.digest)
        layer, reason = (layer, None) if layer else evidence.last_layer(trained.module, trained.input_shape)
        examples, missing = explained.examples(data, layer)
        page: dict[str, Any] = {
            "trained": trained,
            "run": trained.run,
            "preprocess": trained.preprocess,
            "similar": evidence.SIMILAR,
            "calibration": trained.calibration(),
            "uncalibrated": trained.uncalibrated(),
        }
        page |= {"image": os.path.basename(prediction.path), "digest": explained.digest, "prediction": prediction}
        page |= {"layer": layer, "no_cam": reason, "missing": missing}
        page |= explained.attributions(trained.classes.index(prediction.label), layer)
        page |= explained.training(examples, layer) | explained.layers(examples)
    return write_page(path, "explain.html.j2", page)


def _one(images: list[AnyImage]) -> list[AnyImage]:
    if len(images) != 1:
        raise ArgumentError(f"{len(images)} images: one is explained at a time.")
    return images


def _own_page(folder: Path, name: str, digest: str) -> Path:
    """The file of an image's page: that of another image of the same name stays."""
    path = folder / f"explain-{name}.html"
    try:
        taken = f'content="{digest}"'.encode() not in read_regular(path)
    except OSError:  # none there, or one that can't be read, and so hardly written
        taken = False
    return folder / f"explain-{name}-{digest[:8]}.html" if taken else path


class _ExplainedImage:
    """An image with the network that classifies it."""

    def __init__(self, trained: Trained, image: AnyImage):
        self.trained, self.model = trained, trained.module
        self.device = like(self.model).device
        self.pixels = prepare_any(image, trained.preprocess)
        self.digest = sha256(self.pixels.tobytes())
        self.shape = trained.input_shape
        self.input = self._input(torch.from_numpy(self.pixels)[None])
        self.work = max(describe(self.model, self.shape).work, 1)

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

    def examples(self, data: Any, layer: str | None) -> tuple[Examples | None, str | None]:
        """The training images with their embeddings, or the reason why there are none."""
        try:
            dataset = self._dataset(data)
        except (DataError, ArgumentError) as error:
            return None, str(error)
        most = max(64, min(4000, TRAINING_WORK // self.work))
        units = self._strongest(layer) if layer else []
        return Examples(
            self.model, dataset.train, dataset.classes, self.trained.preprocess, most, self.device, layer, units
        ), None

    def _dataset(self, data: Any) -> Dataset:
        if data is None and self.trained.run is None:
            raise ArgumentError("pass data= to see the most similar training images.")
        return dataset_for(self.trained, data)[0]

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
            "filters": first_filters(self.model, self.trained.preprocess),
        }

    def _input(self, images: Tensor) -> Tensor:
        return self.trained.preprocess.normalize(images.to(self.device))

    def _strongest(self, layer: str) -> list[int]:
        """The units of a layer that this image excites most."""
        return evidence.strongest_units(self.model, self.input, layer)[:UNITS]
