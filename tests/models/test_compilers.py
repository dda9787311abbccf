"""The deep networks for torch.export, torch.compile and autocast, as users deploy and train them."""

import pytest
import torch
from models.published import filled, pictures, sketch

from striate.models import Outputs

pytestmark = pytest.mark.slow
NAMES = ["alexnet", "alexnet_grouped", "alexnet_torchvision", "googlenet", "googlenet_torchvision", "vgg16"]
NAMES += ["convnext_tiny", "efficientnet_lite0"]
TRAINED = ["alexnet_grouped", "googlenet", "convnext_tiny", "efficientnet_lite0"]  # the others have no other layers


def made(name):
    model = sketch(name, 28, 5, 1).to_empty(device="cpu").to(memory_format=torch.channels_last)
    filled(model)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_export_for_any_batch(name):
    model, x = made(name).eval(), pictures(2, 1, 28, 28)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(program(x), model(x), rtol=1e-4, atol=1e-4)
    assert program(torch.cat([x, x, x])).shape == (6, 5)


@pytest.mark.parametrize("name", TRAINED)
def test_one_graph_in_training_and_lower_precision(name):
    model, x = made(name).train(), pictures(2, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        answer = compiled(x)
    logits = (answer.logits, *answer.auxiliary) if isinstance(answer, Outputs) else (answer,)
    assert len(logits) == (3 if "googlenet" in name else 1)
    torch.cat(logits).float().square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
