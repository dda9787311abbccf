"""Keras programs from documentation: the textbook's for Fashion-MNIST, keras.io's example for MNIST.

textbook: Géron, Hands-On Machine Learning, chapter 14: Nadam, batches of 32, 10 epochs, on the first 55,000 images.
convnet: keras.io/examples/vision/mnist_convnet: Adam, batches of 128, 15 epochs, on the first 54,000.

Their validation after each epoch is left out, and its time with it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from benchmarks.workers import serving


def fashion_cnn() -> keras.Model:
    """The textbook's network."""
    conv = partial(layers.Conv2D, kernel_size=3, padding="same", activation="relu", kernel_initializer="he_normal")
    dense = partial(layers.Dense, activation="relu", kernel_initializer="he_normal")
    return keras.Sequential(
        [
            *(keras.Input((28, 28, 1)), conv(64, kernel_size=7), layers.MaxPool2D()),
            *(conv(128), conv(128), layers.MaxPool2D()),
            *(conv(256), conv(256), layers.MaxPool2D()),
            *(layers.Flatten(), dense(128), layers.Dropout(0.5), dense(64), layers.Dropout(0.5)),
            layers.Dense(10, activation="softmax"),
        ]
    )


def convnet() -> keras.Model:
    """The example's network."""
    conv = partial(layers.Conv2D, kernel_size=3, activation="relu")
    return keras.Sequential(
        [
            *(keras.Input((28, 28, 1)), conv(32), layers.MaxPooling2D(), conv(64), layers.MaxPooling2D()),
            *(layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")),
        ]
    )


class Program(NamedTuple):
    """Settings of a program: its model, optimiser, batch size, and number of training images out of 60,000."""

    build: Callable[[], keras.Model]
    optimizer: str
    batch: int
    images: int


PROGRAMS = {
    "textbook": Program(fashion_cnn, "nadam", 32, 55_000),
    "convnet": Program(convnet, "adam", 128, 54_000),
}


class Checks(keras.callbacks.Callback):
    """Callback that measures the test accuracy after each epoch, with the clock stopped."""

    def __init__(self, clock: serving.Clock, x: np.ndarray, y: np.ndarray, limit: float | None):
        super().__init__()
        self.clock, self.x, self.y, self.limit = clock, x, y, limit
        self.curve: list[tuple[float, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        serving.finite((logs or {})["loss"])
        seconds = self.clock.hold()
        found = self.model.predict(self.x, batch_size=256, verbose=0).argmax(axis=1)
        self.curve.append((seconds, float(np.mean(found == self.y))))
        if self.limit and seconds > self.limit:
            self.model.stop_training = True
        self.clock.go()


def program(
    name: str, files: list[str], seed: int, epochs: int, limit: float | None, images: int | None
) -> dict[str, Any]:
    """Run a program: seconds, compilation included, and test accuracy after each epoch."""
    chosen, data = PROGRAMS[name], serving.images(files, images)
    x, x_test = (serving.scaled(pixels)[..., None] for pixels in (data.train[: chosen.images], data.test))
    y = data.train_labels[: chosen.images]
    clock = serving.Clock()
    keras.utils.set_random_seed(seed)
    model = chosen.build()
    model.compile(loss="sparse_categorical_crossentropy", optimizer=chosen.optimizer, metrics=["accuracy"])
    checks = Checks(clock, x_test, data.test_labels, limit)
    model.fit(x, y, batch_size=chosen.batch, epochs=epochs, verbose=0, callbacks=[checks])
    return {"curve": checks.curve}
