"""Search for a model's weights in a file: under any prefix, among several sets, by the names of other programs.

Training scripts save a network inside other things: `{"net": {"module.conv1.weight": …}, "epoch": 3}`. `file.read`
makes one dictionary of such a file's tensors, with names like "net/module.conv1.weight"; its prefix is "net/module.".
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

# Modules that wrap others in the middle of a name: torch.compile, fully sharded training, recomputed activations.
_WRAPPING = re.compile(r"(?<![^./])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_BOUNDARY = re.compile(r"[./]")
_AVERAGE = frozenset(("average", "averaged", "avg", "ema", "swa"))  # words in the names of averaged weights
_COUNT = "n_averaged"  # what torch.optim.swa_utils.AveragedModel writes beside them
SHOWN = 3  # names of tensors in a message


class Place(NamedTuple):
    """A set of weights in a file that may be a model's.

    Args:
        prefix: the beginning of their names, which the model's names do not have.
        renamed: whether they have the names of another program, the model's `aliases`.
    """

    prefix: str
    renamed: bool


class Found(NamedTuple):
    """The weights of a model in a file.

    Args:
        tensors: by the model's names; those that it does not have are among them.
        prefix: the prefix of their names in the file.
        notes: a sentence each on the choice of the set, and on what was left out.
        rivals: other sets that would fit as well, by prefix.
    """

    tensors: dict[str, Tensor]
    prefix: str
    notes: list[str]
    rivals: dict[str, dict[str, Tensor]]


def find(model: nn.Module, tensors: Mapping[str, Tensor]) -> Found:
    """Find the weights of a model among a file's tensors: the set that has most of its names, with the right shapes.

    Of sets that have equally many, averages over training (EMA, SWA) are preferred, as they usually classify better.

    Args:
        model: the module.
        tensors: all tensors of the file, see `file.read`.
    """
    own = {_WRAPPING.sub("", name): name for name in model.state_dict()}
    theirs = {_WRAPPING.sub("", name): tensor for name, tensor in tensors.items()}
    if len(theirs) < len(tensors):  # two names have become one
        theirs = dict(tensors)
    aliases: dict[str, str] = getattr(model, "aliases", {})
    best = _places(model, theirs, own, aliases)
    averaged = [place for place in best if _is_average(place.prefix, theirs)]
    chosen, *others = averaged or best or [Place(_largest(theirs), False)]
    found, left_out = _at(chosen, theirs, own, aliases)
    notes = []
    if averaged and len(averaged) < len(best):
        notes.append(f"Of the sets of weights in the file, the averaged one was loaded: {shown(chosen.prefix)}.")
    if left_out:
        notes.append(f"Left out of the file: {few(_grouped(left_out, chosen.prefix))}.")
    rivals = {place.prefix: _at(place, theirs, own, aliases)[0] for place in others}
    return Found(found, chosen.prefix, notes, rivals)


def _at(
    place: Place, theirs: Mapping[str, Tensor], own: Mapping[str, str], aliases: Mapping[str, str]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors at a place by the model's names, and the file's names of all others."""
    found: dict[str, Tensor] = {}
    others = []
    for name, tensor in theirs.items():
        rest = name[len(place.prefix) :]
        target = _renamed(rest, aliases) if place.renamed else rest
        if name.startswith(place.prefix) and (target in own or "/" not in target):
            found[own.get(target, target)] = tensor
        else:
            others.append(name)
    return found, others


def _places(
    model: nn.Module, theirs: Mapping[str, Tensor], own: Mapping[str, str], aliases: Mapping[str, str]
) -> list[Place]:
    """The sets with the most of the model's names and shapes, in the file's order; all that are equally good."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    deepest = max((name.count(".") for name in (*own, *(f"{path}." for path in aliases))), default=0)
    names, fitting = Counter[Place](), Counter[Place]()
    for name, tensor in theirs.items():
        starts = [0, *(found.end() for found in _BOUNDARY.finditer(name))]
        for start in starts[-1 - deepest :]:
            rest = name[start:]
            for renamed, target in enumerate((rest, _renamed(rest, aliases)) if aliases else (rest,)):
                if target in own:
                    place = Place(name[:start], bool(renamed))
                    names[place] += 1
                    fitting[place] += tensor.shape == shapes[own[target]]
    most = max(((fitting[place], names[place]) for place in names), default=None)
    places = [place for place in names if (fitting[place], names[place]) == most]
    # A name that is no alias is the same in both: then the file has the model's own names.
    return [place for place in places if not (place.renamed and Place(place.prefix, False) in places)]


def _largest(theirs: Mapping[str, Tensor]) -> str:
    """The prefix of the largest dictionary in a file."""
    counts = Counter(name[: name.rfind("/") + 1] for name in theirs)
    return counts.most_common(1)[0][0]


def _renamed(name: str, aliases: Mapping[str, str]) -> str:
    path, dot, leaf = name.rpartition(".")
    return f"{aliases.get(path, path)}{dot}{leaf}"


def _is_average(prefix: str, theirs: Mapping[str, Tensor]) -> bool:
    """Return whether a set's prefix, or a count beside it, tells that its weights are averages over training."""
    around = prefix.removesuffix("module.")
    return bool(_AVERAGE & set(re.split(r"[./_]", prefix.lower()))) or (around != prefix and around + _COUNT in theirs)


def _grouped(names: Iterable[str], prefix: str) -> list[str]:
    """Shorten the names that were left out to the modules and dictionaries beside those of a prefix."""
    groups: dict[str, list[str]] = {}
    for name in names:
        start = 0
        for boundary in _BOUNDARY.finditer(name):
            if not prefix.startswith(name[: boundary.end()]):
                break
            start = boundary.end()
        group = _BOUNDARY.split(name[start:])[0] or name
        groups.setdefault(name[:start] + group, []).append(name)
    return [members[0] if len(members) == 1 else group for group, members in groups.items()]


def shown(prefix: str) -> str:
    """A prefix for messages."""
    return prefix.rstrip("./")


def few(items: list[str]) -> str:
    """The first of several names, for messages."""
    return ", ".join(items[:SHOWN]) + (", …" if len(items) > SHOWN else "")
