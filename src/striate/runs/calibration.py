"""Calibration of a run: which images it is fitted to, and the file that keeps it.

calibration.json holds a `Calibration` for each test-time augmentation that the run was calibrated with: its own, and
"none". result.json has the file's SHA-256. Runs without it, those of before among them, are not calibrated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.data import Dataset, Split
from striate.errors import CheckpointError
from striate.files import read_regular, sha256, write_json
from striate.inference import Calibration, logits_of
from striate.preprocess import Preprocess
from striate.runs import records
from striate.runs.held_out import FEWEST

FILE = "calibration.json"  # in a run's folder
FORMAT = 1
KEY = "calibration_sha256"  # in result.json


def fitted(
    model: nn.Module,
    data: Dataset,
    held_out: Split | None,
    head: Calibration | None,
    preprocess: Preprocess,
    tta: str,
    device: torch.device,
) -> dict[str, Calibration]:
    """Calibrate a run's network on images that it was not trained on, where there are any.

    These are the training images that were held out, or else a val split beside the test split. A last layer that was
    fitted to all training images is calibrated by what layers that were fitted without an image said of it, where there
    is no such split or one with too few images.

    Args:
        model: with its final weights, on `device`.
        data: what the run was trained on.
        held_out: the training images that it was not trained on, if any.
        head: what cross-validation says of its last layer, if that was fitted to all training images.
        preprocess: how images become input.
        tta: the run's test-time augmentation.

    Returns:
        By test-time augmentation: the run's own, and "none".
    """
    if held_out is not None:
        split, source = held_out, "training images that were held out"
    elif data.spare_val is not None and (head is None or len(data.spare_val) >= FEWEST):
        split, source = data.spare_val, "images of val"
    else:
        return {"none": head} if head else {}
    if len(split) < FEWEST:
        return {}
    found = {}
    for views in dict.fromkeys(("none", tta)):
        logits = logits_of(model, split.images, preprocess, device, tta=views)
        found[views] = Calibration.fit(logits, split.labels, source)
    return {views: each for views, each in found.items() if each.images}


def write(folder: Path, calibrations: Mapping[str, Calibration]) -> str | None:
    """Write calibration.json into a run's folder, if there is something to keep, and return its SHA-256."""
    path = folder / FILE
    if not calibrations:
        path.unlink(missing_ok=True)
        return None
    write_json(path, {"format": FORMAT, "views": {views: each.to_dict() for views, each in calibrations.items()}})
    return sha256(read_regular(path))


def read(folder: Path, result: Mapping[str, Any] | None) -> dict[str, Calibration]:
    """The calibrations of a run, by test-time augmentation; none for a run that has none or is not finished.

    Args:
        folder: the run's.
        result: the content of its result.json.

    Raises:
        CheckpointError: if calibration.json is missing or is not the file that result.json tells of.
    """
    expected = (result or {}).get(KEY)
    if expected is None:
        return {}
    path = folder / FILE
    again = f"restore it from the last checkpoint with: striate train --resume {folder}"
    try:
        values = json.loads(records.verified(path, expected))
        if values["format"] == FORMAT:
            return {views: Calibration.from_dict(each) for views, each in values["views"].items()}
    except CheckpointError as error:
        raise CheckpointError(f"{str(error).rstrip('.')}; {again}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not what a run writes; {again}") from error
    raise CheckpointError(f"{path} is of format {values['format']}; this Striate reads {FORMAT}.")
