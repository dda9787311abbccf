"""The examples do what they say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import torch

import striate
from striate.models import create

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_plain_pytorch_loop_learns_the_digits() -> None:
    loop, data = example("plain_pytorch_loop"), striate.load("digits")
    torch.manual_seed(0)
    assert loop.train(loop.network(), data, epochs=2).accuracy > 0.85
    assert loop.train(create("lenet5_modern", image_size=8, seed=0), data, epochs=1).accuracy > 0.5
