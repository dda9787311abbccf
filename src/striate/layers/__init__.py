"""Layers that PyTorch lacks or defines differently, one purpose a file."""

from striate.layers.blocks import (
    Add,
    Inception,
    InvertedResidual,
    PaddedShortcut,
    ScaledResidual,
    SqueezeExcitation,
    StochasticDepth,
    conv_norm,
    conv_relu,
)
from striate.layers.blur import DEFAULT_FILTER, FILTERS, BlurPool2d, BlurredConv2d, MaxBlurPool2d
from striate.layers.convolutions import PixelLinear, SameConv2d
from striate.layers.lenet import (
    LENET5_C3_TABLE,
    PartialConv2d,
    RBFOutput,
    ScaledTanh,
    Subsampling2d,
    digit_prototypes,
    fan_in_uniform_,
)
from striate.layers.normalization import LayerNorm2d, LocalResponseNorm, WhiteningConv2d
from striate.layers.pooling import (
    AvgPool2d,
    DepthwiseAvgPool2d,
    DepthwiseMaxPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
)

__all__ = [
    "DEFAULT_FILTER",
    "FILTERS",
    "LENET5_C3_TABLE",
    "Add",
    "AvgPool2d",
    "BlurPool2d",
    "BlurredConv2d",
    "DepthwiseAvgPool2d",
    "DepthwiseMaxPool2d",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Inception",
    "InvertedResidual",
    "LayerNorm2d",
    "LocalResponseNorm",
    "MaxBlurPool2d",
    "MaxPool2d",
    "PaddedShortcut",
    "PartialConv2d",
    "PixelLinear",
    "RBFOutput",
    "SameConv2d",
    "ScaledResidual",
    "ScaledTanh",
    "SqueezeExcitation",
    "StochasticDepth",
    "Subsampling2d",
    "WhiteningConv2d",
    "conv_norm",
    "conv_relu",
    "digit_prototypes",
    "fan_in_uniform_",
]
