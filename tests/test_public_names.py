"""The first lines that a PyTorch user types work, and the public names are listed once and documented."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import dataset
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trained import run, shapes

import striate
from striate.errors import ArgumentError

__all__ = ["run", "shapes"]

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
LABELS = np.arange(60) % 3


def test_every_public_name_is_real_documented_and_on_the_page() -> None:
    listed = re.findall(r"^\| `([A-Za-z]+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(striate.__all__)
    for name in striate.__all__:
        found = getattr(striate, name)
        assert inspect.ismodule(found) or inspect.getdoc(found), name
    assert dir(striate) == striate.__all__


def torch_data() -> TensorDataset:
    return TensorDataset(torch.from_numpy(PIXELS)[:, None] / 255, torch.from_numpy(LABELS))


@pytest.mark.parametrize(
    "data",
    [
        (PIXELS, LABELS),
        (torch.from_numpy(PIXELS), torch.from_numpy(LABELS)),
        ((PIXELS, LABELS), (PIXELS[:9], LABELS[:9])),
        torch_data(),
        DataLoader(torch_data(), batch_size=16),
        striate.Dataset.from_arrays(PIXELS, LABELS),
    ],
    ids=["arrays", "tensors", "two pairs", "TensorDataset", "DataLoader", "Dataset"],
)
def test_train_takes_what_people_have(data: object, tmp_path: Path) -> None:
    made = striate.train("mlp", data, out=tmp_path / "run", epochs=1, batch_size=30)
    assert made.recipe.epochs == 1
    assert made.recipe.batch_size == 30
    assert made.classes == ("0", "1", "2")
    assert 0 <= (made.result or {})["accuracy"] <= 1


def test_train_takes_a_path(tmp_path: Path) -> None:
    for number, pixels in enumerate(PIXELS[:24]):
        place = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    made = striate.train("mlp", tmp_path / "photos", "modern", out=tmp_path / "run", epochs=1)
    assert made.classes == ("a", "b")
    assert (
        repr(made)
        == f"Run({tmp_path / 'run'}: mlp on {tmp_path / 'photos'}, test accuracy {made.result['accuracy']:.2%})"
    )


@pytest.mark.slow
def test_a_run_of_arrays_says_where_its_data_was(tmp_path: Path) -> None:
    made = striate.train("mlp", (PIXELS, LABELS), out=tmp_path / "run", epochs=1)
    with pytest.raises(striate.StriateError, match=r"was trained on data in memory \(arrays\): pass it as data="):
        striate.evaluate(made)
    assert striate.evaluate(made, (PIXELS, LABELS)).split == "test"
    assert striate.evaluate(made, (PIXELS[::-1].copy(), LABELS)).n == 60
    page = striate.report(made)
    assert "was trained on data in memory" in page.html
    assert striate.resume(made.path, data=(PIXELS, LABELS)).result == made.result


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: striate.Recipe(lr=0.1), "lr is called learning_rate here"),
        (lambda: striate.train("mlp", (PIXELS, LABELS), num_epochs=1), "num_epochs is called epochs here"),
        (lambda: striate.train("mlp", (PIXELS, LABELS), epochs=0), "recipe setting epochs=0"),
        (
            lambda: striate.create("resnet18", num_classes=10, in_chans=3, pretrained=True),
            "num_classes is called classes here, in_chans is called channels here, pretrained is called weights here",
        ),
        (lambda: striate.train("mlp", 5), "data of type int: expected a name such as 'digits'"),
    ],
)
def test_other_libraries_names_are_translated(ask: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ask()  # type: ignore[operator]


# ---------------------------------------------------------------- one rule for every verb


def test_evaluate_takes_a_run_its_path_and_modules(run: striate.Run, shapes: striate.Dataset) -> None:
    expected = striate.evaluate(run, shapes)
    assert striate.evaluate(str(run.path), shapes).accuracy == expected.accuracy
    module = run.model()
    assert striate.evaluate(module, shapes).probabilities.equal(expected.probabilities)
    bare = nn.Sequential(*module.children())
    assert striate.evaluate(bare, shapes, preprocess=run.preprocess).confusion == expected.confusion
    guessed = striate.evaluate(bare, shapes)
    assert guessed.confusion == expected.confusion, "a run is normalised by its training images, too"
    assert "preprocess= was not given" in guessed.notes[0]
    test = shapes.test
    assert test is not None
    arrays = (test.images.numpy(), [shapes.classes[label] for label in test.labels])
    assert striate.evaluate(module, arrays).n == len(test)
    assert striate.evaluate(module, arrays).accuracy == expected.accuracy


def test_evaluate_refuses_what_does_not_fit(run: striate.Run, shapes: striate.Dataset) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    with pytest.raises(striate.StriateError, match=r"gives outputs of shape \(20, 4\): expected \(N, 3\)"):
        striate.evaluate(module, shapes)
    with pytest.raises(ArgumentError, match="pass preprocess="):
        striate.evaluate(module)
    with pytest.raises(ArgumentError, match="has its own preprocessing and classes: leave yours out"):
        striate.evaluate(run, shapes, preprocess=run.preprocess)
    with pytest.raises(ArgumentError, match=r"a run of type int: expected a striate\.Run"):
        striate.evaluate(5, shapes)  # type: ignore[arg-type]


def test_predict_takes_images_of_every_kind(run: striate.Run, shapes: striate.Dataset, tmp_path: Path) -> None:
    pixels = shapes.train.images[:3].numpy()
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "a.png")
    expected = striate.predict(run, tmp_path / "a.png")[0]
    assert expected.path == str(tmp_path / "a.png")
    kinds = {
        "bytes": (tmp_path / "a.png").read_bytes(),
        "PIL": Image.fromarray(pixels[0, :, :, 0]),
        "(H, W)": pixels[0, :, :, 0],
        "(H, W, 1)": pixels[0],
        "(1, H, W) tensor": torch.from_numpy(pixels[0]).permute(2, 0, 1),
        "float": pixels[0].astype(np.float32) / 255,
        "grey as colour": np.repeat(pixels[0], 3, axis=2),
    }
    for kind, image in kinds.items():
        (found,) = striate.predict(run, image)
        assert found.path == "image 1", kind
        assert found.probabilities == expected.probabilities, kind
    several = striate.predict(run, [tmp_path / "a.png", kinds["PIL"], pixels[1]])
    assert [each.path for each in several] == [str(tmp_path / "a.png"), "image 2", "image 3"]
    batch = striate.predict(run, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert batch[0].probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert len(batch) == 3
    assert len(striate.predict(run, pixels[..., 0], layout="NHW")) == 3


def test_predict_takes_modules(run: striate.Run, shapes: striate.Dataset) -> None:
    image = shapes.train.images[0].numpy()
    (expected,) = striate.predict(run, image)
    assert striate.predict(run.model(), image)[0].probabilities == expected.probabilities
    bare = nn.Sequential(*run.model().children())
    vars(bare)["calibrations"] = run.calibrations()
    (found,) = striate.predict(bare, image, preprocess=run.preprocess)
    assert list(found.probabilities.values()) == list(expected.probabilities.values())
    assert set(found.probabilities) == {"0", "1", "2"}
    (named,) = striate.predict(bare, image, preprocess=run.preprocess, classes=run.classes)
    assert named.probabilities == expected.probabilities


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (5, "an image of type int: expected a path, bytes, a PIL image, an array or a tensor"),
        ([object()], "an image of type object"),
        (b"GIF", "image 1: .*not an image"),
        (np.full((4, 4), 2.0), "image 1: images of type float64 with values from 2 to 2: expected 0 … 1"),
        (np.zeros((3, 5, 3), np.uint8), r"may be N, H, W, C or N, C, H, W: say which, with layout="),
        (np.zeros((1, 4, 4, 4), np.uint8), "image 1: images of shape"),
    ],
)
def test_images_that_are_none_are_refused_in_one_line(run: striate.Run, image: object, message: str) -> None:
    with pytest.raises(striate.StriateError, match=message) as caught:
        striate.predict(run, image)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_pages_take_modules_and_images_in_memory(
    run: striate.Run, shapes: striate.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module, image = run.model(), shapes.train.images[0].numpy()
    page = striate.explain(module, image, data=shapes)
    assert page.path == Path("explain-image.html")
    assert page.html.startswith("<!doctype html>")
    assert "_repr_html_" in dir(page)
    assert "Striate report" in striate.report(module, data=shapes).html
    assert (tmp_path / "report.html").is_file()
    with pytest.raises(ArgumentError, match="pass preprocess="):
        striate.explain(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), image)


@pytest.mark.slow
def test_the_other_verbs_take_paths_and_names(run: striate.Run, shapes: striate.Dataset) -> None:
    images, labels = shapes.train.images, shapes.train.labels
    assert striate.describe(str(run.path)).parameters == striate.describe(run).parameters
    assert striate.describe("lenet5").parameters == 60_000
    assert striate.advise("lenet5").model == "lenet5"
    by_path, by_module = (striate.invariance(each, images, labels, brief=True) for each in (run.path, run.model()))
    assert by_path.curves == by_module.curves
    found = striate.compare({"run": [run], "module": [run.model()]}, shapes)
    assert len({row.accuracies for row in found.rows}) == 1
    with pytest.raises(ArgumentError, match=r"unknown model 'lenet6'\. Did you mean 'lenet5'"):
        striate.describe("lenet6")


def test_results_show_themselves_in_one_line_and_in_notebooks(run: striate.Run, shapes: striate.Dataset) -> None:
    for each in (run, shapes, shapes.train, striate.evaluate(run, shapes)):
        assert "\n" not in repr(each)
        assert len(repr(each)) < 200
    for shown in (run, shapes, striate.evaluate(run, shapes)):
        assert shown._repr_html_().startswith("<")
    assert "tensor" not in repr(dataset())
