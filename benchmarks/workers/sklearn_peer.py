"""scikit-learn's MLP as a baseline without convolutions; its defaults: 100 hidden units, Adam, batches of 200."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.workers import serving


def program(
    name: str, files: list[str], seed: int, epochs: int, limit: float | None, images: int | None
) -> dict[str, Any]:
    """Train `MLPClassifier()` on pixel values in 0 … 1: seconds and test accuracy after each epoch."""
    data = serving.images(files, images)
    x, x_test = (serving.scaled(pixels).reshape(len(pixels), -1) for pixels in (data.train, data.test))
    classes, clock = np.arange(10), serving.Clock()
    model = MLPClassifier(random_state=seed)
    return serving.trained(
        epochs,
        clock,
        epoch=lambda: model.partial_fit(x, data.train_labels, classes=classes),
        accuracy=lambda: float(np.mean(model.predict(x_test) == data.test_labels)),
        limit=limit,
    )


def product(side: int, repeats: int) -> dict[str, float]:
    """Reference matmul rate by NumPy, GFLOP/s."""
    first, second = serving.factors(side)
    return serving.product_rate(lambda: first @ second, side, repeats)


if __name__ == "__main__":
    serving.serve(program=program, product=product)
