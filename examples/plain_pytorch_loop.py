"""Striate's data, augmentation, layers and models in a training loop of one's own.

Run it with `python examples/plain_pytorch_loop.py`; it trains a small network on handwritten digits in seconds.
"""

import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate import augmentation, layers, models

EPOCHS = 5


def network() -> nn.Module:
    """From (N, 1, 8, 8) to logits (N, 10): convolutions, and pooling, once "same" as TensorFlow defines it."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        layers.MaxPool2d(3, stride=2, padding="same"),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        layers.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def train(model: nn.Module, data: striate.Dataset, epochs: int = EPOCHS) -> striate.Evaluation:
    """Train a module on a data set with Adam and measure it on the images held out."""
    loader = striate.Loader(data.train, batch_size=32, augment=augmentation.parse("shift=0.1,rotate=10"))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(epochs):
        model.train()
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return striate.evaluate(model, data, preprocess=loader.preprocess)


def main() -> None:
    """Train a network of one's own, and one of Striate's, in the same loop."""
    data = striate.load("digits")
    torch.manual_seed(0)
    for model in (network(), models.create("lenet5_modern", image_size=8, seed=0)):
        print(train(model, data))


if __name__ == "__main__":
    main()
