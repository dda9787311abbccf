"""Models of every family export, and the file gives the model's logits."""

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import seeding
from striate.inference.exported_file import FORMAT, Card, ExportedFile
from striate.inference.onnx_graph import exported

pytestmark = pytest.mark.slow

CLASSES = ("ant", "bee", "cat", "dog")
SIZE = 32
# One of each family, as an export takes seconds; of what they don't have in common, each has something.
MODELS = (
    *("lenet5", "fashion_cnn", "quicknet_s", "resnet20", "mobilenet_v3_large"),
    "lenet5:antialias=true",
)


def disturb(module: nn.Module) -> None:
    """Move all weights and running statistics, as training does: fresh networks may give 0 whatever they see."""
    generator = seeding.generator(0, "disturbed")
    for parameter in module.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.1 * torch.randn(buffer.shape, generator=generator)
        elif name.endswith("running_var"):
            buffer *= 0.5 + torch.rand(buffer.shape, generator=generator)


@pytest.mark.parametrize("name", MODELS)
def test_the_file_gives_the_models_logits(name: str) -> None:
    module = striate.create(name, len(CLASSES), 3, SIZE).eval()
    disturb(module)
    preprocess = striate.Preprocess(SIZE, SIZE, 3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    card = Card(
        format=FORMAT, striate="", model=name, input="image", classes=CLASSES, preprocess=preprocess,
        calibration={"temperature": 2.0},
    )  # fmt: skip
    file = ExportedFile.of(exported(module, card), name)
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = module(preprocess.normalize(torch.from_numpy(images)))
    logits, probabilities = file.answer(images)
    largest = float(expected.abs().max())
    assert float(expected.std(dim=0).max()) > 1e-4 * largest > 0, "the logits tell something"
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4 * largest)
    np.testing.assert_allclose(probabilities, (expected.double() / 2).softmax(dim=1).numpy(), atol=1e-4)
