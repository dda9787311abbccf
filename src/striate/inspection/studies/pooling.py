"""Experiment on pooling and shifts: how much of the output stays when the picture moves, and how much is lost.

The example is the textbook's (Géron, Hands-On Machine Learning, chapter 14): a figure, moved to the right by one pixel
and by two, before and after max pooling.
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from striate import layers
from striate.inspection.invariances.layers import shifted_map
from striate.units import aligned, percent

FIGURE = """
........
........
..#.....
..#.....
..#.....
..###...
........
........
"""
MOVES = range(-2, 4)  # to the right; further, the figure would leave the picture
DROPS = range(-2, 3)  # down
SIDE, RADIUS = 32, 9  # of the mask that is segmented: a ring, in pixels
FURTHEST = 8  # pixels that the mask is moved

POOLS: tuple[tuple[str, nn.Module], ...] = (
    ("max 2×2", layers.MaxPool2d(2)),
    ("average 2×2", layers.AvgPool2d(2)),
    ("max 3×3/2, overlapping", layers.MaxPool2d(3, stride=2)),
    ("max 3×3/2, same", layers.MaxPool2d(3, stride=2, padding="same")),
    ("max 2×2, blurred", layers.MaxBlurPool2d(1, 2)),
    ("blur alone", layers.BlurPool2d(1)),
    ("global max", layers.GlobalMaxPool2d(keepdim=True)),
    ("global average", layers.GlobalAvgPool2d(keepdim=True)),
)


@dataclass(frozen=True)
class PoolingEffect:
    """Effect of one kind of pooling. Shares in [0, 1].

    Args:
        name: of the kind of pooling.
        output: height and width of its output for the 8×8 figure.
        destroyed: the share of numbers that are lost.
        equal: for every move of the figure to the right, without one down, the share of equal outputs.
        equal_all: the same, mean over all moves, right and down, but none.
        aliasing: the distance of the moved figure's output from the output moved along, around its edge and by half
            cells where it must, as a share of its norm; mean over all moves but none, on the figure with a margin of 4
            pixels. `None` where pooling leaves no place.
        overlap: for every move of a mask to the right, how far its pooled form, brought back to pixels, moves along:
            intersection over union; `None` where pooling leaves no place.
    """

    name: str
    output: tuple[int, int]
    destroyed: float
    equal: dict[int, float]
    equal_all: float
    aliasing: float | None
    overlap: dict[int, float] | None

    @property
    def mean_overlap(self) -> float | None:
        """Mean overlap over all moves but 0."""
        moved = [value for by, value in (self.overlap or {}).items() if by]
        return sum(moved) / len(moved) if moved else None


@dataclass(frozen=True)
class PoolingStudy:
    """Results of `pooling_effects`.

    Args:
        pictures: the figure A, and B and C, moved to the right by one pixel and by two: float32 (3, 8, 8) of 0 and 1.
        pooled: their 2×2 max poolings, float32 (3, 4, 4).
        same_as_a: the share of each one's pooled values that equal those of A.
        effects: one for each kind of pooling.
    """

    pictures: Tensor
    pooled: Tensor
    same_as_a: tuple[float, float, float]
    effects: tuple[PoolingEffect, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pictures": self.pictures.tolist(),
            "pooled": self.pooled.tolist(),
            "same_as_a": list(self.same_as_a),
            "effects": [asdict(effect) for effect in self.effects],
        }

    def text(self) -> str:
        """The pictures and a table, for a terminal."""
        return pooling_text(self)


def pooling_effects() -> PoolingStudy:
    """Move a figure and a mask by every number of pixels, and measure what each kind of pooling keeps."""
    lines = FIGURE.split()
    figure = torch.tensor([[float(cell == "#") for cell in line] for line in lines])
    pictures = torch.stack([figure.roll(by, 1) for by in range(3)])
    pooled = layers.MaxPool2d(2)(pictures[:, None])[:, 0]
    same = [float((each == pooled[0]).double().mean()) for each in pooled]
    return PoolingStudy(pictures, pooled, (same[0], same[1], same[2]), tuple(_effect(*pool, figure) for pool in POOLS))


def ring() -> Tensor:
    """A ring-shaped mask for segmentation: float32 (1, 1, 32, 32) of 0 and 1."""
    place = torch.arange(SIDE) - (SIDE - FURTHEST - 1) / 2
    distance = (place[None, :].square() + (torch.arange(SIDE)[:, None] - (SIDE - 1) / 2).square()).sqrt()
    return ((distance < RADIUS) & (distance > RADIUS - 4)).float()[None, None]


def _effect(name: str, pool: nn.Module, figure: Tensor) -> PoolingEffect:
    here, equal = pool(figure[None, None]), {}
    for down in DROPS:
        for right in MOVES:
            there = pool(figure.roll((down, right), (0, 1))[None, None])
            # What is not exactly equal in real numbers differs by far more than this.
            equal[down, right] = float(((there - here).abs() < 1e-6).double().mean())
    return PoolingEffect(
        name=name,
        output=(here.shape[2], here.shape[3]),
        destroyed=1 - here.numel() / figure.numel(),
        equal={right: equal[0, right] for right in MOVES},
        equal_all=(sum(equal.values()) - 1) / (len(equal) - 1),
        aliasing=_aliasing(pool, nn.functional.pad(figure, (4, 4, 4, 4))) if here.numel() > 1 else None,
        overlap=_overlap(pool) if here.numel() > 1 else None,
    )


def _aliasing(pool: nn.Module, figure: Tensor) -> float:
    here, errors = pool(figure[None, None]).double(), []
    for by in product(DROPS, MOVES):
        if any(by):
            there = pool(figure.roll(by, (0, 1))[None, None])
            errors.append(float((there - shifted_map(here, torch.tensor([by]).double() / 2)).norm() / here.norm()))
    return sum(errors) / len(errors)


def _overlap(pool: nn.Module) -> dict[int, float]:
    mask = ring()
    found, overlap = segmented(pool, mask), {}
    for by in range(FURTHEST + 1):
        wanted, got = found.roll(by, -1), segmented(pool, mask.roll(by, -1))
        overlap[by] = float((wanted & got).sum() / (wanted | got).sum())
    return overlap


def segmented(pool: nn.Module, mask: Tensor) -> Tensor:
    """The mask through a pooling network: at half the resolution, then every value repeated over its pixels."""
    return nn.functional.interpolate(pool(mask), scale_factor=2) >= 0.5


def pooling_text(study: PoolingStudy) -> str:
    """The pictures, side by side, and what each kind of pooling keeps and destroys."""
    blocks = []
    for stack, words in ((study.pictures, ("A", "B: A moved by 1", "C: A moved by 2")), (study.pooled, None)):
        if words:
            blocks.append("   ".join(word.ljust(16) for word in words).rstrip())
        for row in range(stack.shape[1]):
            cells = ["".join("██" if value else "··" for value in each[row].tolist()) for each in stack]
            blocks.append("   ".join(cell.ljust(16) for cell in cells).rstrip())
        blocks.append("" if words else "max pooling 2×2 of each")
    a, b, c = (percent(share, 0) for share in study.same_as_a)
    blocks.append(f"equal to A's, of 16 values: A {a}, B {b}, C {c}")
    rows = [("pooling", "output", "destroyed", "equal, 1 px", "2 px", "all moves", "aliasing", "IoU, 1 px", "mean IoU")]
    for each in study.effects:
        ious = ("–", "–") if each.overlap is None else (f"{each.overlap[1]:.2f}", f"{each.mean_overlap:.2f}")
        shares = (percent(each.equal[1], 0), percent(each.equal[2], 0), percent(each.equal_all, 1))
        size, aliasing = "×".join(map(str, each.output)), "–" if each.aliasing is None else f"{each.aliasing:.2f}"
        rows.append((each.name, size, percent(each.destroyed, 1), *shares, aliasing, *ious))
    return "\n".join([*blocks, "", aligned(rows, "<" + ">" * 8), "", MEANING])


MEANING = (
    "destroyed: share of the 64 numbers that are lost. equal: share of outputs that the move leaves as they are, by\n"
    "one pixel to the right, by two, mean over all moves in both directions. aliasing: how far the outputs are from\n"
    "moving along, as a share of their size. IoU: a mask, pooled and brought back, against itself moved along.\n"
    "3×3/2: windows of 3×3 at a stride of 2. The blur is Zhang's with 4 taps."
)
