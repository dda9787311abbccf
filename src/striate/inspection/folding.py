"""From the calls of layers to rows: activations and dropout stand in the row of the layer they belong to."""

from dataclasses import dataclass, field

from torch import nn

from striate.inspection import vocabulary as words
from striate.inspection.tracing import INPUT, Call


@dataclass
class Draft:
    """A row while activations may still be added to it.

    Args:
        call: the layer's.
        before: the row that made its input, if it took that row's last output.
        last: the position of the call that made what leaves this row, activations included.
        notes: its activations and dropout, in order.
    """

    call: Call
    before: "Draft | None"
    last: int
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What stands in the column "activation"."""
        return ", ".join(self.notes)


def fold(calls: list[Call]) -> list[Draft]:
    """The rows, that of the input first.

    A row takes in what is called on its last output: parameterless activations, dropout, and modules that hand on their
    input as it is (these without a word). An increasing activation on the output of a max pooling or of flattening goes
    to the weighted layer before that, if this has no activation yet, because either order gives the same.
    """
    first = Draft(Call("input", nn.Identity(), (), (), None, True), None, INPUT)
    drafts = [first]
    holder = {INPUT: first}  # which row the output of a call belongs to
    for position, call in enumerate(calls):
        draft = holder.get(call.source) if call.source is not None else None
        if draft is not None and draft.last != call.source:
            draft = (
                None  # an activation has been applied elsewhere to what this one takes: they don't follow each other
            )
        if draft is None or not _melts(call):
            draft = Draft(call, draft, position)
            drafts.append(draft)
        else:
            note = words.dropout(call.module) or words.activation(call.module)
            if note:
                _home(draft, call.module).notes.append(note)
            draft.last = position
        holder[position] = draft
    return drafts


def _melts(call: Call) -> bool:
    """Whether the call needs no row of its own."""
    if any(True for _ in call.module.parameters()):
        return False
    return call.unchanged or words.activation(call.module) is not None or words.dropout(call.module) is not None


def _home(draft: Draft, module: nn.Module) -> Draft:
    """The row in which an activation is named: that of the weighted layer before poolings it commutes with."""
    home: Draft | None = draft
    if words.increasing(module):
        while home is not None and not home.notes and words.commutes(home.call.module):
            home = home.before
    weighted = home is not None and not home.notes and any(True for _ in home.call.module.parameters())
    return home if home is not None and weighted else draft
