"""Convolution in NumPy loops, from the definition: weighted sums of the real cells of each window.

Images are (N, C, H, W), weights (outputs, inputs of a group, kernel height, kernel width); the padding is TensorFlow's
"same".
"""

import math

import numpy as np


def same_conv2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: tuple[int, int], groups: int
) -> np.ndarray:
    images, _, height, width = x.shape
    outputs, inputs, tall, wide = weight.shape
    rows, columns = math.ceil(height / stride[0]), math.ceil(width / stride[1])
    above = max((rows - 1) * stride[0] + tall - height, 0) // 2
    left = max((columns - 1) * stride[1] + wide - width, 0) // 2
    made = np.zeros((images, outputs, rows, columns))
    for n, o, i, j in np.ndindex(made.shape):
        made[n, o, i, j] = bias[o]
        for c, k, m in np.ndindex(inputs, tall, wide):
            y, z = i * stride[0] - above + k, j * stride[1] - left + m
            if 0 <= y < height and 0 <= z < width:
                made[n, o, i, j] += weight[o, c, k, m] * x[n, o // (outputs // groups) * inputs + c, y, z]
    return made
