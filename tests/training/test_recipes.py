"""Named recipes: what they choose, and how they follow the size of the data."""

import math

import pytest

from striate import models
from striate.errors import ArgumentError
from striate.training import modern, paper, recipe


def test_lenet5_is_trained_as_in_1998_but_for_the_stated_step():
    chosen = paper("lenet5")
    assert (chosen.epochs, chosen.batch_size, chosen.optimizer, chosen.loss) == (20, 64, "sgd", "auto")
    assert (chosen.learning_rate, chosen.schedule, chosen.clip_norm, chosen.map_penalty) == (0.003, "cosine", 5, 10)
    assert chosen.augment == "none"


def test_the_chapters_network_is_trained_as_in_the_chapter():
    chosen = paper("fashion_cnn")
    assert (chosen.optimizer, chosen.batch_size, chosen.epochs) == ("nadam", 32, 10)
    assert (chosen.schedule, chosen.warmup, chosen.learning_rate) == ("constant", 0, 0.001)


@pytest.mark.parametrize("name", models.names())
def test_little_data_is_passed_over_more_often(name: str):
    usual = modern(name)
    assert modern(name, 10_000) == usual
    for samples in (1, 100, 1438, 9_999):
        chosen = modern(name, samples)
        assert chosen.batch_size == 32
        steps = chosen.epochs * math.ceil(samples / 32)
        assert usual.epochs <= chosen.epochs <= 100
        assert steps >= 4500 or chosen.epochs == 100


def test_every_model_but_those_no_paper_trained_has_a_paper_recipe():
    assert {name for name in models.names() if _has_paper(name)} == {"fashion_cnn", "lenet5", "mlp"}


def _has_paper(name: str) -> bool:
    try:
        return recipe("paper", name).name == "paper"
    except ArgumentError:
        return False
