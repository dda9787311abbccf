"""Small networks and their pages, for tests."""

from typing import Any

import torch
from torch import nn

import striate
from striate.exporting.web import WebPage, page
from striate.inference.exported_file import FORMAT, Card
from striate.runs import Trained


def trained_module(module: nn.Module, size: tuple[int, int, int], classes: tuple[str, ...], **options: Any) -> Trained:
    """A module with everything it takes, of an input (channels, height, width)."""
    channels, height, width = size
    preprocess = striate.Preprocess(height, width, channels, mean=(0.4,) * channels, std=(0.2,) * channels, **options)
    return Trained.of(module.eval(), preprocess=preprocess, classes=classes)


def small(channels: int = 1, classes: int = 3) -> nn.Module:
    """Two convolutions, an average over places, and a dense layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, classes)),
        )


def page_of(trained: Trained, examples: Any = None) -> WebPage:
    card = Card(
        format=FORMAT,
        striate=striate.__version__,
        model=trained.name,
        input="image",
        classes=trained.classes,
        preprocess=trained.preprocess,
    )
    return page(trained, card, examples)
