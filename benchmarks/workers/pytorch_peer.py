"""Plain PyTorch, written as its tutorials: eager, contiguous tensors, a Dataset and a DataLoader."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.workers import pytorch_folder, pytorch_program, serving


def fashion_cnn() -> nn.Module:
    """The textbook's network in PyTorch."""
    return nn.Sequential(
        *(nn.Conv2d(1, 64, 7, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 128, 3, padding="same"), nn.ReLU()),
        *(nn.Conv2d(128, 128, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(128, 256, 3, padding="same"), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(2304, 128), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10)),
    )


def lenet5_modern() -> nn.Module:
    """LeNet-5's shape with ReLU, average pooling, all feature maps connected to C3, and a dense output."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        projection = (nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.shortcut = nn.Sequential(*projection) if channels != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(branch + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 with a 3×3 convolution and no pooling as its stem, for small images."""
    widths = ((64, 64), (64, 128), (128, 256), (256, 512))
    stages = [
        block
        for number, (channels, width) in enumerate(widths)
        for block in (Block(channels, width, 2 if number else 1), Block(width, width, 1))
    ]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), *stages, *head
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "fashion_cnn": fashion_cnn,
    "lenet5_modern": lenet5_modern,
    "resnet18:stem=small": resnet18,
}


@cache
def _made(network: str, parameters: int) -> nn.Module:
    torch.manual_seed(0)
    model = NETWORKS[network]()
    serving.same_size(sum(p.numel() for p in model.parameters()), parameters)
    return model


@cache
def _steps(network: str, batch: int, parameters: int, files: tuple[str, ...]) -> Iterator[tuple[int, Tensor]]:
    """Endless training that yields each step's number of images and loss."""
    data, model = serving.images(files, serving.FULL_BATCHES), _made(network, parameters)
    train = TensorDataset(torch.from_numpy(serving.scaled(data.train))[:, None], torch.from_numpy(data.train_labels))
    loader = DataLoader(train, batch_size=batch, shuffle=True)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def steps() -> Iterator[tuple[int, Tensor]]:
        while True:
            for x, y in loader:
                loss = loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                yield len(x), loss

    return steps()


def train(
    network: str, batch: int, parameters: int, files: list[str], seconds: float, untimed: int
) -> dict[str, float]:
    """Training throughput in images a second, and the last loss."""
    steps = _steps(network, batch, parameters, tuple(files))
    _made(network, parameters).train()
    images_per_second = serving.rate(lambda: next(steps)[0], seconds, untimed)
    return {"images_per_second": images_per_second, "loss": serving.finite(next(steps)[1].item())}


def infer(network: str, batch: int, parameters: int, files: list[str], images: int, seconds: float) -> dict[str, float]:
    """Classification throughput in images a second, over `images` images a call."""
    model = _made(network, parameters).eval()
    data = serving.images(files)
    x = torch.from_numpy(serving.scaled(data.test[:images]))[:, None]
    loader = DataLoader(TensorDataset(x, torch.from_numpy(data.test_labels[:images])), batch_size=batch)

    def classify() -> int:
        with torch.no_grad():
            return sum(len(model(x)) for x, _ in loader)

    return {"images_per_second": serving.rate(classify, seconds, untimed=1)}


def latency(network: str, parameters: int, files: list[str], repeats: int) -> dict[str, float]:
    """Latency: seconds from one image to its class."""
    model = _made(network, parameters).eval()
    x = torch.from_numpy(serving.scaled(serving.images(files).test[:1]))[:, None]

    def classify() -> Any:
        with torch.no_grad():
            return model(x).argmax(1).item()

    return {"seconds": serving.median_seconds(classify, repeats, untimed=10)}


def product(side: int, repeats: int) -> dict[str, float]:
    """Reference matmul rate, GFLOP/s."""
    first, second = map(torch.from_numpy, serving.factors(side))
    return serving.product_rate(lambda: first @ second, side, repeats)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serving.serve(
        train=train,
        infer=infer,
        latency=latency,
        product=product,
        program=pytorch_program.program,
        folder=pytorch_folder.folder,
    )
