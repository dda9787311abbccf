"""Fine-tuning: runs that begin with weights from a file or another run."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_run import dataset, recipe
from torch import nn

import striate
from striate.data.dataset import conformed
from striate.errors import ArgumentError
from striate.preprocess import Preprocess
from striate.reports import run_page
from striate.runs import Begun, Run, train, wanted_input
from striate.training import Recipe
from striate.training.optimizers import optimizer_of


def larger(count: int = 64):
    """The shapes at 24×24, which a network with strides can take."""
    return conformed(dataset(count), Preprocess.resizing((24, 24), 1, "stretch"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with torchvision's names and shapes for ResNet-18: colour images, 1,000 classes."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(striate.create("resnet18:stem=imagenet", 1000, 3, 32, seed=7).state_dict(), path)
    return path


@pytest.mark.slow
def test_a_frozen_backbone_stays_as_it_was_to_the_last_bit(published: Path, tmp_path: Path):
    events: list[object] = []
    run = train(
        "resnet18",
        larger(),
        recipe(epochs=1, freeze_backbone=True),
        weights=published,
        out=tmp_path / "run",
        observer=events.append,
    )
    begun = next(event for event in events if isinstance(event, Begun))
    assert any("grey" in note for note in begun.notes)
    assert any("fc, has fresh weights" in note for note in begun.notes)
    before = striate.create("resnet18:stem=imagenet", 3, 1, 24, 0, published, True).state_dict()
    after = run.final_weights()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"fc.weight", "fc.bias"}, "batch norm's statistics are part of the backbone"
    mean, std = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3
    assert (run.preprocess.mean, run.preprocess.std) == (pytest.approx((mean,)), pytest.approx((std,)))


@pytest.mark.slow
def test_a_run_that_began_with_weights_can_be_stopped_continued_and_repeated(published: Path, tmp_path: Path):
    settings = recipe(epochs=1, first_layer_rate=0.1, precision="float32")
    whole = train("resnet18", larger(), settings, weights=published, out=tmp_path / "whole")

    def stop(event: object) -> None:
        if isinstance(event, striate.training.Step) and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("resnet18", larger(), settings, weights=published, out=tmp_path / "cut", observer=stop)
    cut = striate.resume(tmp_path / "cut", data=larger())
    assert cut.result["sha256"] == whole.result["sha256"]
    assert Run.open(whole.path).weights == str(published)
    assert f"--weights {published}" in str(run_page.command(whole))
    assert "fine-tune" not in str(run_page.command(whole)) or whole.recipe.name == "fine-tune"


@pytest.mark.slow
def test_a_run_goes_on_from_another_and_keeps_what_fits(tmp_path: Path):
    first = train("mlp", dataset(), recipe(epochs=1), out=tmp_path / "first")
    second = train("mlp", dataset(), Recipe(epochs=1, augment="none"), weights=first.path, out=tmp_path / "second")
    assert second.recipe.name == "custom"
    assert second.recipe.first_layer_rate == 0.1, "what a recipe leaves open is fine-tuning's"
    assert second.preprocess == first.preprocess
    assert second.result["sha256"] != first.result["sha256"]


@pytest.mark.slow
def test_images_get_the_size_that_the_weights_were_trained_with(published: Path, tmp_path: Path):
    torchvisions = {"image_size": (224, 224), "fit": "crop", "crop": 0.875, "interpolation": "bilinear"}
    assert wanted_input("resnet18", published) == torchvisions
    assert wanted_input("resnet18") == {}
    assert wanted_input("lenet5") == {"image_size": (28, 28)}
    assert wanted_input("efficientnet_lite3", published)["image_size"] == (280, 280)
    first = train("mlp", dataset(), recipe(epochs=1), out=tmp_path)
    own = {"image_size": (8, 8), "fit": "letterbox", "crop": 1.0, "interpolation": "bilinear"}
    assert wanted_input("mlp", first.path) == own
    safetensors.torch.save_file(striate.create("mlp").state_dict(), tmp_path / "own.safetensors")
    assert wanted_input("mlp", tmp_path / "own.safetensors") == {}


def test_weights_beside_a_module_are_refused(published: Path, tmp_path: Path):
    with pytest.raises(ArgumentError, match="given by its name"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), dataset(), weights=published, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rates_grow_from_the_first_layer_to_the_last():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    for name in ("sgd", "muon", "adamw"):
        optimizer = optimizer_of(Recipe(optimizer=name, first_layer_rate=0.01), model)
        share = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
        assert [share[id(p)] for p in model.parameters()] == pytest.approx([0.01] * 4 + [0.1] * 2 + [1] * 2)
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 8


def test_the_share_is_what_a_step_takes(tmp_path: Path):
    one = train("mlp", dataset(), recipe(epochs=1, first_layer_rate=1e-9, weight_decay=0), out=tmp_path / "one")
    fresh = one.architecture.make(one.recipe.seed).state_dict()
    after = one.final_weights()
    torch.testing.assert_close(after["hidden1.weight"], fresh["hidden1.weight"], rtol=0, atol=1e-6)
    assert (after["output.weight"] - fresh["output.weight"]).abs().max() > 1e-3


@pytest.mark.slow
def test_a_module_made_with_weights_is_given_images_as_they_expect(published: Path, tmp_path: Path):
    module = striate.create("resnet18", 3, 1, 24, weights=published, adapt=True)
    run = train(module, larger(4), recipe(epochs=1), out=tmp_path / "run")
    assert (run.preprocess.mean, run.preprocess.std) == module.normalization
