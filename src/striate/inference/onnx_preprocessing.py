"""Preprocessing as a part of an ONNX graph: the steps of `Preprocess.conform` and `normalize`, in their order.

PyTorch resizes uint8 images by a filter that is anti-aliased when it shrinks, columns first, then rows, with weights
rounded to 16 bits and results rounded to levels. The graph computes the same weights, and resizes by a matrix product
for each side: to the level as PyTorch does. ONNX's own Resize is off by one level in a few values of a thousand, in
some programs by 23 at the edges, and OpenVINO ignores its `antialias`.
"""

import math

import numpy as np
from onnx import ModelProto, numpy_helper, parser

from striate.inference.exported_file import Input
from striate.preprocess import Preprocess

OPSET = 18  # the first whose Resize is anti-aliased
IR = 8  # the version of the file's format that came with it
LUMA = (19595, 38470, 7471)  # ITU-R 601 in 65536ths, as in Pillow; their sums are exact in float32

_NUMBERS = {
    "naught": 0, "middle": 0.5, "unit": 1, "double": 2, "four": 4, "minus_half": -0.5, "three_halves": 1.5,
    "five_halves": 2.5, "full_level": 255, "int16_limit": 2**15 - 0.5, "log_2": math.log(2), "most_bits": 21,
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

# For a side, {name}: pixel i of the new side lies at (i + 1/2) ratio of the old one, among its pixels j + 1/2.
_WEIGHTS = """
{name}_from = Shape<start={axis},end={next}>(planes)
{name}_to = Slice(scaled, {name}_index, {name}_index_end)
{name}_from_double = Cast<to=11>({name}_from)
{name}_to_double = Cast<to=11>({name}_to)
{name}_ratio = Div({name}_from_double, {name}_to_double)
{name}_from_scalar = Squeeze({name}_from)
{name}_to_scalar = Squeeze({name}_to)
{name}_old_whole = Range(zero, {name}_from_scalar, step)
{name}_new_whole = Range(zero, {name}_to_scalar, step)
{name}_old_double = Cast<to=11>({name}_old_whole)
{name}_new_double = Cast<to=11>({name}_new_whole)
{name}_old = Add({name}_old_double, middle_64)
{name}_new_middle = Add({name}_new_double, middle_64)
{name}_new_flat = Mul({name}_new_middle, {name}_ratio)
{name}_new = Unsqueeze({name}_new_flat, one)
{name}_apart = Sub({name}_old, {name}_new)
{name}_far = Abs({name}_apart)
{name}_wide = Max({name}_ratio, unit_64)
{name}_x = Div({name}_far, {name}_wide)"""

_LINEAR = """
{name}_falling = Sub(unit_64, {name}_x)
{name}_weights = Max({name}_falling, naught_64)"""

# Keys 1981, with a = −1/2: (a + 2) x³ − (a + 3) x² + 1 up to 1, and a (x³ − 5 x² + 8 x − 4) up to 2.
_CUBIC = """
{name}_x2 = Mul({name}_x, {name}_x)
{name}_x3 = Mul({name}_x2, {name}_x)
{name}_near_3 = Mul({name}_x3, three_halves_64)
{name}_near_2 = Mul({name}_x2, five_halves_64)
{name}_near_32 = Sub({name}_near_3, {name}_near_2)
{name}_near = Add({name}_near_32, unit_64)
{name}_off_3 = Mul({name}_x3, minus_half_64)
{name}_off_32 = Add({name}_off_3, {name}_near_2)
{name}_off_1 = Mul({name}_x, four_64)
{name}_off_321 = Sub({name}_off_32, {name}_off_1)
{name}_off = Add({name}_off_321, double_64)
{name}_in_1 = Less({name}_x, unit_64)
{name}_in_2 = Less({name}_x, double_64)
{name}_outer = Where({name}_in_2, {name}_off, naught_64)
{name}_weights = Where({name}_in_1, {name}_near, {name}_outer)"""

_SHARES = """
{name}_sums = ReduceSum<keepdims=1>({name}_weights, one)
{name}_exact = Div({name}_weights, {name}_sums)
{name}_largest = ReduceMax<keepdims=0>({name}_exact)
{name}_often = Div(int16_limit_64, {name}_largest)
{name}_log = Log({name}_often)
{name}_bits = Div({name}_log, log_2_64)
{name}_bits_up = Ceil({name}_bits)
{name}_bits_all = Sub({name}_bits_up, unit_64)
{name}_bits_used = Min({name}_bits_all, most_bits_64)
{name}_full = Pow(double_64, {name}_bits_used)
{name}_times = Mul({name}_exact, {name}_full)
{name}_sign = Sign({name}_times)
{name}_size = Abs({name}_times)
{name}_size_raised = Add({name}_size, middle_64)
{name}_size_whole = Floor({name}_size_raised)
{name}_shares_double = Mul({name}_sign, {name}_size_whole)
{name}_shares = Cast<to=1>({name}_shares_double)
{name}_scale = Cast<to=1>({name}_full)"""

_PRODUCTS = """
values_old = Cast<to=1>(planes)
wide_turned = Transpose<perm=[1,0]>(wide_rows)
narrowed = MatMul(values_old, wide_turned)
narrowed_levels = Div(narrowed, wide_scale)
narrowed_raised = Add(narrowed_levels, middle)
narrowed_whole = Floor(narrowed_raised)
narrowed_clipped = Clip(narrowed_whole, naught, full_level)
lowered = MatMul(high_rows, narrowed_clipped)
lowered_levels = Div(lowered, high_scale)
lowered_raised = Add(lowered_levels, middle)
lowered_whole = Floor(lowered_raised)
resized_float = Clip(lowered_whole, naught, full_level)
resized = Cast<to=2>(resized_float)"""

# The middle of the scaled picture: only its rows and columns are computed.
_MIDDLE = """
surplus = Sub(scaled, target)
surplus_up = Add(surplus, one)
start = Div(surplus_up, two)
stop = Add(start, target)"""

_CUT = """
{name}_start = Slice(start, {name}_index, {name}_index_end)
{name}_stop = Slice(stop, {name}_index, {name}_index_end)
{name}_rows = Slice({name}_shares, {name}_start, {name}_stop, first_axis)"""

_WHOLE = """
{name}_rows = Identity({name}_shares)"""

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


def preprocessing(preprocess: Preprocess, kind: Input) -> ModelProto:
    """Make the part of the graph from `image`, uint8 (N, H, W, C), to `input`, float32 (N, channels, height, width).

    Args:
        preprocess: what is done.
        kind: "image" for pictures of any height and width, with 1 or 3 channels; "tensor" for those of the network's
            own size and channels, which are only normalised.
    """
    height, width, channels = preprocess.height, preprocess.width, preprocess.channels
    if kind == "tensor":
        steps = "\nplanes = Transpose<perm=[0,3,1,2]>(image)" + _NORMALIZED.format(pixels="planes")
        shape = f"N,{height},{width},{channels}"
    else:
        reduce = "ReduceMax" if preprocess.fit == "crop" else "ReduceMin"
        steps = _GREY if channels == 1 else _COLOUR
        steps += _STRETCHED if preprocess.fit == "stretch" else _SCALED.format(reduce=reduce)
        steps += _resizing(preprocess) + (_PADDED if preprocess.fit == "letterbox" else "")
        steps += _NORMALIZED.format(pixels="framed" if preprocess.fit == "letterbox" else "resized")
        shape = "N,H,W,C"
    part: ModelProto = parser.parse_model(
        f'<ir_version: {IR}, opset_import: ["": {OPSET}]> preprocessing (uint8[{shape}] image) '
        f"=> (float[N,{channels},{height},{width}] input) {{{steps}\n}}"
    )
    for name, value in _constants(preprocess).items():
        if any(name in node.input for node in part.graph.node):
            part.graph.initializer.append(numpy_helper.from_array(value, name))
    return part


def _resizing(preprocess: Preprocess) -> str:
    side = _WEIGHTS + {"bilinear": _LINEAR, "bicubic": _CUBIC}[preprocess.interpolation] + _SHARES
    side += _CUT if preprocess.fit == "crop" else _WHOLE
    sides = [side.format(name=name, axis=axis, next=axis + 1) for name, axis in (("high", 2), ("wide", 3))]
    return (_MIDDLE if preprocess.fit == "crop" else "") + "".join(sides) + _PRODUCTS


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
        "first_axis": np.array([0]),
        "zero": np.array(0),
        "step": np.array(1),
        "high_index": np.array([0]),
        "high_index_end": np.array([1]),
        "wide_index": np.array([1]),
        "wide_index_end": np.array([2]),
        **{name: np.array(value, np.float32) for name, value in _NUMBERS.items()},
        **{f"{name}_64": np.array(value, np.float64) for name, value in _NUMBERS.items()},
        "scale": (1 / (255 * std)).astype(np.float32),
        "offset": (-mean / std).astype(np.float32),
    }
