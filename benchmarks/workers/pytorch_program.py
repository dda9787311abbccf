"""PyTorch's own MNIST example (github.com/pytorch/examples, mnist/main.py): its network, optimiser and schedule.

Two changes favour it: images are normalised once instead of each time, and they are shuffled on a CPU too.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.workers import serving

MEAN, STD = 0.1307, 0.3081
BATCH, TEST_BATCH = 64, 1000


class Net(nn.Module):
    """Two convolutions, two dense layers, dropout: (N, 1, 28, 28) to log-probabilities (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(F.max_pool2d(x, 2)), 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def program(
    name: str, files: list[str], seed: int, epochs: int, limit: float | None, images: int | None
) -> dict[str, Any]:
    """Run the example: seconds and test accuracy after each epoch."""
    data = serving.images(files, images)
    sets = []
    for pixels, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        x = torch.from_numpy((serving.scaled(pixels) - MEAN) / STD)[:, None]
        sets.append(TensorDataset(x, torch.from_numpy(labels)))
    clock = serving.Clock()
    torch.manual_seed(seed)
    train_loader = DataLoader(sets[0], batch_size=BATCH, shuffle=True)
    test_loader = DataLoader(sets[1], batch_size=TEST_BATCH)
    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)

    def epoch() -> None:
        model.train()
        for x, target in train_loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), target)
            loss.backward()
            optimizer.step()
        serving.finite(loss.item())
        scheduler.step()

    def accuracy() -> float:
        model.eval()
        with torch.no_grad():
            return sum(int((model(x).argmax(1) == y).sum()) for x, y in test_loader) / len(sets[1])

    return serving.trained(epochs, clock, epoch, accuracy, limit)
