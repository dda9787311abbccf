"""Named recipes: what they choose, and how they follow the size of the data."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from small_run import dataset as shapes

from striate import models
from striate.data import Dataset, Split
from striate.errors import ArgumentError
from striate.training import Recipe, modern, paper, recipe
from striate.training.recipes import RECIPES


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


MODELS = ["lenet5", "lenet5_modern", "fashion_cnn", "mlp", "custom"]


def dataset(mirror=False, count=4):
    split = Split(torch.zeros(count, 2, 2, 1, dtype=torch.uint8), torch.arange(count) % 2)
    return Dataset("made up", ("a", "b"), split, mirror=mirror)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learningrate": 1}, "unknown recipe setting 'learningrate'. Did you mean 'learning_rate'? Known: "),
        ({"epochs": 0}, "recipe setting epochs=0: "),
        ({"epochs": 1.5}, "recipe setting epochs=1.5: "),
        ({"batch_size": -1}, "recipe setting batch_size=-1: "),
        ({"learning_rate": 0}, "recipe setting learning_rate=0: "),
        ({"learning_rate": float("nan")}, "recipe setting learning_rate=nan: "),
        ({"learning_rate": "inf"}, "recipe setting learning_rate='inf': "),
        ({"momentum": 1}, "recipe setting momentum=1: "),
        ({"weight_decay": -1e-9}, "recipe setting weight_decay=-1e-09: "),
        ({"warmup": 1.01}, "recipe setting warmup=1.01: "),
        ({"label_smoothing": 1}, "recipe setting label_smoothing=1: "),
        ({"clip_norm": -1}, "recipe setting clip_norm=-1: "),
        ({"map_penalty": 0}, "recipe setting map_penalty=0: "),
        ({"seed": -1}, "recipe setting seed=-1: "),
        ({"optimizer": "adam"}, "recipe setting optimizer='adam': "),
        ({"schedule": "step"}, "recipe setting schedule='step': "),
        ({"loss": "mse"}, "recipe setting loss='mse': "),
        ({"nesterov": "perhaps"}, "recipe setting nesterov='perhaps': "),
        ({"augment": "shift=2"}, "augmentation 'shift=2': shift takes 0 to 1"),
        ({"augment": "flop"}, "unknown augmentation 'flop'"),
        ({"tta": "mirror"}, "unknown test-time augmentation 'mirror'"),
    ],
)
def test_what_can_not_be_set_is_refused_by_name(settings, message):
    for make in (Recipe, Recipe().replace):
        with pytest.raises(ArgumentError, match=f"^{re.escape(message)}"):
            make(**settings)


def test_text_is_read_as_each_settings_own_type():
    read = Recipe().replace(
        epochs="3", learning_rate="1e-3", nesterov="false", optimizer="adamw", augment="flip", seed="7"
    )
    assert read == Recipe(epochs=3, learning_rate=0.001, nesterov=False, optimizer="adamw", augment="flip", seed=7)
    assert type(read.epochs) is int
    assert type(read.learning_rate) is float
    assert read.nesterov is False
    for wrong in ({"epochs": "three"}, {"epochs": "1.5"}, {"learning_rate": ""}):
        with pytest.raises(ArgumentError, match=f"recipe setting {next(iter(wrong))}="):
            Recipe().replace(**wrong)


def test_replacing_makes_another_and_leaves_the_first():
    first = Recipe(epochs=3, batch_size=7)
    assert first.replace(epochs=4) == Recipe(epochs=4, batch_size=7)
    assert first.epochs == 3
    assert first.replace() == first
    with pytest.raises(ValueError, match="frozen"):
        first.epochs = 5


def test_json_brings_it_back():
    first = modern("lenet5").replace(seed=3, augment="flip,shift=0.1")
    assert Recipe(**json.loads(json.dumps(first.model_dump()))) == first


def test_auto_is_settled_by_the_model_and_the_data():
    settled = Recipe().resolved("map", dataset())
    assert settled.loss == "map"
    assert "auto" not in settled.model_dump().values()
    assert "flip" not in settled.augment
    assert "shift" in settled.augment
    assert "flip" in Recipe().resolved("map", dataset(mirror=True)).augment.split(",")
    assert settled.resolved("cross-entropy", dataset(mirror=True)) == settled


def test_views_follow_the_data_if_they_are_left_to_it():
    assert Recipe().resolved("map", dataset(mirror=True)).tta == "none"
    assert Recipe(tta="auto").resolved("map", dataset(mirror=True)).tta == "flip,shifts"
    assert Recipe(tta="auto").resolved("map", dataset()).tta == "shifts"
    assert Recipe(tta="flip").resolved("map", dataset()).tta == "flip"


def test_images_are_set_aside_only_where_no_others_calibrate():
    data = shapes()
    wanted = Recipe(calibration=0.1)
    assert wanted.resolved("cross-entropy", data).calibration == 0, "val beside test serves"
    assert wanted.resolved("cross-entropy", replace(data, val=None)).calibration == 0.1
    assert wanted.resolved("cross-entropy", replace(data, test=None)).calibration == 0.1, "val is what is measured on"
    fitted = wanted.replace(head="fitted", held_out=0.2)
    assert fitted.resolved("cross-entropy", replace(data, val=None)).calibration == 0
    assert Recipe().calibration == 0, "runs of before have none"


def test_what_was_chosen_stays():
    chosen = Recipe(loss="cross-entropy", augment="none", precision="bfloat16", epochs=3, shards=2, sync="ddp")
    assert chosen.resolved("map", dataset(mirror=True)) == chosen


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("model", MODELS)
def test_named_recipes(name, model):
    if name == "paper" and model not in ("lenet5", "fashion_cnn", "mlp"):
        with pytest.raises(ArgumentError, match=f"there is no paper recipe for {model}: use --recipe modern"):
            recipe(name, model)
        return
    if name == "fast":
        with pytest.raises(
            ArgumentError, match=rf"no fast recipe for {model}: use --recipe modern, or train quicknet_s,"
        ):
            recipe(name, model)
        return
    named = recipe(name, model)
    assert named.name == name
    assert named == RECIPES[name](model, 60_000)
    assert named.resolved("cross-entropy", dataset()).augment
    if name == "paper":
        assert named.augment == "none"


def test_papers_recipes_are_what_the_papers_say():
    lenet, book, dense = paper("lenet5"), paper("fashion_cnn"), paper("mlp")
    assert (lenet.epochs, lenet.loss) == (20, "auto")
    assert (book.optimizer, book.learning_rate, book.batch_size, book.epochs) == ("nadam", 0.001, 32, 10)
    for plain in (book, dense):
        assert (plain.schedule, plain.warmup, plain.clip_norm, plain.weight_decay) == ("constant", 0, 0, 0)
    assert dense.momentum == 0


def test_fast_is_modern_with_fewer_epochs_and_more_views():
    for model in ("quicknet_s", "quicknet_m", "quicknet_l"):
        fast, usual = recipe("fast", model), recipe("modern", model)
        assert fast.epochs <= usual.epochs
        assert fast == usual.replace(name="fast", epochs=fast.epochs, tta="auto")
        assert recipe("fast", model, 500).epochs == recipe("modern", model, 500).epochs == 100


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(
        ArgumentError, match=r"unknown recipe 'papers'\. Did you mean 'paper'\? Known: fast, fine-tune, modern, paper"
    ):
        recipe("papers", "mlp")


def test_every_setting_is_described():
    assert all(field.description for field in Recipe.model_fields.values())


def test_the_old_name_of_the_linear_schedule_is_still_read() -> None:
    assert Recipe(schedule="one-cycle") == Recipe(schedule="linear")
    assert Recipe().replace(schedule="one-cycle").schedule == "linear"
