"""Which convolutions are sooner done with fewer products: what the bounds in `training/convolutions.py` come from.

    python -m benchmarks.convolutions

The contract: the 3×3 convolutions of fashion_cnn, quicknet_m, quicknet_l and resnet18 with its small stem, on random
maps in channels-last layout, by oneDNN and by `training/winograd.py`, in turns, the transformation of the filters
counted. Told is the time that fewer products take as a share of oneDNN's, the median of the turns, for the maps, for
their gradient and for the gradient of the filters. Below 1 is a gain; in brackets stands what training doesn't use.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.tables import number, table
from striate.acceleration.convolutions import backward, feature_maps_pay, filters_pay
from striate.acceleration.winograd import convolution, filter_gradient, transformed
from striate.hardware import cores, keep_memory

SHAPES = (
    # maps in, maps out, side
    *((64, 128, 14), (128, 128, 14), (128, 256, 7), (256, 256, 7)),  # fashion_cnn
    *((18, 96, 14), (96, 96, 7), (96, 192, 7), (192, 192, 3)),  # quicknet_m
    *((18, 48, 14), (48, 48, 14), (48, 96, 14)),  # quicknet_l, beside those of quicknet_m
    *((64, 64, 28), (512, 512, 4)),  # resnet18, beside fashion_cnn's
)
BATCHES = (32, 128)
TURNS = 9

Computed = Callable[[], Tensor]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(cores())
    keep_memory()
    rows = [row(batch, *shape) for shape in SHAPES for batch in BATCHES]
    header = ["maps in", "out", "size", "batch", "maps", "their gradient", "gradient of the filters"]
    print(table(f"Fewer products, {cores()} threads: time as a share of oneDNN's", header, rows))


def row(batch: int, inputs: int, outputs: int, side: int) -> list[str]:
    """What the table says of a convolution."""
    x, gradient = (_last(torch.randn(batch, maps, side, side)) for maps in (inputs, outputs))
    weight = _last(torch.randn(outputs, inputs, 3, 3))
    maps = share(
        lambda: torch.conv2d(x, weight, padding=1),
        lambda: convolution(x, transformed(weight), None),
    )
    their_gradient = share(
        lambda: backward(gradient, x, weight, (True, False, False))[0],
        lambda: convolution(gradient, transformed(weight.flip(2, 3).transpose(0, 1)), None),
    )
    filters = share(
        lambda: backward(gradient, x, weight, (False, True, False))[1],
        lambda: filter_gradient(x, gradient),
    )
    used = filters_pay(x, weight) and feature_maps_pay(x, weight)
    told = [_told(maps, used), _told(their_gradient, used), _told(filters, filters_pay(x, weight))]
    return [str(inputs), str(outputs), f"{side}×{side}", str(batch), *told]


def share(plain: Computed, fewer: Computed) -> float:
    """The time of one as a share of the other's."""
    plain(), fewer()
    return statistics.median(seconds(fewer) / seconds(plain) for _ in range(TURNS))


def seconds(compute: Computed) -> float:
    """What one computation takes."""
    began = time.perf_counter()
    compute()
    return time.perf_counter() - began


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _told(value: float, used: bool) -> str:
    return number(value) if used else f"({number(value)})"


if __name__ == "__main__":
    main()
