"""Result of an audit, and its text."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from striate.data import Dataset
from striate.drawing import data_uri
from striate.units import percent, plural

_LISTED = 10  # lines of each kind in the text

LEAK = "a test set with training images in it measures nothing"


@dataclass(frozen=True)
class ImageAt:
    """One image of a data set.

    Args:
        split: "train", "val" or "test".
        position: in its split.
        label: the name of its class.
        file: its file, or empty if the source has no files for single images.
    """

    split: str
    position: int
    label: str
    file: str

    @property
    def name(self) -> str:
        """The file, or the split and the position."""
        return self.file or f"{self.split} image {self.position}"


@dataclass(frozen=True)
class Copies:
    """Images that show the same picture.

    Args:
        images: two or more.
        kind: "same file", "same pixels" or "nearly the same pixels".
    """

    images: tuple[ImageAt, ...]
    kind: str

    @property
    def leaks(self) -> bool:
        """True if the picture is in the training images and among those that measure the result."""
        splits = {image.split for image in self.images}
        return "train" in splits and len(splits) > 1

    @property
    def contradicts(self) -> bool:
        """True if the copies have different labels."""
        return len({image.label for image in self.images}) > 1

    @property
    def where(self) -> str:
        """The splits of the copies, and whether they have one class or several, in words."""
        splits = list(dict.fromkeys(image.split for image in self.images))
        labels = list(dict.fromkeys(image.label for image in self.images))
        place = f"in {' and '.join(splits)}"
        return f"{place}, as {' and '.join(labels)}" if self.contradicts else f"{place}, all {labels[0]}"


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong.

    Args:
        image: it and its label.
        looks_like: the class that it looks like.
        probability: of that class.
        own_probability: of its label. Both are by a layer that was fitted to other images.
    """

    image: ImageAt
    looks_like: str
    probability: float
    own_probability: float


@dataclass(frozen=True)
class Oddity:
    """An image that differs from the rest.

    Args:
        image: the image.
        kind: "outlier", "blurred", "nearly empty" or "small".
        value: what was measured: larger is odder, but of "small" ones, whose value is the number of pixels.
        reason: the measurement as a clause.
    """

    image: ImageAt
    kind: str
    value: float
    reason: str


@dataclass(frozen=True)
class Audit:
    """Findings of an audit of a data set, the most suspicious first.

    Args:
        source: the data set's.
        classes: their names.
        images: how many it has.
        checked: how many of them were checked for more than copies and size.
        model: whose features labels and outliers were judged by; `None` if by none.
        copies: groups of images that show the same picture.
        suspects: images whose labels are probably wrong.
        oddities: outliers, and blurred, nearly empty and small images.
        notes: what was not checked, and why.
        data: the data set.

    >>> found = striate.audit(data, quick=True)
    >>> found.images, found.classes[:3]
    (1797, ('0', '1', '2'))
    """

    source: str
    classes: tuple[str, ...]
    images: int
    checked: int
    model: str | None
    copies: tuple[Copies, ...]
    suspects: tuple[Suspect, ...]
    oddities: tuple[Oddity, ...]
    notes: tuple[str, ...] = ()
    data: Dataset | None = field(default=None, repr=False, compare=False)

    @property
    def leaked(self) -> dict[str, int]:
        """Number of images of val and of test that are training images too, by split, where there are any."""
        counts: dict[str, int] = {}
        for image in (image for group in self.copies if group.leaks for image in group.images):
            if image.split != "train":
                counts[image.split] = counts.get(image.split, 0) + 1
        return counts

    def odd(self, kind: str) -> list[Oddity]:
        """The oddities of one kind."""
        return [each for each in self.oddities if each.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: value for name, value in vars(self).items() if name != "data"}
        for name in ("suspects", "oddities"):
            values[name] = [asdict(each) for each in values[name]]
        values["copies"] = [asdict(each) | {"leaks": each.leaks, "where": each.where} for each in self.copies]
        return values | {"classes": list(self.classes), "notes": list(self.notes), "leaked": self.leaked}

    def text(self) -> str:
        """The findings for a terminal, the first ten of each kind."""
        parts = [*self._leaks(), *(_section(head, lines) for head, lines in self._sections() if lines)]
        nothing = f"{plural(self.images, 'image')}: nothing suspicious found"
        return "\n\n".join([*(parts or [nothing]), *self.notes])

    def _leaks(self) -> list[str]:
        return [
            f"{plural(count, f'{split} image')} {'is a training image' if count == 1 else 'are training images'}, too: "
            f"{LEAK}"
            for split, count in self.leaked.items()
        ]

    def _sections(self) -> list[tuple[str, list[str]]]:
        """Headings with all their lines."""
        copied = [f"{each.where} ({each.kind}): {', '.join(i.name for i in each.images)}" for each in self.copies]
        suspected = [
            f"{each.image.name}: labelled {each.image.label}, looks like {each.looks_like} "
            f"({percent(each.probability, 0)}, and {percent(each.own_probability, 0)} like its label)"
            for each in self.suspects
        ]
        sections = [("the same picture several times", copied), ("labels that are probably wrong", suspected)]
        for kind, heading in HEADINGS.items():
            sections.append((heading, [f"{each.image.name}: {each.reason}" for each in self.odd(kind)]))
        return sections

    def __repr__(self) -> str:
        found = (f"{len(lines):,} {head}" for head, lines in self._sections() if lines)
        return f"Audit({self.source}: {', '.join(found) or 'nothing suspicious'})"

    def _repr_html_(self) -> str:
        """The text and the first suspects, for notebooks."""
        shown = [] if self.data is None else [(each, pixels_of(self.data, each.image)) for each in self.suspects[:10]]
        pictures = "".join(
            f'<img src="{data_uri(pixels)}" width="64" height="64" style="object-fit:contain;margin:2px" '
            f'title="{html.escape(f"{each.image.label}; looks like {each.looks_like}")}">'
            for each, pixels in shown
        )
        return f"<pre>{html.escape(self.text())}</pre><p>{pictures}</p>"


HEADINGS = {
    "outlier": "images far from all others, which may belong to no class",
    "blurred": "blurred images",
    "nearly empty": "nearly empty images",
    "small": "images far smaller than the rest",
}


def pixels_of(data: Dataset, image: ImageAt) -> Any:
    """The pixels of an image, uint8 (H, W, C), at the data set's size."""
    return dict(data.splits())[image.split].images[image.position].numpy()


def _section(heading: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _LISTED:,} more"] if len(lines) > _LISTED else []
    return "\n".join([f"{heading}: {len(lines):,}", *(f"  {line}" for line in lines[:_LISTED]), *more])
