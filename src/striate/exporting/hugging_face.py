"""Folders for the Hugging Face hub: weights as safetensors, config.json as timm writes it, and a model card."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from striate.errors import StorageError
from striate.exporting.timm_names import TimmModel, for_timm, from_timm, timm_model
from striate.files import json_bytes, write_atomic
from striate.inference.exported_file import Card
from striate.models import PRETRAINED, Architecture, facts, head
from striate.models.weights import pretrained
from striate.preprocess import Preprocess
from striate.runs import Trained
from striate.units import percent

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
CROP_MODES = {"crop": "center", "letterbox": "border", "stretch": "squash"}  # timm's words for what fits an image


def folder_files(trained: Trained, card: Card) -> dict[str, bytes]:
    """Make the files of a folder that timm and the Hugging Face hub understand, by name.

    timm creates the network from it (`timm.create_model("hf-hub:OWNER/NAME")`, or "local-dir:FOLDER") where it has the
    architecture; otherwise config.json says how Striate makes it.
    """
    architecture = _architecture(trained)
    known = timm_model(architecture) if architecture else None
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in trained.module.state_dict().items()}
    tensors = for_timm(known, weights) if known else weights
    config = _timm_config(known, trained, card) if known else {}
    config |= {"num_classes": len(card.classes), "label_names": list(card.classes)}
    config["striate"] = json.loads(card.model_dump_json(exclude={"checksum", "weights"}))
    return {
        WEIGHTS: safetensors.torch.save({name: each.contiguous() for name, each in tensors.items()}, {"format": "pt"}),
        CONFIG: json_bytes(config),
        CARD: _model_card(trained, card, known).encode(),
    }


def reopened(trained: Trained, content: bytes) -> dict[str, Tensor]:
    """The weights in such a file, by the network's own names and in its shapes."""
    architecture = _architecture(trained)
    known = timm_model(architecture) if architecture else None
    tensors = safetensors.torch.load(content)
    return from_timm(known, tensors, trained.module.state_dict()) if known else tensors


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a folder, which is made if it is not there.

    Raises:
        StorageError: if that can't be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't write {folder}: {error.strerror}; name another folder with --out.") from error
    for name, content in files.items():
        write_atomic(folder / name, content)


def _architecture(trained: Trained) -> Architecture | None:
    found = getattr(trained.module, "architecture", None)
    return found if isinstance(found, Architecture) else None


def _timm_config(model: TimmModel, trained: Trained, card: Card) -> dict[str, Any]:
    """The content of config.json as timm writes it; see timm/models/_hub.py."""
    preprocess = card.preprocess
    size = [preprocess.channels, preprocess.height, preprocess.width]
    arguments = {**model.arguments, **({"in_chans": 1} if preprocess.channels == 1 else {})}
    return {
        "architecture": model.name,
        "num_features": head(trained.module).get_parameter("weight").shape[1],
        **({"model_args": arguments} if arguments else {}),
        "pretrained_cfg": {
            "tag": "striate",
            "custom_load": False,
            "input_size": size,
            "fixed_input_size": False,
            "interpolation": preprocess.interpolation,
            "crop_pct": preprocess.crop,
            "crop_mode": CROP_MODES[preprocess.fit],
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "num_classes": len(card.classes),
            "first_conv": model.first_conv,
            "classifier": model.classifier,
        },
    }


def _model_card(trained: Trained, card: Card, known: TimmModel | None) -> str:
    """The card that the hub shows: front matter in YAML, then what the network is, how good, and how to use it."""
    licence, origin = _licence(trained)
    front = ["tags:", "- image-classification", f"library_name: {'timm' if known else 'striate'}"]
    front += [f"license: {licence}"] if licence else []
    architecture = _architecture(trained)
    made = facts(architecture.name) if architecture else None
    about = f"{made.title} ({made.source})" if made else trained.name
    lines = ["---", *front, "---", "", f"# {trained.name}: {_few(card.classes)}", "", f"{about}.", ""]
    if origin:
        lines += [f"It was trained from published weights: {origin}.", ""]
    lines += [*_measured(trained, card), "", "## Classes", "", ", ".join(card.classes) + ".", ""]
    lines += ["## Images", "", _preparation(card.preprocess), "", "## Use", ""]
    if known:
        lines += [
            "```python", "import timm", "", 'model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()',
            "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))", "```", "",
            "config.json names the classes under `label_names`, in the order of the logits.",
        ]  # fmt: skip
    else:
        lines += ["```python", "import striate", "", f"model = striate.create({trained.name!r}, "
                  f"{len(card.classes)}, {card.preprocess.channels}, {card.preprocess.height}, "
                  'weights="model.safetensors")', "```"]  # fmt: skip
    if not licence:
        lines += ["", "No licence was chosen for these weights: whoever publishes them names one."]
    return "\n".join([*lines, "", f"Made by Striate {card.striate}.", ""])


def _licence(trained: Trained) -> tuple[str, str]:
    """Licence and origin of the published weights that a network is or began from; empty if there are none."""
    run = trained.run
    architecture = _architecture(trained)
    began = run.weights == PRETRAINED if run is not None else getattr(trained.module, "normalization", None) is not None
    published = pretrained.rows(architecture.name) if began and architecture else []
    return (published[0].licence.lower(), published[0].source) if published else ("", "")


def _measured(trained: Trained, card: Card) -> list[str]:
    if card.measured is None:
        return ["Its accuracy was not measured."]
    found, (low, high) = card.measured, card.measured.interval
    lines = [
        "## Accuracy", "",
        f"{percent(found.accuracy)} of {found.n:,} {found.split} images (95 % interval {percent(low)} to "
        f"{percent(high)}), without test-time augmentation.",
    ]  # fmt: skip
    if trained.run is not None:
        name = Path(trained.run.source).name  # not where it lies
        lines += ["", f"Trained on {name}, recipe {trained.run.recipe.name}, seed {trained.run.recipe.seed}."]
    if card.calibration:
        lines += ["", f"Divide logits by {card.temperature:.4g} before softmax: then probabilities are calibrated."]
    return lines


def _preparation(preprocess: Preprocess) -> str:
    fit = {
        "crop": f"The shorter side is resized so that the middle, {percent(preprocess.crop, 1)} of it, has this size",
        "letterbox": "The whole image is resized to fit, and padded with black",
        "stretch": "The whole image is resized to it, whatever its proportions",
    }[preprocess.fit]
    colours = "grey" if preprocess.channels == 1 else "red, green, blue"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (preprocess.mean, preprocess.std))
    return (
        f"{preprocess.height}×{preprocess.width} pixels, {colours}. {fit} ({preprocess.interpolation}). Values in "
        f"0 … 1, minus {mean}, divided by {std}."
    )


def _few(classes: tuple[str, ...]) -> str:
    return ", ".join(classes) if len(classes) <= 5 else f"{len(classes):,} classes"
