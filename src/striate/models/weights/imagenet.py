"""The 1,000 classes of ImageNet (ILSVRC 2012): WordNet ids, words, and the names that networks use for them."""

from collections import Counter
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Synset(NamedTuple):
    """A class of ImageNet: its WordNet id, such as "n02510455", and its words, the usual one first."""

    wnid: str
    words: tuple[str, ...]


@cache
def synsets() -> tuple[Synset, ...]:
    """The classes in the order of the outputs of published networks, which is that of the ids (source: WordNet 3.0)."""
    lines = files(__package__).joinpath("imagenet.txt").read_text(encoding="utf-8").splitlines()
    return tuple(Synset(wnid, tuple(words.split(", "))) for wnid, _, words in (line.partition(" ") for line in lines))


@cache
def class_names() -> tuple[str, ...]:
    """The first word of each class; with the id where two classes share it, as in "crane (n02012849)".

    >>> len(class_names()), class_names()[207]
    (1000, 'golden retriever')
    """
    uses = Counter(each.words[0].casefold() for each in synsets())
    return tuple(
        each.words[0] if uses[each.words[0].casefold()] == 1 else f"{each.words[0]} ({each.wnid})" for each in synsets()
    )


def position(name: str) -> int | None:
    """Find the class that a name means: its id, one of its words that no other class has, or its class name.

    Args:
        name: upper and lower case are the same, and so are "_", "-" and " "; an id may be followed by words, as in
            "n02510455_giant_panda".

    Returns:
        The position among the 1,000 outputs, or `None`.

    >>> position("golden retriever"), position("n02099601"), position("unicorn")
    (207, 207, None)
    """
    plain = _plain(name)
    is_id = plain[:1] == "n" and plain[1:9].isdigit()
    return _positions().get(plain[:9] if is_id else plain)


@cache
def _positions() -> dict[str, int]:
    by_word = Counter(_plain(word) for each in synsets() for word in set(each.words))
    return {
        _plain(name): number
        for number, (each, own) in enumerate(zip(synsets(), class_names(), strict=True))
        for name in (each.wnid, own, *(word for word in each.words if by_word[_plain(word)] == 1))
    }


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").replace("'", "").strip()
