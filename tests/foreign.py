"""Networks as other people write them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Tutorial(nn.Module):
    """The network of PyTorch's CIFAR-10 tutorial: one pooling module for two layers, activations that are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2)
        self.conv2, self.fc = nn.Conv2d(6, 16, 5), nn.Linear(16 * 5 * 5, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc(torch.flatten(x, 1))


class Block(nn.Module):
    """A residual block as torchvision writes it: one ReLU, in place, for both activations, and a functional sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.downsample = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


def residual(classes: int = 5) -> nn.Sequential:
    """A small residual network of torchvision's kind, for colour images of any size from 3×3."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), Block(), *head)
