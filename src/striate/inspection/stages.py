"""Which layers of a network are worth showing, from the image to the logits."""

from torch import nn

from striate.inspection.features import has_maps
from striate.inspection.structure import layer_kinds as words
from striate.inspection.structure.trace import Call, layers_of, trace

MOST = 20  # layers that a page shows
FEW = 4  # so few say little: then layers inside of them are shown


def stages(model: nn.Module, input_shape: tuple[int, int, int]) -> list[Call]:
    """The layers that make maps, in order, without those whose output a normalisation or activation then changes.

    Of a network with many layers its blocks stand for what is in them, as deep down as `MOST` allows; where it is not
    divided into blocks, every so-manieth layer is taken.
    """
    calls = {call.name: call for call in trace(model, input_shape, every=True) if call.name and not call.unchanged}
    leaves = {name for name, _ in layers_of(model)}
    depths = range(1, 1 + max((name.count(".") + 1 for name in calls), default=0))
    cuts = [_settled([call for name, call in calls.items() if _in_cut(name, depth, leaves)]) for depth in depths]
    fitting = [cut for cut in cuts if len(cut) <= MOST]
    best = max(fitting, key=len, default=[])
    larger = [cut for cut in cuts if len(cut) > MOST]
    if len(best) < FEW and larger:
        first = larger[0]
        best = [first[number * (len(first) - 1) // (MOST - 1)] for number in range(MOST)]
    return best


def _in_cut(name: str, depth: int, leaves: set[str]) -> bool:
    """Whether a module stands for its part of the network if one looks this deep."""
    deep = name.count(".") + 1
    return deep == depth or (deep < depth and name in leaves)


def _settled(calls: list[Call]) -> list[Call]:
    """Those with maps that the next call does not merely change value by value."""
    following = [*calls[1:], None]
    return [
        call
        for call, after in zip(calls, following, strict=True)
        if has_maps(call) and not (after is not None and after.made == call.made and _merely_changes(after.module))
    ]


def _merely_changes(module: nn.Module) -> bool:
    return bool(words.activation(module) or words.dropout(module)) or isinstance(module, words.NORMS)
