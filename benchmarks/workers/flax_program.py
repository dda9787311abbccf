"""Flax NNX's MNIST tutorial (flax.readthedocs.io): its network, AdamW at 0.005, batches of 32.

The tutorial takes 1,200 steps and evaluates after every 200; here it trains for whole epochs.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from benchmarks.workers import serving

BATCH, LEARNING_RATE, MOMENTUM = 32, 0.005, 0.9
Batch = dict[str, np.ndarray]


class CNN(nnx.Module):
    """The tutorial's network: (N, 28, 28, 1) to logits (N, 10)."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 32, kernel_size=(3, 3), rngs=rngs)
        self.batch_norm1 = nnx.BatchNorm(32, rngs=rngs)
        self.dropout1 = nnx.Dropout(rate=0.025, rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, kernel_size=(3, 3), rngs=rngs)
        self.batch_norm2 = nnx.BatchNorm(64, rngs=rngs)
        self.avg_pool = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))
        self.linear1 = nnx.Linear(3136, 256, rngs=rngs)
        self.dropout2 = nnx.Dropout(rate=0.025, rngs=rngs)
        self.linear2 = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.avg_pool(nnx.relu(self.batch_norm1(self.dropout1(self.conv1(x)))))
        x = self.avg_pool(nnx.relu(self.batch_norm2(self.conv2(x))))
        x = nnx.relu(self.dropout2(self.linear1(x.reshape(x.shape[0], -1))))
        return self.linear2(x)


def metrics() -> nnx.MultiMetric:
    """The tutorial's running metrics."""
    return nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))


def loss_fn(model: nnx.Module, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Mean loss of a batch, and the logits."""
    logits = model(batch["image"])
    return optax.softmax_cross_entropy_with_integer_labels(logits=logits, labels=batch["label"]).mean(), logits


@nnx.jit
def train_step(model: nnx.Module, optimizer: nnx.Optimizer, measured: nnx.MultiMetric, batch: Batch) -> jax.Array:
    """The tutorial's training step; returns the loss."""
    (loss, logits), gradients = nnx.value_and_grad(loss_fn, has_aux=True)(model, batch)
    measured.update(loss=loss, logits=logits, labels=batch["label"])
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def eval_step(model: nnx.Module, measured: nnx.MultiMetric, batch: Batch) -> None:
    """The tutorial's evaluation of a test batch."""
    loss, logits = loss_fn(model, batch)
    measured.update(loss=loss, logits=logits, labels=batch["label"])


def batches(x: np.ndarray, y: np.ndarray, size: int, random: np.random.Generator | None = None) -> Iterator[Batch]:
    """Batches of one epoch, shuffled if there is a generator; an incomplete last batch is dropped."""
    order = np.arange(len(x)) if random is None else random.permutation(len(x))
    for start in range(0, len(x) - size + 1, size):
        index = order[start : start + size]
        yield {"image": x[index], "label": y[index]}


def program(
    name: str, files: list[str], seed: int, epochs: int, limit: float | None, images: int | None
) -> dict[str, Any]:
    """Run the tutorial: seconds, compilation included, and test accuracy after each epoch."""
    data = serving.images(files, images)
    x, x_test = (serving.scaled(pixels)[..., None] for pixels in (data.train, data.test))
    clock, random = serving.Clock(), np.random.default_rng(seed)
    model = CNN(nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.adamw(LEARNING_RATE, MOMENTUM), wrt=nnx.Param)
    trained, tested = metrics(), metrics()

    def epoch() -> None:
        model.train()
        for batch in batches(x, data.train_labels, BATCH, random):
            train_step(model, optimizer, trained, batch)
        serving.finite(trained.compute()["loss"])
        trained.reset()

    def accuracy() -> float:
        model.eval()
        tested.reset()
        for batch in batches(x_test, data.test_labels, 100):
            eval_step(model, tested, batch)
        return float(tested.compute()["accuracy"])

    return serving.trained(epochs, clock, epoch, accuracy, limit)
