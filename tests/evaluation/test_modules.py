"""Modules and arrays that are not Striate's own: measured in their order, named by the network, left as they were."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from striate.errors import ArgumentError, ShapeError
from striate.evaluation import evaluate, predict
from striate.preprocess import Preprocess
from striate.runs import Trained

PREPROCESS = Preprocess(4, 4, 1, mean=(0.0,), std=(1.0,))
X = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
Y = np.arange(60) % 3


class Own(nn.Sequential):
    """A module whose attributes have names that Striate uses for something else."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Dropout(), nn.Linear(16, 3))
        self.classes = 3
        self.normalization = nn.Identity()

    def preprocess(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self[2](self[1](self[0](x)))
        return out


def test_arrays_are_measured_in_their_order() -> None:
    result = evaluate(Own(), (X, Y), preprocess=PREPROCESS)
    assert result.labels.tolist() == Y.tolist()
    assert float((result.predicted.numpy() == Y).mean()) == pytest.approx(result.accuracy)


def test_a_module_is_left_as_it_was() -> None:
    module = Own().train()
    module[1].eval()
    evaluate(module, (X, Y))
    predict(module, list(X[:2]), preprocess=PREPROCESS)
    assert [part.training for part in module.modules()] == [True, True, False, True, True]


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_modules_compute_in_their_own_type(kind: torch.dtype) -> None:
    module = Own()
    expected = evaluate(module, (X, Y), preprocess=PREPROCESS).probabilities
    found = evaluate(module.to(kind), (X, Y), preprocess=PREPROCESS).probabilities
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)


def test_a_module_that_does_not_fit_says_so() -> None:
    for module in (nn.Sequential(nn.Flatten(), nn.Linear(5, 3)), nn.LSTM(4, 4)):
        with pytest.raises(ShapeError, match="gives no logits for images"):
            evaluate(module, (X, Y), preprocess=PREPROCESS)


def test_a_runs_classes_name_plain_labels(tmp_path: Path) -> None:
    data = striate.Dataset.from_arrays(X, Y, ["cat", "dog", "owl"], source="digits")
    run = striate.train("mlp", data, {"epochs": 1}, augment="none", out=tmp_path / "run")
    assert run.recipe.epochs == 1
    assert run.source == "in memory: digits", "no other digits are ever loaded for it"
    few = evaluate(run, (X[:2], Y[:2]))
    assert (few.classes, few.labels.tolist()) == (("cat", "dog", "owl"), [0, 1])
    assert evaluate(run.model(), (X[:2], Y[:2])).labels.tolist() == [0, 1]
    assert evaluate(run, (X, Y)).split == "test", "what it held out of the same data"


@pytest.mark.parametrize("given", [3, [("epochs", 1)]])
def test_a_recipe_of_another_type_is_refused(given: object) -> None:
    with pytest.raises(ArgumentError, match="expected the name of a recipe"):
        striate.train("mlp", (X, Y), given)  # type: ignore[arg-type]


def test_two_lengths_of_training_are_refused() -> None:
    with pytest.raises(ArgumentError, match="epochs and budget both say"):
        striate.train("mlp", (X, Y), epochs=3, budget=3.0)


def test_modules_are_compared_as_models_or_as_seeds_of_one() -> None:
    first, second = Own(), Own()
    rows = striate.compare([first, second], (X, Y), preprocess=PREPROCESS).rows
    assert sorted(row.name for row in rows) == ["Own 1", "Own 2"]
    (row,) = striate.compare({"own": [first, second]}, (X, Y), preprocess=PREPROCESS).rows
    assert (row.name, len(row.seeds)) == ("own", 2)
    (row,) = striate.compare(first, (X, Y), preprocess=PREPROCESS).rows
    assert row.name == "Own"


def test_compared_networks_read_a_pytorch_data_set_once() -> None:
    read = []

    class Counted(torch.utils.data.Dataset[tuple[np.ndarray, int]]):
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            read.append(index)
            return X[index], int(Y[index])

    striate.compare([Own(), Own()], Counted(), preprocess=PREPROCESS)
    assert read == list(range(len(X)))


@pytest.mark.slow
def test_a_module_without_preprocessing_gets_that_of_training(tmp_path: Path) -> None:
    data = striate.load("digits")
    run = striate.train("lenet5", data, epochs=1, out=tmp_path / "run")
    of_data = Trained.of(Own(), data=data).preprocess
    assert Trained.of(striate.create("lenet5", image_size=8, seed=0), data=run.sized(data)).preprocess == run.preprocess
    assert of_data.mean != run.preprocess.mean, "LeNet-5 has values of its own"


@pytest.mark.slow
def test_a_folder_has_the_modules_size_in_every_verb(tmp_path: Path) -> None:
    """A dot on the left or right, which is too dark once the images were brought to the usual 64×64."""
    for position, name in ((20, "left"), (200, "right")):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = np.zeros((230, 230), np.uint8)
            pixels[number * 50 :, position:][:3, :3] = 255
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")

    class Dot(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            bright = (x > 0.9).float().sum((1, 2))
            return torch.stack([bright[:, :115].sum(1), bright[:, 115:].sum(1) + 0.5], 1)

    preprocess = Preprocess(230, 230, 1, mean=(0.0,), std=(1.0,))
    assert evaluate(Dot(), tmp_path, preprocess=preprocess).accuracy == 1
    assert striate.compare([Dot()], tmp_path, preprocess=preprocess).rows[0].accuracy == 1
    page = striate.report(Dot(), data=tmp_path, out=tmp_path / "page.html", preprocess=preprocess)
    assert "No mistakes on these 8 images" in page.html
