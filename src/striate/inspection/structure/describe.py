"""The architecture table of a network, from the calls of its layers.

Each call becomes a row; activations and dropout are noted in the row of the layer that they follow.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from striate import layers
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import architecture_of, input_shape_of, module_of
from striate.inspection.structure.table import ArchitectureTable, LayerRow
from striate.inspection.structure.trace import INPUT, Call, layers_of, trace
from striate.runs import Run, opened

MODEL = "(model)"  # the layer's name where the model itself is the layer


def describe(model: nn.Module | Run | str | Path, input_shape: tuple[int, int, int] | None = None) -> ArchitectureTable:
    """Describe the architecture of any network as a table, by tracing one image of zeros through its layers.

    Rows are the layers in the order they are called. Activations and dropout are in the row of the layer whose output
    they take; an activation behind a max pooling is listed with the layer before it, where papers print it, if both
    commute. One whose input no layer made (a sum of two branches) has a row of its own. Operations outside modules
    (`x + y`, `F.relu`) have no row, but receptive fields include them.

    Args:
        model: any module, a model's name, or a run or its folder, of whose model a new instance is made.
        input_shape: channels, height, width; known for models that Striate made.

    Returns:
        The table, with `rows`, totals, `.text()`, `.markdown()` and `.to_dict()`. The model stays as it was.

    Raises:
        ArgumentError: if `input_shape` is needed and missing, for TorchScript, for a lazy module that has not seen
            its first batch, and for a run whose model Striate did not make.
        ShapeError: if the model can't take such an image.

    >>> network = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2))
    >>> table = striate.describe(network, (1, 28, 28))
    >>> table.parameters, table.rows[-1].size, table.rows[-1].field
    (156, (12, 12), '6×6')
    """
    module = module_of(opened(model))
    shape = input_shape_of(module, input_shape)
    architecture = architecture_of(module)
    first, *drafts = fold(trace(module, shape))
    seen: set[int] = set()
    channels, size = _channels_and_size(None, (1, *shape))
    rows = [LayerRow("input", "input", channels, size, activation=first.text)]
    rows += [_row(draft, seen) for draft in drafts]
    rows += _uncalled_rows(module, seen)
    return ArchitectureTable(architecture.text if architecture else type(module).__name__, shape, tuple(rows))


@dataclass
class Draft:
    """A table row under construction, to which activations may still be added.

    Args:
        call: the layer's.
        before: the row that made its input, if it took that row's last output.
        last: the position of the call that made this row's output, activations included.
        notes: its activations and dropout, in order.
    """

    call: Call
    before: "Draft | None"
    last: int
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text in the column "activation"."""
        return ", ".join(self.notes)


def fold(calls: list[Call]) -> list[Draft]:
    """Fold layer calls into rows; the input's row comes first.

    A row takes in what is called on its last output: parameterless activations, dropout, and modules that return their
    input unchanged (these without a note). An increasing activation on the output of a max pooling or of flattening
    goes to the weighted layer before that, if this has no activation yet, because either order gives the same.
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
        if draft is None or not _needs_no_row(call):
            draft = Draft(call, draft, position)
            drafts.append(draft)
        else:
            note = layer_kinds.dropout(call.module) or layer_kinds.activation(call.module)
            if note:
                _weighted_row(draft, call.module).notes.append(note)
            draft.last = position
        holder[position] = draft
    return drafts


def _needs_no_row(call: Call) -> bool:
    """Tell whether the call needs no row of its own."""
    if any(True for _ in call.module.parameters()):
        return False
    return (
        call.unchanged
        or layer_kinds.activation(call.module) is not None
        or layer_kinds.dropout(call.module) is not None
    )


def _weighted_row(draft: Draft, module: nn.Module) -> Draft:
    """The row that names an activation: that of the weighted layer, through poolings that commute with it."""
    row: Draft | None = draft
    if layer_kinds.increasing(module):
        while row is not None and not row.notes and layer_kinds.commutes(row.call.module):
            row = row.before
    weighted = row is not None and not row.notes and any(True for _ in row.call.module.parameters())
    return row if row is not None and weighted else draft


def _channels_and_size(
    module: nn.Module | None, output_shape: tuple[int, ...]
) -> tuple[int | None, tuple[int, ...] | None]:
    """Channels and spatial size of an output with a batch axis; the features of dense layers lie last."""
    if len(output_shape) < 2:
        return None, None
    if layer_kinds.features_last(module, output_shape):
        return output_shape[-1], output_shape[1:-1] or None
    return output_shape[1], output_shape[2:] or None


def _row(draft: Draft, seen: set[int]) -> LayerRow:
    """Make the finished row. Parameters in `seen` are not counted again; its own are added there."""
    module, output_shape = draft.call.module, draft.call.output_shape
    channels, size = _channels_and_size(module, output_shape)
    window = layer_kinds.window(module, len(output_shape) - 2)
    connections, multiply_adds = layer_kinds.count(module, draft.call.input_shape, output_shape)
    trainable, frozen = _parameters(module.parameters(), seen)
    return LayerRow(
        layer=draft.call.name or MODEL,
        type=layer_kinds.kind(module),
        channels=channels,
        size=size,
        kernel=window.kernel,
        stride=window.stride,
        padding=window.padding,
        field="?" if draft.call.field is None else draft.call.field.text,
        activation=draft.text,
        parameters=trainable,
        frozen=frozen,
        connections=connections,
        multiply_adds=multiply_adds,
        receptive=draft.call.field,
    )


def _uncalled_rows(model: nn.Module, seen: set[int]) -> list[LayerRow]:
    """Rows for parameters that no called layer owns: a container's own, and those of uncalled layers."""
    leaves = {id(layer) for _, layer in layers_of(model)}
    rows = []
    for name, module in model.named_modules():
        trainable, frozen = _parameters(module.parameters(recurse=False), seen)
        if trainable or frozen:
            lists = isinstance(module, nn.ParameterList | nn.ParameterDict)
            if isinstance(module, layers.ScaledResidual):
                kind, does = "layer scale", 0  # it melts into the layer before it
            elif id(module) in leaves and not lists:
                kind, does = f"{layer_kinds.kind(module)}, not called", 0
            else:
                kind, does = "own parameters", None  # what a container does with them is nobody's guess
            rows.append(
                LayerRow(name or MODEL, kind, parameters=trainable, frozen=frozen, connections=does, multiply_adds=does)
            )
    return rows


def _parameters(parameters: Iterable[nn.Parameter], seen: set[int]) -> tuple[int, int]:
    """Numbers of trainable and of frozen parameters, among those that are not in `seen` yet."""
    new = [parameter for parameter in parameters if id(parameter) not in seen]
    seen.update(map(id, new))
    trainable = sum(parameter.numel() for parameter in new if parameter.requires_grad)
    return trainable, sum(parameter.numel() for parameter in new) - trainable
