"""Data sets: splits of images and labels, with the names of the classes."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.data.arrays import Layout, label_batch, pixel_batch, plain_labels, torch_samples
from striate.data.lazy import Images, applied, is_large
from striate.data.splits import hold_out
from striate.data.statistics import ImageStatistics, fingerprint_of, metadata_digest, power_sums_of
from striate.drawing import data_uri
from striate.errors import DataError
from striate.preprocess import Fit, Preprocess
from striate.resizing import Interpolation
from striate.units import listed

_SHOWN = 10  # images in a notebook


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Args:
        images: uint8 (N, H, W, C), C being 1 or 3: a tensor, or `LazyImages`. A NumPy array is converted, as
            `Dataset.from_arrays` converts it.
        labels: int64 (N,), positions in the data set's `classes`. A NumPy array of whole numbers is converted.
        files: the file of each image, or what it is called in the file that it shares with others; empty if the
            source has no files. A tuple, or a sequence that makes the names when they are asked for.
        stats: the images' statistics, if they were gathered while decoding.
        places: of images that lie in files with many, as tar shards are: the number of each one's file, and where it
            begins in it; int64 (N, 2).

    Raises:
        DataError: for images and labels of other shapes or types.

    >>> split = striate.Split(np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 1, 0]))
    >>> len(split), split.images.dtype, split.labels.tolist()
    (4, torch.uint8, [0, 1, 1, 0])
    """

    images: Images
    labels: Tensor
    files: Sequence[str] = ()
    stats: ImageStatistics | None = field(default=None, repr=False, compare=False)
    places: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.images, np.ndarray):
            object.__setattr__(self, "images", pixel_batch(self.images))
        if isinstance(self.labels, np.ndarray | list):
            if plain_labels(self.labels).dtype.kind == "U":
                raise DataError(
                    "labels that are names: expected positions in the classes; Dataset.from_arrays takes names."
                )
            object.__setattr__(self, "labels", label_batch(self.labels)[0])
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[3] not in (1, 3):
            raise DataError(
                f"images of shape {tuple(self.images.shape)} and type {self.images.dtype}: "
                "expected uint8 (N, height, width, 1 or 3)."
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"labels of shape {tuple(self.labels.shape)} and type {self.labels.dtype}: "
                f"expected int64 ({len(self.images)},)."
            )

    def __len__(self) -> int:
        return len(self.images)

    def power_sums(self) -> np.ndarray:
        """The `power_sums` of the images: int64 (3, channels)."""
        return power_sums_of(self.images) if self.stats is None else self.stats.sums

    def __repr__(self) -> str:
        _, height, width, channels = self.images.shape
        return f"Split({len(self):,} images of {height}×{width}×{channels})"


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on. `load` makes one of files, `from_arrays` and `from_torch` of what is in memory.

    Args:
        source: what `load` was given, or a name.
        classes: the names; a label is a position in this tuple.
        train, val, test: the splits; `val` and `test` may be missing.
        mirror: whether a mirrored image still has its label (true of clothes, false of digits and letters).
        notes: what was decided for the user, a sentence each.
        skipped: path and reason of every file that was left out because the user said so.
        fit, crop, interpolation: how images of other sizes were brought to this one, see `Preprocess`.
        sized: whether the size was chosen; if not, training brings the images to the model's own size.
        divided: whether Striate itself chose which images are held out.
        order: where each image of the splits, one split after another, stood in the arrays that were divided.
        loaded: whether `load` can load it again from its source.

    >>> data.classes[:3], len(data.train), len(data.test), data.train.images.shape
    (('0', '1', '2'), 1438, 359, torch.Size([1438, 8, 8, 1]))
    >>> pixels = np.zeros((20, 8, 8), np.uint8)
    >>> striate.Dataset.from_arrays(pixels, ["cat", "dog"] * 10).classes
    ('cat', 'dog')
    """

    source: str
    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    mirror: bool = False
    notes: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    fit: Fit = "letterbox"
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"
    sized: bool = True
    divided: bool = False
    order: Tensor | None = field(default=None, repr=False, compare=False)
    loaded: bool = False

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise DataError(f"{self.source}: a classifier needs two or more different classes, got {self.classes}.")
        for name, split in self.splits():
            if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(self.classes):
                raise DataError(f"{self.source}: a label of split {name} is outside 0 … {len(self.classes) - 1}.")
        if not len(self.train):
            raise DataError(f"{self.source}: the training split holds no image.")

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any,
        classes: Sequence[str] | None = None,
        *,
        val: tuple[Any, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        layout: Layout | None = None,
        mirror: bool | None = None,
        source: str = "arrays",
    ) -> "Dataset":
        """Make a data set of arrays or tensors.

        Without `val` and `test`, a tenth of each class is held out for each of them, always the same images.

        Args:
            images: (N, H, W), (N, H, W, C) or (N, C, H, W), C being 1 or 3: integers in 0 … 255 or floating-point
                numbers in 0 … 1; or a sequence of such images, or PIL images, of one size. Memory is shared where
                nothing has to be converted, so leave the array as it is.
            labels: N whole numbers, positions in `classes`, or N names.
            classes: the names; "0", "1" and so on, or the sorted names among the labels, if not given.
            val, test: images and labels of these splits, of the same size.
            layout: "NHW", "NHWC" or "NCHW", where the shape could mean two of them.
            mirror: whether a mirrored image keeps its label; if not given, unless the classes are digits or letters.
            source: a name for the data set.

        Raises:
            ArgumentError: if the shape could mean two layouts and none is given.
            DataError: for shapes, types, values or labels that don't fit.
        """
        given = {"train": (images, labels), "val": val, "test": test}
        pairs = {name: (pair[0], plain_labels(pair[1])) for name, pair in given.items() if pair is not None}
        if classes is None:  # one numbering for all splits
            if len({their.dtype.kind for _, their in pairs.values() if len(their)}) > 1:
                raise DataError(f"{source}: the labels of some splits are numbers and of others names: use one kind.")
            _, classes = label_batch(np.concatenate([their for _, their in pairs.values()]))
        classes = tuple(map(str, classes))
        splits = {}
        for name, (some, their) in pairs.items():
            pixels, (positions, _) = pixel_batch(some, layout), label_batch(their, classes)
            if len(pixels) != len(positions):
                raise DataError(f"{source}, {name}: {len(pixels):,} images and {len(positions):,} labels.")
            splits[name] = Split(pixels, positions)
        notes: tuple[str, ...] = ()
        if not len(splits["train"]):
            raise DataError(f"{source}: there are no training images.")
        order, divided = None, val is None and test is None
        if divided:
            splits, order = _divided(splits["train"], len(classes))
            counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
            notes = (f"split class by class: {counts} images; pass val= and test= to choose them yourself",)
        return cls(
            source, classes, splits["train"], splits.get("val"), splits.get("test"),
            is_mirrorable(classes) if mirror is None else mirror, notes, divided=divided, order=order,
        )  # fmt: skip

    @classmethod
    def from_torch(
        cls,
        train: Any,
        classes: Sequence[str] | None = None,
        *,
        val: Any = None,
        test: Any = None,
        layout: Layout | None = None,
        mirror: bool | None = None,
        source: str = "",
    ) -> "Dataset":
        """Make a data set of PyTorch data sets, or of the data sets of `DataLoader`s; all images come into memory.

        Args:
            train: a `TensorDataset`, or a data set of (image, label) pairs: tensors (C, H, W) or (H, W), arrays or PIL
                images of one size, not normalised.
            classes: the names; the data set's attribute `classes` if not given, or else "0", "1" and so on.
            val, test: likewise; without both, a tenth of each class is held out for each of them.
            layout, mirror: as in `from_arrays`; four-dimensional tensors that could be both are (N, C, H, W), as in
                PyTorch.
            source: a name for the data set; the class of `train` if not given.

        Raises:
            DataError: for samples, shapes, types, values or labels that don't fit.
        """
        images, labels, names = torch_samples(train)
        given = {key: torch_samples(part) for key, part in (("val", val), ("test", test)) if part is not None}
        pairs = {key: (some, _renamed(their, own, names, classes)) for key, (some, their, own) in given.items()}
        if not len(images):
            raise DataError("the training data set is empty.")
        shape = tuple(images.shape) if isinstance(images, Tensor) else (len(images), *getattr(images[0], "shape", ()))
        if layout is None and len(shape) == 4 and shape[1] in (1, 3):
            layout = "NCHW"
        source = source or type(getattr(train, "dataset", train)).__name__
        return cls.from_arrays(
            images, labels, names if classes is None else classes, layout=layout, mirror=mirror, source=source, **pairs
        )

    def splits(self) -> Iterator[tuple[str, Split]]:
        """The splits that exist, by name."""
        for name in ("train", "val", "test"):
            split = getattr(self, name)
            if split is not None:
                yield name, split

    def __repr__(self) -> str:
        _, height, width, channels = self.train.images.shape
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.splits())
        return f"Dataset({self.source}: {counts} images of {height}×{width}×{channels}, {len(self.classes)} classes)"

    def _repr_html_(self) -> str:
        """One line and the first training images, for notebooks."""
        shown = zip(self.train.images[:_SHOWN], self.train.labels[:_SHOWN].tolist(), strict=True)
        pictures = "".join(
            f'<img src="{data_uri(image.numpy())}" title="{html.escape(self.classes[label])}" '
            'width="64" height="64" style="image-rendering:pixelated;object-fit:contain;margin:2px">'
            for image, label in shown
        )
        return f"<p>{html.escape(repr(self))}: {html.escape(listed(self.classes))}</p><p>{pictures}</p>"

    def fingerprint(self) -> str:
        """The SHA-256 of the training images and labels, of the classes' names and of the shapes.

        Of files it was computed when they were decoded, and holds as long as no file has changed.
        """
        train = self.train
        if train.stats is not None and train.stats.metadata == metadata_digest(
            self.classes, train.images.shape, train.labels
        ):
            return train.stats.fingerprint
        return fingerprint_of(self.classes, train.images, train.labels)

    @property
    def held_out(self) -> tuple[str, Split] | None:
        """The split that results are measured on: test, or where there is none val."""
        for name in ("test", "val"):
            split: Split | None = getattr(self, name)
            if split is not None and len(split):
                return name, split
        return None

    @property
    def spare_val(self) -> Split | None:
        """The val split where results are measured on test, so that its images may decide something; or `None`."""
        return self.val if self.held_out and self.held_out[0] == "test" and self.val and len(self.val) else None


def conformed(dataset: Dataset, preprocess: Preprocess) -> Dataset:
    """Return the data set with images of the size and channels of `preprocess`."""
    splits = {
        name: replace(split, images=conformed_images(split.images, preprocess), stats=None)
        for name, split in dataset.splits()
    }
    return replace(
        dataset, train=splits["train"], val=splits.get("val"), test=splits.get("test"),
        fit=preprocess.fit, crop=preprocess.crop, interpolation=preprocess.interpolation,
    )  # fmt: skip


def conformed_images(images: Images, preprocess: Preprocess) -> Images:
    """Resize images: at once, or lazily where that would fill the memory."""
    shape = (preprocess.height, preprocess.width, preprocess.channels)
    if images.shape[1:] == shape:
        return images
    if isinstance(images, Tensor) and not is_large((len(images), *shape)):
        return preprocess.conform_all(images)
    return applied(preprocess.conform_all, images, shape)


def is_mirrorable(classes: Sequence[str]) -> bool:
    """True unless the classes are digits or letters, whose mirror images have other labels or none."""
    return not all(name.isdigit() or (len(name) == 1 and name.isalpha()) for name in classes)


def _renamed(labels: Any, own: Sequence[str] | None, names: Sequence[str] | None, classes: Sequence[str] | None) -> Any:
    """Labels of a data set whose class names are others than the training data set's: as names, not as numbers."""
    values = plain_labels(labels)
    if own is None or names is None or tuple(own) == tuple(names) or values.dtype.kind == "U":
        return labels
    if classes is not None:
        raise DataError("the class names of the data sets differ: leave classes= out, so that names decide.")
    return [own[number] for number in values]


def _divided(split: Split, classes: int) -> tuple[dict[str, Split], Tensor]:
    """Split images into train, val and test, class by class; each image's position decides.

    Returns:
        The splits, and the positions of all their images, one split after another: int64 (N,).
    """
    places = np.full(len(split), "train", dtype=object)
    for label in range(classes):
        members = torch.nonzero(split.labels == label)[:, 0].tolist()
        places[members] = hold_out([str(member) for member in members])
    parts = {name: torch.from_numpy(np.flatnonzero(places == name)) for name in ("train", "val", "test")}
    splits = {name: Split(split.images[part], split.labels[part]) for name, part in parts.items() if len(part)}
    return splits, torch.cat(list(parts.values()))
