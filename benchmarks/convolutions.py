"""Convolutions against oneDNN's: the measurements behind what `acceleration/training_layers.py` replaces.

    python -m benchmarks.convolutions [winograd | depthwise | small-maps | steps]

Winograd: the 3×3 convolutions of fashion_cnn, quicknet_m, quicknet_l and resnet18 with its small stem, on random
feature maps in channels-last layout, by oneDNN and by `acceleration/winograd.py` alternately, the transformation of the
filters included. Reported is Winograd's time as a share of oneDNN's, the median of the rounds, for the output, the
gradient of the input and the gradient of the filters. Below 1 is a gain; brackets mark what training doesn't use.

Depthwise: those of EfficientNet-Lite0 that `acceleration/depthwise.py` has gradients for, batches of 32, in float32 and
bfloat16; reported are milliseconds by oneDNN and by ours, alternately.

Small maps: the filters' gradient in bfloat16 by oneDNN and as one product, see `acceleration/small_maps.py`, likewise;
brackets mark what training doesn't use on this processor.

Steps: the gradients of networks by PyTorch's layers and by what training replaces, likewise; no optimiser.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.tables import number, table
from striate.acceleration import depthwise, small_maps
from striate.acceleration.convolutions import feature_maps_pay, filters_pay
from striate.acceleration.replacing import pytorch_gradients
from striate.acceleration.training_layers import TrainingLayers
from striate.acceleration.winograd import convolution, filter_gradient, transformed
from striate.hardware import cores, keep_memory
from striate.models import create

SHAPES = (
    # input channels, output channels, side
    *((64, 128, 14), (128, 128, 14), (128, 256, 7), (256, 256, 7)),  # fashion_cnn
    *((18, 96, 14), (96, 96, 7), (96, 192, 7), (192, 192, 3)),  # quicknet_m
    *((18, 48, 14), (48, 48, 14), (48, 96, 14)),  # quicknet_l, besides those of quicknet_m
    *((64, 64, 28), (512, 512, 4)),  # resnet18, besides fashion_cnn's
)
BATCHES = (32, 128)
TURNS = 9
DEPTHWISE = (  # channels, side, window, stride
    *((96, 112, 3, 2), (144, 56, 5, 2), (240, 28, 5, 1), (240, 28, 3, 2)),
    *((672, 14, 5, 1), (672, 14, 5, 2), (1152, 7, 5, 1)),
)
SMALL = (  # input channels, output channels, side
    *((128, 128, 3), (192, 192, 3)),  # quicknet_s, quicknet_m and quicknet_l
    *((96, 192, 7), (96, 96, 7)),  # quicknet_l
    *((512, 512, 4), (256, 256, 7)),  # resnet18 with its small stem
    (512, 512, 7),  # resnet50 at 224 pixels
)

STEPS = (  # network, images of its size, and numbers
    *(("fashion_cnn", 28, 1, "float32"), ("lenet5_modern", 28, 1, "float32")),
    *(("quicknet_s", 28, 1, "bfloat16"), ("quicknet_l", 28, 1, "bfloat16")),
    ("resnet18:stem=small", 32, 3, "bfloat16"),
)

Computed = Callable[[], object]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.convolutions")
    parser.add_argument("kind", nargs="?", choices=KINDS)
    kind = parser.parse_args().kind
    torch.set_num_threads(cores())
    keep_memory()
    for each in KINDS if kind is None else (kind,):
        print(KINDS[each]())


def of_winograd() -> str:
    """Measure Winograd's convolutions; return their table."""
    rows = [row(batch, *shape) for shape in SHAPES for batch in BATCHES]
    header = ["input channels", "output", "size", "batch", "forward", "gradient of the input", "of the filters"]
    return table(f"Winograd convolution, {cores()} threads: time as a share of oneDNN's", header, rows)


def of_depthwise() -> str:
    """Measure depthwise convolutions; return their table."""
    rows = [depthwise_row(dtype, *shape) for shape in DEPTHWISE for dtype in (torch.float32, torch.bfloat16)]
    header = ["channels", "size", "window", "stride", "numbers", "gradient of the input", "of the filters"]
    return table(f"Gradients of depthwise convolutions, {cores()} threads: ms by oneDNN, by ours", header, rows)


def of_small_maps() -> str:
    """Measure filters' gradients over small maps; return their table."""
    rows = [small_row(batch, *shape) for shape in SMALL for batch in BATCHES]
    header = ["input channels", "output", "size", "batch", "gradient of the filters"]
    return table(f"Gradients of 3×3 filters in bfloat16, {cores()} threads: ms by oneDNN, by ours", header, rows)


def of_steps() -> str:
    """Measure gradients of networks; return their table."""
    rows = [step_row(batch, *network) for network in STEPS for batch in BATCHES]
    header = ["network", "numbers", "batch", "gradients"]
    return table(f"Gradients of networks, {cores()} threads: ms by PyTorch's layers, by ours", header, rows)


