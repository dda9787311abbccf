"""Which images a run is measured on, with labels that mean what the run's outputs mean."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from striate import seeding
from striate.data import Dataset, Split, load
from striate.data.dataset import conformed_images
from striate.data.lazy import joined
from striate.data.loading import lasting
from striate.errors import BadFilesError, DataError
from striate.runs import Run, fingerprint


@dataclass(frozen=True)
class Samples:
    """Images of the run's input size, with labels that are positions in the run's classes.

    Args:
        source: where they are from.
        name: which split they are: "test", "val", "train", or "all" for the splits together.
        split: the images.
        notes: what the reader of a result on them should know, in sentences.
    """

    source: str
    name: str
    split: Split
    notes: tuple[str, ...] = ()

    def drawn(self, most: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """So many of the images, uint8 (N, H, W, C), or all if there are no more, in their order; and their labels."""
        index = torch.randperm(len(self.split), generator=seeding.generator(seed, "images"))[:most].sort().values
        return self.split.images[index], self.split.labels[index]


def samples_of(run: Run, data: Dataset | str | Path | None = None) -> Samples:
    """The images to measure a run on.

    Of the data that the run was trained on, what it held out. Of other data the test split, or else val; where there is
    neither, because Striate itself would split it or it has nothing but train, all of its images.

    Args:
        run: the run.
        data: a data set, or a source, which is loaded with the run's preprocessing; `None` for the run's own data.

    Raises:
        DataError: if the run's own data holds nothing out, or if classes are unknown to the run or missing in the data.
    """
    dataset, same_place = _loaded(run, data)
    changed = fingerprint(dataset) != run.fingerprint
    labels = _positions(run, dataset)
    if same_place or not changed:
        name, split = _held_out(dataset)
    elif dataset.divided and not isinstance(data, Dataset):
        name, split = "all", _everything(dataset)
    else:
        name, split = dataset.held_out or ("train", dataset.train)
    notes = []
    if same_place and changed:
        notes.append(f"{run.source} has changed since the run was trained: it may have seen some of these images.")
    if name == "train":
        notes.append(f"{dataset.source} has no test or val split: these are its {len(split)} training images.")
    images = conformed_images(split.images, run.preprocess)
    return Samples(dataset.source, name, Split(images, labels[split.labels], split.files), tuple(notes))


def _loaded(run: Run, data: Dataset | str | Path | None) -> tuple[Dataset, bool]:
    """The data, and whether it came from where the run's own did."""
    if isinstance(data, Dataset):
        return data, False
    if data is None or Path(lasting(str(data))).resolve() == Path(run.source).resolve():
        return run.data(), True
    size = (run.preprocess.height, run.preprocess.width)
    try:
        return load(data, image_size=size, channels=run.preprocess.channels, fit=run.preprocess.fit), False
    except BadFilesError as error:
        raise BadFilesError(error.problems, skippable=False) from None


def _held_out(dataset: Dataset) -> tuple[str, Split]:
    if dataset.held_out is None:
        raise DataError(
            f"{dataset.source} holds no images out, neither in a test nor in a val split: "
            "measure the run on images it was not trained on, with --data."
        )
    return dataset.held_out


def _everything(dataset: Dataset) -> Split:
    splits = [split for _, split in dataset.splits()]
    return Split(
        joined([split.images for split in splits]),
        torch.cat([split.labels for split in splits]),
        tuple(file for split in splits for file in split.files),
    )


def _positions(run: Run, dataset: Dataset) -> torch.Tensor:
    """For each of the data's classes its position among the run's, matched by name: int64 (classes,)."""
    unknown = [name for name in dataset.classes if name not in run.classes]
    missing = [name for name in run.classes if name not in dataset.classes]
    problems = []
    if unknown:
        problems.append(f"unknown to the run: {', '.join(unknown)}")
    if missing:
        problems.append(f"missing in the data: {', '.join(missing)}")
    if problems:
        raise DataError(f"the classes of {dataset.source} are not those of {run.path}; {'; '.join(problems)}.")
    return torch.tensor([run.classes.index(name) for name in dataset.classes])
