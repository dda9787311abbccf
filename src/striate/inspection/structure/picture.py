"""Picture of an architecture: layers from top to bottom, branches side by side, repeated blocks drawn once.

Between two blocks all that flows passes through one layer; within a block there are branches. A block that follows
another like it is not drawn again: "× 3" stands beside the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import escape
from torch import nn

from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import architecture_of, input_shape_of, module_of
from striate.inspection.structure.trace import INPUT, Step, flow
from striate.runs import Run, opened
from striate.units import by

WIDTH, HEIGHT, GAP = 220, 30, 16  # of a layer, and between rows, in pixels
PITCH_X, PITCH_Y, LANE = WIDTH + 20, HEIGHT + GAP, 22  # a lane is a connection beside the columns
ROUND = 24  # of a join
WIDE_ROUND = 96  # of a join with a word
_STYLE = """
:root { color-scheme: light dark; }
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.size { fill: #59636e; font-size: 11px; }
.line { fill: none; stroke: #59636e; stroke-width: 1.3; }
.block { fill: none; stroke: #afb8c1; stroke-dasharray: 4 4; }
.other { fill: #59636e1c; stroke: #59636e; }
.conv { fill: #0969da1c; stroke: #0969da; }
.pool { fill: #bc4c001c; stroke: #bc4c00; }
.join { fill: #8250df1c; stroke: #8250df; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .size { fill: #9198a1; } .line { stroke: #9198a1; } .block { stroke: #484f58; }
  .other { fill: #9198a126; stroke: #9198a1; } .conv { fill: #4493f826; stroke: #4493f8; }
  .pool { fill: #f0883e26; stroke: #f0883e; } .join { fill: #ab7df826; stroke: #ab7df8; }
}"""


def architecture_svg(model: nn.Module | Run | str | Path, input_shape: tuple[int, int, int] | None = None) -> str:
    """Draw the architecture of any network as SVG, for pages in light and in dark.

    Args:
        model: any module, a model's name, or a run or its folder, of whose model a new instance is made.
        input_shape: channels, height, width; known for models that Striate made.

    Returns:
        An SVG document. The model stays as it was.

    Raises:
        ArgumentError, ShapeError: as `describe`.

    >>> drawing = architecture_svg("lenet5")
    >>> drawing[:4], "conv 5×5" in drawing
    ('<svg', True)
    """
    module = module_of(opened(model))
    shape = input_shape_of(module, input_shape)
    architecture = architecture_of(module)
    name = architecture.text if architecture else type(module).__name__
    return _document(name, shape, list(_repeated(_blocks(flow(module, shape)))))


@dataclass(frozen=True)
class _Block:
    """Consecutive steps between two that everything passes; positions in `sources` count from the first, −1 before it.

    Args:
        steps: the steps.
        count: how many such blocks follow each other.
    """

    steps: tuple[Step, ...]
    count: int = 1

    @property
    def signature(self) -> list[tuple[object, ...]]:
        """All that is drawn of it."""
        return [(*_text(step), step.sources) for step in self.steps]


def _blocks(steps: list[Step]) -> Iterator[_Block]:
    """Cut the steps where everything passes through one of them."""
    last_use = {INPUT: 0}
    for position, step in enumerate(steps):
        for source in step.sources:
            last_use[source] = position
    begin, reach = 0, 0
    for position in range(len(steps)):
        open_later = max((last_use.get(source, -1) for source in range(begin - 1, position)), default=-1)
        reach = max(reach, open_later)
        if reach <= position:
            members = steps[begin : position + 1]
            moved = (tuple(max(source - begin, -1) for source in step.sources) for step in members)
            yield _Block(tuple(replace(step, sources=own) for step, own in zip(members, moved, strict=True)))
            begin, reach = position + 1, position + 1


def _repeated(blocks: Iterator[_Block]) -> Iterator[_Block]:
    """Count blocks of several steps that follow others like them."""
    held: _Block | None = None
    for block in blocks:
        if held is not None and len(block.steps) > 1 and block.signature == held.signature:
            held = replace(held, count=held.count + 1)
            continue
        if held is not None:
            yield held
        held = block
    if held is not None:
        yield held


def _text(step: Step) -> tuple[str, str]:
    """A layer's kind and window, and the size of its output."""
    if len(step.output_shape) < 2:
        return step.label, ""
    window = layer_kinds.window(step.module, len(step.output_shape) - 2) if step.module is not None else None
    what = step.label
    if window is not None and window.kernel and len(step.output_shape) == 4:
        stride = f" / {window.stride[0]}" if window.stride and max(window.stride) > 1 else ""
        what = f"{step.label} {by(window.kernel)}{stride}"
    last = step.module is not None and layer_kinds.features_last(step.module, step.output_shape)
    channels, sides = (
        (step.output_shape[-1], step.output_shape[1:-1]) if last else (step.output_shape[1], step.output_shape[2:])
    )
    return what, by((*sides, channels))


def _layout(block: _Block) -> tuple[list[tuple[int, int]], int]:
    """The row and the column of each step, from 0, and the number of columns."""
    rows: list[int] = []
    columns: list[int] = []
    continued: set[int] = set()
    for step in block.steps:
        rows.append(1 + max((rows[source] for source in step.sources if source >= 0), default=-1))
        free = [source for source in step.sources if source not in continued]
        first = free[0] if free else None
        if first is None:
            columns.append(max(columns, default=-1) + 1)
        else:
            continued.add(first)
            columns.append(0 if first < 0 else columns[first])
    return list(zip(rows, columns, strict=True)), max(columns) + 1


@dataclass
class _Canvas:
    """Shapes of a picture that grows downwards, around a middle line at x = 0."""

    shapes: list[str]
    y: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def node(self, x: float, y: float, step: Step) -> None:
        """A layer, or a join of branches, around (x, y)."""
        what, size = _text(step)
        if step.module is None or what == "+":
            wide = _join_width(what)
            self.shapes.append(
                f'<rect class="join" x="{x - wide / 2}" y="{y - ROUND / 2}" width="{wide}" height="{ROUND}" '
                f'rx="{ROUND / 2}"/>'
                f'<text x="{x}" y="{y + 4}" text-anchor="middle">{escape(what)}</text>'
            )
        else:
            kind = "conv" if "conv" in what else "pool" if "pool" in what or "subsample" in what else "other"
            self.shapes.append(
                f'<rect class="{kind}" x="{x - WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" '
                f'rx="5">'
                f"<title>{escape(step.name)}</title></rect>"
                f'<text x="{x - WIDTH / 2 + 8}" y="{y + 4}">{escape(what)}</text>'
                f'<text class="size" x="{x + WIDTH / 2 - 8}" y="{y + 4}" text-anchor="end">{size}</text>'
            )
        self.left, self.right = min(self.left, x - WIDTH / 2), max(self.right, x + WIDTH / 2)

    def line(self, *points: tuple[float, float]) -> None:
        """A connection with an arrow at its end."""
        text = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.shapes.append(f'<polyline class="line" points="{text}" marker-end="url(#arrow)"/>')
        self.left = min(self.left, *(x for x, _ in points))
        self.right = max(self.right, *(x for x, _ in points))


def _join_width(label: str) -> int:
    return ROUND if len(label) == 1 else WIDE_ROUND


def _draw(canvas: _Canvas, block: _Block) -> None:
    """Draw a block below what is there, connected with it."""
    places, width = _layout(block)
    top = canvas.y + PITCH_Y + (GAP if len(block.steps) > 1 else 0)
    begin = len(canvas.shapes)
    joins = [step.module is None or _text(step)[0] == "+" for step in block.steps]
    middle = (width - 1) / 2
    xs = [
        0.0 if join and position == len(places) - 1 else (column - middle) * PITCH_X
        for position, (join, (_, column)) in enumerate(zip(joins, places, strict=True))
    ]
    ys = [top + row * PITCH_Y for row, _ in places]
    lanes = [(width / 2) * PITCH_X, (width / 2) * PITCH_X]  # to the right and to the left of all columns
    taken = {(row, column) for row, column in places}
    for position, step in enumerate(block.steps):
        half = (ROUND if joins[position] else HEIGHT) / 2
        end = (_join_width(_text(step)[0]) if joins[position] else WIDTH) / 2
        x, y, (row, column) = xs[position], ys[position], places[position]
        for source in step.sources:
            from_x, from_row, from_column = (0.0, -1, None) if source < 0 else (xs[source], *places[source])
            from_y = canvas.y + HEIGHT / 2 if source < 0 else ys[source] + (ROUND if joins[source] else HEIGHT) / 2
            between = range(from_row + 1, row)
            if not between:
                bend = y - half - GAP / 2
                canvas.line((from_x, from_y), (from_x, bend), (x, bend), (x, y - half))
            elif from_column is not None and not any((each, from_column) in taken for each in between):
                canvas.line((from_x, from_y), (from_x, y), (x + (end if from_x > x else -end), y))
            elif not any((each, column) in taken for each in between):
                bend = from_y + GAP / 2
                canvas.line((from_x, from_y), (from_x, bend), (x, bend), (x, y - half))
            else:  # beside all columns
                is_left = width > 1 and from_column == 0
                lanes[is_left] += LANE
                beside, bend = -lanes[1] if is_left else lanes[0], from_y + GAP / 2
                canvas.line(
                    (from_x, from_y), (from_x, bend), (beside, bend), (beside, y), (x - end if is_left else x + end, y)
                )
        canvas.node(x, y, step)
    canvas.y = max(ys) + ((ROUND - HEIGHT) / 2 if joins[-1] else 0)
    if len(block.steps) > 1:
        _frame(canvas, begin, (-lanes[1] - 8, top), (lanes[0] + 8, max(ys)), block.count)


def _frame(canvas: _Canvas, begin: int, first: tuple[float, float], last: tuple[float, float], count: int) -> None:
    """A frame around a block, behind its shapes, and how often it follows itself."""
    (left, top), (right, bottom) = first, last
    canvas.shapes.insert(
        begin,
        f'<rect class="block" x="{left:g}" y="{top - HEIGHT / 2 - 4:g}" width="{right - left:g}" '
        f'height="{bottom - top + HEIGHT + 8:g}" rx="8"/>',
    )
    canvas.left, canvas.right = min(canvas.left, left), max(canvas.right, right)
    if count > 1:
        canvas.shapes.append(f'<text x="{right + 8:g}" y="{(top + bottom) / 2 + 4:g}">× {count}</text>')
        canvas.right = max(canvas.right, right + 44)


def _document(name: str, shape: tuple[int, int, int], blocks: list[_Block]) -> str:
    channels, height, width = shape
    canvas = _Canvas([])
    canvas.node(0, 0, Step("input", "input", nn.Identity(), (), (1, channels, height, width)))
    for block in blocks:
        _draw(canvas, block)
    margin = 12
    left, right = canvas.left - margin, canvas.right + margin
    low, high = -HEIGHT / 2 - margin, canvas.y + HEIGHT / 2 + margin
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{right - left:g}" height="{high - low:g}" '
        f'viewBox="{left:g} {low:g} {right - left:g} {high - low:g}">\n<title>{escape(name)}</title>\n'
        f"<style>{_STYLE}\n</style>\n"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8" class="line"/></marker></defs>\n' + "\n".join(canvas.shapes) + "\n</svg>\n"
    )
