"""Which columns of a table hold the images and the labels, told by their types."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from striate.errors import ArgumentError, DataError

_IMAGES = ("image", "img")
_LABELS = ("label", "labels", "class")
_TEXTS = ("string", "large_string")


class Columns(NamedTuple):
    """The names of two columns, and those of the classes where the labels are numbers that have names."""

    image: str
    label: str
    classes: tuple[str, ...] | None


def chosen(source: str, features: Mapping[str, Any], label: str = "") -> Columns:
    """The columns of images and labels.

    Args:
        source: what to call the data set in an error.
        features: the columns and their types, as the library `datasets` tells them.
        label: the column of labels, if it was named.

    Raises:
        ArgumentError: if there is no such column of labels, or one must be chosen.
        DataError: if there is no column of images, or none of labels.
    """
    import datasets

    listing = f"Its columns are {', '.join(f'{name} ({_kind(feature)})' for name, feature in features.items())}."
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    image = _only(images, _IMAGES)
    if image is None:
        raise DataError(f"{source} has {'several columns' if images else 'no column'} of images. {listing}")
    if label:
        if label not in features or not _may_label(features[label]):
            raise ArgumentError(f"{source}: there is no column {label} of classes, names or whole numbers. {listing}")
    else:
        label = _label(source, features, listing)
    names = features[label].names if isinstance(features[label], datasets.ClassLabel) else None
    return Columns(image, label, None if names is None else tuple(names))


def _label(source: str, features: Mapping[str, Any], listing: str) -> str:
    import datasets

    classes = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    others = [name for name in _LABELS if name in features and _may_label(features[name])]
    label = _only(classes, _LABELS) if classes else _only(others, _LABELS)
    if label is not None:
        return label
    if classes:
        raise ArgumentError(
            f"{source} has several columns of classes, {', '.join(classes)}: choose one, as in {source}#{classes[0]}"
        )
    raise DataError(
        f"{source} has no column of classes, and none called label: name one as in {source}#COLUMN. {listing}"
    )


def _only(names: list[str], usual: tuple[str, ...]) -> str | None:
    """The one name there is, or the one of several that is usual."""
    fitting = names if len(names) == 1 else [name for name in usual if name in names]
    return fitting[0] if fitting else None


def _may_label(feature: object) -> bool:
    import datasets

    if isinstance(feature, datasets.Value):
        return feature.dtype in _TEXTS or feature.dtype.lstrip("u").startswith("int")
    return isinstance(feature, datasets.ClassLabel)


def _kind(feature: Any) -> str:
    import datasets

    return str(feature.dtype) if isinstance(feature, datasets.Value) else type(feature).__name__
