"""Keras 3 on the backend named by KERAS_BACKEND: `fit` and `predict` with their defaults, as in its guides."""

import math
import os
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import keras
from keras import layers

from benchmarks.workers import keras_program, serving
from benchmarks.workers.keras_program import fashion_cnn

BACKEND = keras.config.backend()


def lenet5_modern() -> keras.Model:
    """LeNet-5's shape with ReLU, average pooling, all feature maps connected to C3, and a dense output."""
    conv = partial(layers.Conv2D, kernel_size=5, activation="relu")
    return keras.Sequential(
        [
            *(keras.Input((28, 28, 1)), conv(6, padding="same"), layers.AveragePooling2D(2)),
            *(conv(16), layers.AveragePooling2D(2), conv(120), layers.Flatten()),
            *(layers.Dense(84, activation="relu"), layers.Dense(10, activation="softmax")),
        ]
    )


def resnet18() -> keras.Model:
    """ResNet-18 with a 3×3 convolution and no pooling as its stem, for small images."""
    conv = partial(layers.Conv2D, padding="same", use_bias=False, kernel_initializer="he_normal")

    def normalised(x: Any, width: int, kernel: int = 3, stride: int = 1) -> Any:
        return layers.BatchNormalization(epsilon=1e-5)(conv(width, kernel, stride)(x))

    def block(x: Any, width: int, stride: int) -> Any:
        branch = normalised(layers.ReLU()(normalised(x, width, stride=stride)), width)
        shortcut = x if x.shape[-1] == width else normalised(x, width, 1, stride)
        return layers.ReLU()(layers.Add()([branch, shortcut]))

    inputs = keras.Input((28, 28, 1))
    x = layers.ReLU()(normalised(inputs, 64))
    for number, width in enumerate((64, 128, 256, 512)):
        x = block(block(x, width, 2 if number else 1), width, 1)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "fashion_cnn": fashion_cnn,
    "lenet5_modern": lenet5_modern,
    "resnet18:stem=small": resnet18,
}


class Stopwatch(keras.callbacks.Callback):
    """Throughput of a `fit`, which it stops once `seconds` have passed after the untimed steps."""

    async_safe = True  # as the progress bar of `fit` is: JAX makes the next step while this one's loss is waited for

    def __init__(self, fitted: keras.Model, batch: int, seconds: float, untimed: int):
        super().__init__()
        self.fitted = fitted  # `self.model` would have JAX write the state back, which the next step may hold
        self.batch, self.seconds, self.untimed = batch, seconds, untimed
        self.steps, self.began, self.images_per_second, self.loss = 0, 0.0, 0.0, 0.0
        self._lock = threading.Lock()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = serving.finite((logs or {})["loss"])  # what the progress bar of `fit` does too: wait for the step
        with self._lock:
            self._count(loss, time.perf_counter())

    def _count(self, loss: float, now: float) -> None:
        if self.images_per_second:  # steps that were in progress at the end
            return
        self.loss = loss
        self.steps += 1
        if self.steps == self.untimed:
            self.began = now
        elif self.steps > self.untimed and now - self.began >= self.seconds:
            self.images_per_second = (self.steps - self.untimed) * self.batch / (now - self.began)
            self.fitted.stop_training = True


@cache
def _made(network: str, parameters: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = NETWORKS[network]()
    serving.same_size(sum(math.prod(weight.shape) for weight in model.trainable_weights), parameters)
    optimizer = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return model


@cache
def _train(files: tuple[str, ...]) -> tuple[Any, Any]:
    data = serving.images(files, serving.FULL_BATCHES)
    return serving.scaled(data.train)[..., None], data.train_labels


def train(
    network: str, batch: int, parameters: int, files: list[str], seconds: float, untimed: int
) -> dict[str, float]:
    """Training throughput in images a second, and the last loss."""
    x, y = _train(tuple(files))
    model = _made(network, parameters)
    watch = Stopwatch(model, batch, seconds, untimed)
    model.fit(x, y, batch_size=batch, epochs=10**6, verbose=0, callbacks=[watch])
    return {"images_per_second": watch.images_per_second, "loss": watch.loss}


def infer(network: str, batch: int, parameters: int, files: list[str], images: int, seconds: float) -> dict[str, float]:
    """Classification throughput in images a second, over `images` images a call."""
    model = _made(network, parameters)
    x = serving.scaled(serving.images(files).test[:images])[..., None]

    def classify() -> int:
        return len(model.predict(x, batch_size=batch, verbose=0))

    return {"images_per_second": serving.rate(classify, seconds, untimed=1)}


def latency(network: str, parameters: int, files: list[str], repeats: int) -> dict[str, float]:
    """Latency: seconds from one image to its class, by `predict` and by calling the model, as Keras advises for few."""
    model = _made(network, parameters)
    x = serving.scaled(serving.images(files).test[:1])[..., None]
    ways = {
        "seconds": lambda: model.predict(x, verbose=0).argmax(),
        "called_seconds": lambda: keras.ops.convert_to_numpy(model(x, training=False)).argmax(),
    }
    return {name: serving.median_seconds(way, repeats, untimed=3) for name, way in ways.items()}


def product(side: int, repeats: int) -> dict[str, float]:
    """Reference matmul rate, GFLOP/s."""
    first, second = map(keras.ops.convert_to_tensor, serving.factors(side))
    return serving.product_rate(lambda: _done(keras.ops.matmul(first, second)), side, repeats)


def _done(result: Any) -> Any:
    """Wait for a result: JAX returns before it is computed."""
    return result.block_until_ready() if BACKEND == "jax" else result


if __name__ == "__main__":
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
    serving.serve(train=train, infer=infer, latency=latency, product=product, program=keras_program.program)