KINDS: dict[str, Callable[[], str]] = {
    "winograd": of_winograd,
    "depthwise": of_depthwise,
    "small-maps": of_small_maps,
    "steps": of_steps,
}


def row(batch: int, inputs: int, outputs: int, side: int) -> list[str]:
    """Measure a convolution; return its row."""
    x, gradient = (_last(torch.randn(batch, channels, side, side)) for channels in (inputs, outputs))
    weight = _last(torch.randn(outputs, inputs, 3, 3))
    forward = share(
        lambda: torch.conv2d(x, weight, padding=1),
        lambda: convolution(x, transformed(weight), None),
    )
    input_gradient = share(
        lambda: pytorch_gradients(gradient, x, weight, (1, 1), (1, 1), (True, False))[0],
        lambda: convolution(gradient, transformed(weight.flip(2, 3).transpose(0, 1)), None),
    )
    filter_share = share(
        lambda: pytorch_gradients(gradient, x, weight, (1, 1), (1, 1), (False, True))[1],
        lambda: filter_gradient(x, gradient),
    )
    used = filters_pay(x, weight) and feature_maps_pay(x, weight)
    cells = [_cell(forward, used), _cell(input_gradient, used), _cell(filter_share, filters_pay(x, weight))]
    return [str(inputs), str(outputs), f"{side}×{side}", str(batch), *cells]


def depthwise_row(dtype: torch.dtype, channels: int, side: int, window: int, stride: int) -> list[str]:
    """Measure a depthwise convolution; return its row."""
    x = _last(torch.randn(32, channels, side, side).to(dtype))
    weight = torch.randn(channels, 1, window, window).to(dtype)
    steps, border = (stride, stride), (window // 2, window // 2)
    gradient = torch.randn_like(torch.conv2d(x, weight, None, steps, border, groups=channels))

    def own(wanted: tuple[bool, bool]) -> Computed:
        return lambda: pytorch_gradients(gradient, x, weight, steps, border, wanted)[0]

    cells = ["–", "–"]
    if depthwise.input_pays(dtype, steps):
        cells[0] = _both(own((True, False)), lambda: depthwise.input_gradient(gradient, x, weight, border))
    if depthwise.filters_pay(weight, dtype, steps):
        cells[1] = _both(own((False, True)), lambda: depthwise.filter_gradient(gradient, x, weight, steps, border))
    name = str(dtype).partition(".")[2]
    return [str(channels), f"{side}×{side}", f"{window}×{window}", str(stride), name, *cells]


def small_row(batch: int, inputs: int, outputs: int, side: int) -> list[str]:
    """Measure the gradient of filters over small maps; return its row."""
    x, gradient = (_last(torch.randn(batch, channels, side, side).bfloat16()) for channels in (inputs, outputs))
    weight = _last(torch.randn(outputs, inputs, 3, 3).bfloat16())
    times = _both(
        lambda: pytorch_gradients(gradient, x, weight, (1, 1), (1, 1), (False, True))[1],
        lambda: small_maps.filter_gradient(gradient, x),
    )
    used = small_maps.pays(x, weight)
    return [str(inputs), str(outputs), f"{side}×{side}", str(batch), times if used else f"({times})"]


def step_row(batch: int, name: str, side: int, channels: int, precision: str) -> list[str]:
    """Measure the gradients of a network; return their row."""
    x, labels = _last(torch.randn(batch, channels, side, side)), torch.arange(batch) % 10
    model = create(name, classes=10, channels=channels, image_size=side, seed=0).train()
    model.to(memory_format=torch.channels_last)
    layers = TrainingLayers(model, [], x.device, precision)

    def gradients(context: AbstractContextManager[object]) -> None:
        model.zero_grad(set_to_none=True)
        with context, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            F.cross_entropy(model(x), labels).backward()

    times = _both(lambda: gradients(nullcontext()), lambda: gradients(layers))
    return [f"`{name}`", precision, str(batch), times if layers.replacements else f"({times})"]


def _both(plain: Computed, other: Computed) -> str:
    """Milliseconds of both, medians of the rounds."""
    plain(), other()
    times = [(seconds(plain), seconds(other)) for _ in range(TURNS)]
    return ", ".join(number(1000 * statistics.median(each)) for each in zip(*times, strict=True))


def share(plain: Computed, fewer: Computed) -> float:
    """Time of `fewer` as a share of the time of `plain`, the median of the rounds."""
    plain(), fewer()
    return statistics.median(seconds(fewer) / seconds(plain) for _ in range(TURNS))


def seconds(compute: Computed) -> float:
    """Time one computation."""
    began = time.perf_counter()
    compute()
    return time.perf_counter() - began


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _cell(value: float, used: bool) -> str:
    return number(value) if used else f"({number(value)})"


if __name__ == "__main__":
    main()
