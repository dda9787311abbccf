"""Made-up outcomes of runs, for the tests of comparisons."""

from pathlib import Path
from typing import Any

import numpy as np

from striate.comparison import Outcome

CLASSES = tuple("abcdefgh")


def made_up(model: str = "mlp", seed: int = 0, accuracy: float = 0.9, images: int = 1000, **changes: Any) -> Outcome:
    """A run that is right on this share of the images; the hard ones are the same for all."""
    hardness = np.random.default_rng(0).random(images)
    luck = np.random.default_rng(seed + 10 * sum(map(ord, model))).normal(0, 0.03, images)
    values: dict[str, Any] = {
        "path": Path("runs") / model / f"seed-{seed}",
        "model": model,
        "seed": seed,
        "settings": {"name": "modern", "epochs": 3},
        "source": "letters",
        "split": "test",
        "classes": CLASSES,
        "truth": tuple(CLASSES[n % len(CLASSES)] for n in range(images)),
        "correct": hardness + luck < accuracy,
        "top5_error": 0.01,
        "parameters": 1000 * len(model),
        "train_seconds": 60.0 + seed,
        "images_per_second": 100.0 + seed,
        "curve": ((20.0 + seed, accuracy - 0.2), (40.0 + seed, accuracy - 0.1), (60.0 + seed, accuracy)),
    }
    return Outcome(**{**values, **changes})


def of_seeds(model: str, accuracy: float, seeds: int = 3, **changes: Any) -> list[Outcome]:
    """The outcomes of several seeds of a model."""
    return [made_up(model, seed, accuracy, **changes) for seed in range(seeds)]
