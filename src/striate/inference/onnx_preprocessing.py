"""Preprocessing as a part of an ONNX graph: the steps of `Preprocess.conform` and `normalize`, in their order.

PyTorch resizes uint8 images by a filter that is anti-aliased when it shrinks and leaves out what lies outside the
image; ONNX's Resize does the same with `antialias` and `exclude_outside`, up to one level in the rounding, rarely two.
Without `exclude_outside`, pixels at the edges would be up to 23 of 255 off. OpenVINO ignores `antialias`: for it the
graph computes the filter's weights, and resizes columns, then rows, by a matrix product each.
"""

import numpy as np
from onnx import ModelProto, numpy_helper, parser

from striate.inference.exported_file import Input
from striate.preprocess import Preprocess

OPSET = 18  # the first whose Resize is anti-aliased
IR = 8  # the version of the file's format that came with it
LUMA = (19595, 38470, 7471)  # ITU-R 601 in 65536ths, as in Pillow; their sums are exact in float32

_NUMBERS = {
    "naught": 0, "middle": 0.5, "unit": 1, "double": 2, "four": 4, "minus_half": -0.5, "three_halves": 1.5,
    "five_halves": 2.5, "full_level": 255,
}  # fmt: skip

# A grey picture is three equal channels, whose luma is the grey value itself.
_GREY = """
colour = Expand(image, three)
colour_values = Cast<to=1>(colour)
weighted = MatMul(colour_values, luma)
raised = Add(weighted, half)
shifted = Div(raised, full)
luma_values = Floor(shifted)
channels = Cast<to=2>(luma_values)
planes = Transpose<perm=[0,3,1,2]>(channels)"""

_COLOUR = """
channels = Expand(image, three)
planes = Transpose<perm=[0,3,1,2]>(channels)"""

# `Preprocess.scaled`, in float64 as there; a picture that has the network's size stays as it is.
_SCALED = """
size = Shape<start=2,end=4>(planes)
size_double = Cast<to=11>(size)
ratios = Div(wanted, size_double)
ratio = {reduce}<keepdims=1>(ratios)
exact = Mul(size_double, ratio)
nearest = Round(exact)
whole = Cast<to=7>(nearest)
at_least_one = Max(whole, one)
same = Equal(size, target)
same_bytes = Cast<to=6>(same)
both_same = ReduceMin<keepdims=1>(same_bytes)
fits = Cast<to=9>(both_same)
scaled = Where(fits, target, at_least_one)"""

_STRETCHED = """
scaled = Identity(target)"""

_RESIZED = """
count = Shape<start=0,end=2>(planes)
full_size = Concat<axis=0>(count, scaled)
resized = Resize<mode="{mode}",antialias=1,exclude_outside=1,cubic_coeff_a=-0.5>(planes, , , full_size)"""

# For a side, {name}: pixel i of the new side lies at (i + 1/2) ratio of the old one, among its pixels j + 1/2.
_WEIGHTS = """
{name}_from = Shape<start={axis},end={next}>(planes)
{name}_to = Slice(scaled, {name}_index, {name}_index_end)
{name}_from_float = Cast<to=1>({name}_from)
{name}_to_float = Cast<to=1>({name}_to)
{name}_ratio = Div({name}_from_float, {name}_to_float)
{name}_from_scalar = Squeeze({name}_from)
{name}_to_scalar = Squeeze({name}_to)
{name}_old_whole = Range(zero, {name}_from_scalar, step)
{name}_new_whole = Range(zero, {name}_to_scalar, step)
{name}_old_float = Cast<to=1>({name}_old_whole)
{name}_new_float = Cast<to=1>({name}_new_whole)
{name}_old = Add({name}_old_float, middle)
{name}_new_middle = Add({name}_new_float, middle)
{name}_new_flat = Mul({name}_new_middle, {name}_ratio)
{name}_new = Unsqueeze({name}_new_flat, one)
{name}_apart = Sub({name}_old, {name}_new)
{name}_far = Abs({name}_apart)
{name}_wide = Max({name}_ratio, unit)
{name}_x = Div({name}_far, {name}_wide)"""

_LINEAR = """
{name}_falling = Sub(unit, {name}_x)
{name}_weights = Max({name}_falling, naught)"""

# Keys 1981, with a = −1/2: (a + 2) x³ − (a + 3) x² + 1 up to 1, and a (x³ − 5 x² + 8 x − 4) up to 2.
_CUBIC = """
{name}_x2 = Mul({name}_x, {name}_x)
{name}_x3 = Mul({name}_x2, {name}_x)
{name}_near_3 = Mul({name}_x3, three_halves)
{name}_near_2 = Mul({name}_x2, five_halves)
{name}_near_32 = Sub({name}_near_3, {name}_near_2)
{name}_near = Add({name}_near_32, unit)
{name}_off_3 = Mul({name}_x3, minus_half)
{name}_off_32 = Add({name}_off_3, {name}_near_2)
{name}_off_1 = Mul({name}_x, four)
{name}_off_321 = Sub({name}_off_32, {name}_off_1)
{name}_off = Add({name}_off_321, double)
{name}_in_1 = Less({name}_x, unit)
{name}_in_2 = Less({name}_x, double)
{name}_outer = Where({name}_in_2, {name}_off, naught)
{name}_weights = Where({name}_in_1, {name}_near, {name}_outer)"""

