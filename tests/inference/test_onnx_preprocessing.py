"""Preprocessing inside a file gives the pixels of `Preprocess`."""

import itertools
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from striate.inference.onnx_preprocessing import preprocessing
from striate.inference.runtimes import openvino_core
from striate.preprocess import Preprocess

CASES = list(itertools.product(("crop", "letterbox", "stretch"), ("bilinear", "bicubic"), (1, 3)))


def session(preprocess: Preprocess, kind: str = "image") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(preprocessing(preprocess, kind).SerializeToString(), options)


def asked(preprocess: Preprocess, program: str) -> Callable[[np.ndarray], np.ndarray]:
    """The preprocessing in a program, as a function of pictures."""
    if program == "openvino":
        core, content = openvino_core("a test"), preprocessing(preprocess, "image").SerializeToString()
        exact = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors would compute in bfloat16
        compiled = core.compile_model(core.read_model(content), "CPU", exact)
        return lambda pictures: compiled({"image": pictures})["input"]
    answer = session(preprocess)
    return lambda pictures: answer.run(None, {"image": pictures})[0]


def levels(preprocess: Preprocess, made: np.ndarray) -> np.ndarray:
    """Network input, float (C, H, W), as pixel values (H, W, C)."""
    mean, std = (np.array(each)[:, None, None] for each in (preprocess.mean, preprocess.std))
    return ((made * std + mean) * 255).transpose(1, 2, 0)


@pytest.mark.parametrize("program", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("fit", "interpolation", "channels"), CASES)
def test_the_pixels_are_those_of_preprocess(fit: str, interpolation: str, channels: int, program: str) -> None:
    crop = 0.875 if fit == "crop" else 1.0
    random = np.random.default_rng(0)
    differing = total = 0
    for height, width in ((28, 28), (32, 48)):
        mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
        preprocess = Preprocess(height, width, channels, fit, mean, std, crop, interpolation)
        answer = asked(preprocess, program)
        sizes = [(height, width), (1, 1), (1, 90), (90, 1), *random.integers(1, 150, (20, 2))]
        for high, wide in sizes:
            picture = random.integers(0, 256, (high, wide, random.choice((1, 3))), dtype=np.uint8)
            gap = np.abs(levels(preprocess, answer(picture[None])[0]) - preprocess.conform(picture))
            assert gap.max() < 1.1, (picture.shape, height, width)
            differing, total = differing + int((gap > 0.5).sum()), total + gap.size
    assert differing < (2e-5 if program == "onnxruntime" else 2e-3) * total


@settings(max_examples=30)
@given(arrays(np.uint8, st.tuples(st.just(2), st.just(6), st.just(5), st.sampled_from((1, 3)))))
def test_a_picture_of_the_networks_size_is_only_normalised(pictures: np.ndarray) -> None:
    for channels in (1, 3):
        preprocess = Preprocess(6, 5, channels, "crop", (0.3,) * channels, (0.2,) * channels, crop=0.5)
        (made,) = SESSIONS[channels].run(None, {"image": pictures})
        expected = preprocess.normalize(torch.from_numpy(preprocess.conform_stack(pictures))).numpy()
        np.testing.assert_allclose(made, expected, atol=1e-6)


SESSIONS = {
    channels: session(Preprocess(6, 5, channels, "crop", (0.3,) * channels, (0.2,) * channels, crop=0.5))
    for channels in (1, 3)
}


def test_a_tensor_is_only_normalised_and_has_one_size() -> None:
    preprocess = Preprocess(6, 5, 3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    answer = session(preprocess, "tensor")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    (made,) = answer.run(None, {"image": pixels})
    np.testing.assert_allclose(made, preprocess.normalize(torch.from_numpy(pixels)).numpy(), atol=1e-6)
    assert answer.get_inputs()[0].shape == ["N", 6, 5, 3]
    assert "MatMul" not in {node.op_type for node in preprocessing(preprocess, "tensor").graph.node}
