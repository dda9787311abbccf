"""Preprocessing as a part of an ONNX graph: the steps of `Preprocess.conform` and `normalize`, in their order.

PyTorch resizes uint8 images by a filter that is anti-aliased when it shrinks and leaves out what lies outside the
image; ONNX's Resize does the same with `antialias` and `exclude_outside`, up to one level in the rounding, rarely two.
Without `exclude_outside`, pixels at the edges would be up to 23 of 255 off.
"""

import numpy as np
from onnx import ModelProto, numpy_helper, parser

from striate.inference.onnx_file import Input
from striate.preprocess import Preprocess

OPSET = 18  # the first whose Resize is anti-aliased
IR = 8  # the version of the file's format that came with it
LUMA = (19595, 38470, 7471)  # ITU-R 601 in 65536ths, as in Pillow; their sums are exact in float32

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
        mode = {"bilinear": "linear", "bicubic": "cubic"}[preprocess.interpolation]
        reduce = "ReduceMax" if preprocess.fit == "crop" else "ReduceMin"
        steps = _GREY if channels == 1 else _COLOUR
        steps += _STRETCHED if preprocess.fit == "stretch" else _SCALED.format(reduce=reduce)
        steps += _RESIZED.format(mode=mode) + {"crop": _CUT, "letterbox": _PADDED, "stretch": ""}[preprocess.fit]
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
        "scale": (1 / (255 * std)).astype(np.float32),
        "offset": (-mean / std).astype(np.float32),
    }
