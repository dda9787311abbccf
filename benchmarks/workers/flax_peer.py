"""Flax NNX on JAX, written as its MNIST tutorial: `nnx.jit` around a step, NumPy batches, running metrics."""

from collections.abc import Callable, Iterator
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.workers import flax_program, serving
from benchmarks.workers.flax_program import batches, metrics, train_step

MAX_POOL = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
AVERAGE_POOL = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))


def flatten(x: jax.Array) -> jax.Array:
    """(N, …) to (N, features)."""
    return x.reshape(x.shape[0], -1)


def fashion_cnn(rngs: nnx.Rngs) -> nnx.Module:
    """The textbook's network."""
    conv = partial(nnx.Conv, kernel_size=(3, 3), rngs=rngs)
    dense, dropout = partial(nnx.Linear, rngs=rngs), partial(nnx.Dropout, 0.5, rngs=rngs)
    return nnx.Sequential(
        *(conv(1, 64, kernel_size=(7, 7)), nnx.relu, MAX_POOL),
        *(conv(64, 128), nnx.relu, conv(128, 128), nnx.relu, MAX_POOL),
        *(conv(128, 256), nnx.relu, conv(256, 256), nnx.relu, MAX_POOL),
        *(flatten, dense(2304, 128), nnx.relu, dropout(), dense(128, 64), nnx.relu, dropout(), dense(64, 10)),
    )


def lenet5_modern(rngs: nnx.Rngs) -> nnx.Module:
    """LeNet-5's shape with ReLU, average pooling, all feature maps connected to C3, and a dense output."""
    conv = partial(nnx.Conv, kernel_size=(5, 5), padding="VALID", rngs=rngs)
    dense = partial(nnx.Linear, rngs=rngs)
    return nnx.Sequential(
        *(conv(1, 6, padding="SAME"), nnx.relu, AVERAGE_POOL, conv(6, 16), nnx.relu, AVERAGE_POOL),
        *(conv(16, 120), nnx.relu, flatten, dense(120, 84), nnx.relu, dense(84, 10)),
    )


class Block(nnx.Module):
    """ResNet's basic block."""

    def __init__(self, channels: int, width: int, stride: int, rngs: nnx.Rngs):
        conv = partial(nnx.Conv, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.conv1, self.bn1 = conv(channels, width, strides=stride), nnx.BatchNorm(width, rngs=rngs)
        self.conv2, self.bn2 = conv(width, width), nnx.BatchNorm(width, rngs=rngs)
        self.shortcut = None
        if channels != width:
            projection = conv(channels, width, kernel_size=(1, 1), strides=stride)
            self.shortcut = nnx.Sequential(projection, nnx.BatchNorm(width, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        branch = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(x)))))
        return nnx.relu(branch + (x if self.shortcut is None else self.shortcut(x)))


def resnet18(rngs: nnx.Rngs) -> nnx.Module:
    """ResNet-18 with a 3×3 convolution and no pooling as its stem, for small images."""
    widths = ((64, 64), (64, 128), (128, 256), (256, 512))
    stages = [
        block
        for number, (channels, width) in enumerate(widths)
        for block in (Block(channels, width, 2 if number else 1, rngs), Block(width, width, 1, rngs))
    ]
    stem = (nnx.Conv(1, 64, (3, 3), use_bias=False, rngs=rngs), nnx.BatchNorm(64, rngs=rngs), nnx.relu)
    return nnx.Sequential(*stem, *stages, partial(jnp.mean, axis=(1, 2)), nnx.Linear(512, 10, rngs=rngs))


NETWORKS: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
    "fashion_cnn": fashion_cnn,
    "lenet5_modern": lenet5_modern,
    "resnet18:stem=small": resnet18,
}


@nnx.jit
def classes_of(model: nnx.Module, x: jax.Array) -> jax.Array:
    """The tutorial's prediction step."""
    return model(x).argmax(axis=1)


@cache
def _made(network: str, parameters: int) -> nnx.Module:
    model = NETWORKS[network](nnx.Rngs(0))
    serving.same_size(sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))), parameters)
    return model


@cache
def _steps(network: str, batch: int, parameters: int, files: tuple[str, ...]) -> Iterator[jax.Array]:
    """Endless training that yields each step's loss; a step begins when the one before the last has ended."""
    data, model = serving.images(files, serving.FULL_BATCHES), _made(network, parameters)
    x, random = serving.scaled(data.train)[..., None], np.random.default_rng(0)
    optimizer = nnx.Optimizer(model, optax.sgd(0.01, momentum=0.9, nesterov=True), wrt=nnx.Param)
    measured = metrics()

    def steps() -> Iterator[jax.Array]:
        before = jnp.zeros(())
        while True:
            for each in batches(x, data.train_labels, batch, random):
                loss = train_step(model, optimizer, measured, each)
                before.block_until_ready()
                yield loss
                before = loss

    return steps()


def train(
    network: str, batch: int, parameters: int, files: list[str], seconds: float, untimed: int
) -> dict[str, float]:
    """Training throughput in images a second, and the last loss."""
    steps, last = _steps(network, batch, parameters, tuple(files)), jnp.zeros(())
    _made(network, parameters).train()

    def step() -> int:
        nonlocal last
        last = next(steps)
        return batch

    images_per_second = serving.rate(step, seconds, untimed, finish=lambda: last.block_until_ready())
    return {"images_per_second": images_per_second, "loss": serving.finite(last)}


def infer(network: str, batch: int, parameters: int, files: list[str], images: int, seconds: float) -> dict[str, float]:
    """Classification throughput in images a second, over `images` images a call."""
    model = _made(network, parameters)
    model.eval()
    x = serving.scaled(serving.images(files).test[:images])[..., None]

    def classify() -> int:
        return sum(len(np.asarray(classes_of(model, x[start : start + batch]))) for start in range(0, len(x), batch))

    return {"images_per_second": serving.rate(classify, seconds, untimed=1)}


def latency(network: str, parameters: int, files: list[str], repeats: int) -> dict[str, float]:
    """Latency: seconds from one image to its class."""
    model = _made(network, parameters)
    model.eval()
    x = serving.scaled(serving.images(files).test[:1])[..., None]
    return {"seconds": serving.median_seconds(lambda: int(classes_of(model, x)[0]), repeats, untimed=10)}


def product(side: int, repeats: int) -> dict[str, float]:
    """Reference matmul rate, GFLOP/s."""
    first, second = map(jnp.asarray, serving.factors(side))
    return serving.product_rate(lambda: jnp.matmul(first, second).block_until_ready(), side, repeats)


if __name__ == "__main__":
    serving.serve(train=train, infer=infer, latency=latency, product=product, program=flax_program.program)
