"""The architecture table: rows, totals, and its text, Markdown and JSON forms."""

import math
from dataclasses import dataclass, fields
from typing import Any

from striate.inspection.extent.field import Field
from striate.units import by

VALUE_WORK = 300  # multiply-adds that take as long on two CPU cores as writing and reading a value

JSON_KEYS = {"channels": "maps"}  # of attributes that have another name in JSON
_NUMBERS = ("channels", "parameters", "connections", "multiply-adds", "mult-adds")
WIDEST = 120  # characters of a table for terminals


@dataclass(frozen=True)
class LayerRow:
    """One row of the table: the input, one layer call, or parameters that belong to no called layer.

    Args:
        layer: the module's path; "(model)" for the model itself.
        type: the textbook's word, or the class name.
        channels: channels or units of the output.
        size: cells of the output along each axis, (height, width) for feature maps; `None` for units.
        kernel, stride: along each axis, `None` where there is no window; across channels for depthwise pooling.
        padding: "valid", "same" or the cells added on each side; empty where there is no window.
        field: height and width of the receptive field in pixels of the image, "all" where every unit sees all of it,
            "?" where it is unknown.
        activation: what is applied to the output, and dropout.
        parameters: trainable ones, counted at the first row that has them.
        frozen: parameters that are not trainable, counted likewise.
        connections: inputs of all output units, plus their biases; `None` where unknown.
        multiply_adds: for one image; `None` where unknown.
        receptive: the receptive field with its stride, start and centre; `None` where unknown.

    >>> row = striate.describe("lenet5").rows[2]
    >>> row.layer, row.type, row.channels, row.size, row.parameters
    ('c1', 'conv', 6, (28, 28), 156)
    """

    layer: str
    type: str
    channels: int | None = None
    size: tuple[int, ...] | None = None
    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    padding: str = ""
    field: str = ""
    activation: str = ""
    parameters: int = 0
    frozen: int = 0
    connections: int | None = 0
    multiply_adds: int | None = 0
    receptive: Field | None = None


@dataclass(frozen=True)
class ArchitectureTable:
    """The architecture of a network as a table, made by `describe`. The first row is the input.

    >>> table = striate.describe("lenet5")
    >>> table.parameters, table.connections
    (60000, 340908)
    >>> table.rows[2].layer, table.rows[2].channels, table.rows[2].size
    ('c1', 6, (28, 28))
    """

    name: str
    input_shape: tuple[int, int, int]
    rows: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        """All trainable parameters, each counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def frozen(self) -> int:
        """All parameters that are not trainable."""
        return sum(row.frozen for row in self.rows)

    @property
    def connections(self) -> int:
        """Connections of all layers for which they are known."""
        return sum(row.connections or 0 for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image, of all layers for which they are known."""
        return sum(row.multiply_adds or 0 for row in self.rows)

    @property
    def work(self) -> int:
        """A measure of the time that an image takes: multiply-adds, and for each output value what it costs, too.

        Depthwise convolutions and activations wait for memory: by multiply-adds alone they would seem to cost nothing.
        """
        values = sum((row.channels or 0) * math.prod(row.size or (1,)) for row in self.rows)
        return self.multiply_adds + VALUE_WORK * values

    @property
    def unknown(self) -> tuple[str, ...]:
        """Layers whose connections and multiply-adds are not known, so the totals leave them out."""
        return tuple(row.layer for row in self.rows if row.connections is None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what does not apply or is unknown is `None`. "fields" has an entry for each layer."""
        totals = {key: getattr(self, key) for key in ("parameters", "frozen", "connections", "multiply_adds")}
        columns = [column.name for column in fields(LayerRow) if column.name != "receptive"]
        layers = [{JSON_KEYS.get(name, name): _plain(getattr(row, name)) for name in columns} for row in self.rows]
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "layers": layers,
            "fields": [row.receptive.to_dict() if row.receptive else None for row in self.rows],
            "totals": totals,
            "unknown": list(self.unknown),
        }

    def markdown(self) -> str:
        """A Markdown table with the totals in its last row."""
        header = ["layer", "type", "channels", "size", "kernel", "stride", "padding", "field", "activation"]
        header += ["parameters", "connections", "multiply-adds"]
        rows = [[*_place(row), *_window(row), row.field, row.activation, *_counts(row)] for row in self.rows]
        rows.append(["total", *[""] * 8, *self._totals()])
        marks = ["---:" if name in _NUMBERS else "---" for name in header]
        lines = [[cell.replace("|", "\\|") for cell in row] for row in [header, marks, *rows]]
        return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), *self._notes("\n")])

    def text(self) -> str:
        """An aligned table for terminals. Kernel, stride and padding share a column, as in "3×3/1 same".

        Where it would be wider than `WIDEST`, the connections are left out: in deep networks they are about as many as
        the multiply-adds.
        """
        columns = self._columns()
        without = [column for column in columns if column[0] != "connections"]
        wide = _width(columns) > WIDEST
        lines = _aligned(without if wide else columns)
        notes = self._notes("") + (["Connections are left out to save space; --markdown and --json have them."] * wide)
        return "\n".join([*lines, *notes])

    def _columns(self) -> list[list[str]]:
        """The title, cells and total of each column."""
        header = ["layer", "type", "channels", "size", "window", "field", "activation"]
        header += ["parameters", "connections", "mult-adds"]
        rows = [[*_place(row), _joined(row), row.field, row.activation, *_counts(row)] for row in self.rows]
        totals = ["total", *[""] * 6, *self._totals()]
        return [list(column) for column in zip(header, *rows, totals, strict=True)]

    def _totals(self) -> list[str]:
        least = "≥ " if self.unknown else ""
        return [f"{self.parameters:,}", f"{least}{self.connections:,}", f"{least}{self.multiply_adds:,}"]

    def _notes(self, before: str) -> list[str]:
        notes = []
        if self.frozen:
            notes.append(f"{before}{self.frozen:,} more parameters are not trainable.")
        if any(row.field == "?" for row in self.rows):
            notes.append(f"{before}field ?: behind an operation whose receptive field is unknown.")
        if self.unknown:
            notes.append(f"{before}?: unknown for this type of layer; left out of the totals.")
        return notes


def _width(columns: list[list[str]]) -> int:
    return sum(max(map(len, column)) + 2 for column in columns) - 2


def _aligned(columns: list[list[str]]) -> list[str]:
    """Title, rows and totals as aligned lines, with rules between them."""
    padded = []
    for name, *cells in columns:
        width = max(map(len, [name, *cells]))
        shown = [cell.rjust(width) if name in _NUMBERS else cell.ljust(width) for cell in [name, *cells]]
        padded.append([shown[0], "─" * width, *shown[1:-1], "─" * width, shown[-1]])
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _place(row: LayerRow) -> list[str]:
    channels = "" if row.channels is None else f"{row.channels:,}"
    return [row.layer, row.type, channels, by(row.size) if row.size else ""]


def _window(row: LayerRow) -> list[str]:
    kernel = by(row.kernel) if row.kernel else ""
    return [kernel, by(row.stride, shorten=True) if row.stride else "", row.padding]


def _joined(row: LayerRow) -> str:
    kernel, stride, padding = _window(row)
    return f"{kernel}/{stride} {padding}" if kernel else ""


def _counts(row: LayerRow) -> list[str]:
    if row.type == "input":
        return ["", "", ""]
    return [f"{row.parameters:,}", *("?" if n is None else f"{n:,}" for n in (row.connections, row.multiply_adds))]