_SHARES = """
{name}_sums = ReduceSum<keepdims=1>({name}_weights, one)
{name}_shares = Div({name}_weights, {name}_sums)"""

_PRODUCTS = """
values_old = Cast<to=1>(planes)
wide_turned = Transpose<perm=[1,0]>(wide_shares)
narrowed = MatMul(values_old, wide_turned)
narrowed_raised = Add(narrowed, middle)
narrowed_whole = Floor(narrowed_raised)
narrowed_clipped = Clip(narrowed_whole, naught, full_level)
lowered = MatMul(high_shares, narrowed_clipped)
lowered_raised = Add(lowered, middle)
lowered_whole = Floor(lowered_raised)
resized_float = Clip(lowered_whole, naught, full_level)
resized = Cast<to=2>(resized_float)"""

_CUT = """
surplus = Sub(scaled, target)
surplus_up = Add(surplus, one)
start = Div(surplus_up, two)
stop = Add(start, target)
framed = Slice(resized, start, stop, axes)"""

_PADDED = """
missing = Sub(target, scaled)
before = Div(missing, two)
after = Sub(missing, before)
pads = Concat<axis=0>(zeros, before, zeros, after)
framed = Pad(resized, pads)"""

_NORMALIZED = """
values = Cast<to=1>({pixels})
scaled_values = Mul(values, scale)
input = Add(scaled_values, offset)"""


def preprocessing(preprocess: Preprocess, kind: Input, by_products: bool = False) -> ModelProto:
    """Make the part of the graph from `image`, uint8 (N, H, W, C), to `input`, float32 (N, channels, height, width).

    Args:
        preprocess: what is done.
        kind: "image" for pictures of any height and width, with 1 or 3 channels; "tensor" for those of the network's
            own size and channels, which are only normalised.
        by_products: whether images are resized by matrix products, for programs that ignore `antialias`.
    """
    height, width, channels = preprocess.height, preprocess.width, preprocess.channels
    if kind == "tensor":
        steps = "\nplanes = Transpose<perm=[0,3,1,2]>(image)" + _NORMALIZED.format(pixels="planes")
        shape = f"N,{height},{width},{channels}"
    else:
        reduce = "ReduceMax" if preprocess.fit == "crop" else "ReduceMin"
        steps = _GREY if channels == 1 else _COLOUR
        steps += _STRETCHED if preprocess.fit == "stretch" else _SCALED.format(reduce=reduce)
        steps += (
            _resizing(preprocess, by_products) + {"crop": _CUT, "letterbox": _PADDED, "stretch": ""}[preprocess.fit]
        )
        steps += _NORMALIZED.format(pixels="resized" if preprocess.fit == "stretch" else "framed")
        shape = "N,H,W,C"
    part: ModelProto = parser.parse_model(
        f'<ir_version: {IR}, opset_import: ["": {OPSET}]> preprocessing (uint8[{shape}] image) '
        f"=> (float[N,{channels},{height},{width}] input) {{{steps}\n}}"
    )
    for name, value in _constants(preprocess).items():
        if any(name in node.input for node in part.graph.node):
            part.graph.initializer.append(numpy_helper.from_array(value, name))
    return part


def _resizing(preprocess: Preprocess, by_products: bool) -> str:
    if not by_products:
        return _RESIZED.format(mode={"bilinear": "linear", "bicubic": "cubic"}[preprocess.interpolation])
    side = _WEIGHTS + {"bilinear": _LINEAR, "bicubic": _CUBIC}[preprocess.interpolation] + _SHARES
    sides = [side.format(name=name, axis=axis, next=axis + 1) for name, axis in (("high", 2), ("wide", 3))]
    return "".join(sides) + _PRODUCTS


def _constants(preprocess: Preprocess) -> dict[str, np.ndarray]:
    size = np.array([preprocess.height, preprocess.width])
    mean, std = (np.array(each).reshape(1, -1, 1, 1) for each in (preprocess.mean, preprocess.std))
    return {
        "three": np.array([1, 1, 1, 3]),
        "luma": np.array(LUMA, np.float32)[:, None],
        "half": np.array(2**15, np.float32),
        "full": np.array(2**16, np.float32),
        "target": size,
        "wanted": size / preprocess.crop,
        "zeros": np.array([0, 0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "axes": np.array([2, 3]),
        "zero": np.array(0),
        "step": np.array(1),
        "high_index": np.array([0]),
        "high_index_end": np.array([1]),
        "wide_index": np.array([1]),
        "wide_index_end": np.array([2]),
        **{name: np.array(value, np.float32) for name, value in _NUMBERS.items()},
        "scale": (1 / (255 * std)).astype(np.float32),
        "offset": (-mean / std).astype(np.float32),
    }
