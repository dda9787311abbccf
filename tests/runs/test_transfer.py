"""Recipe transfer: the fitted head, what is trained after it, and what is kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_run import CLASSES, Dropping, dataset, recipe, split
from torch import Tensor

import striate
from striate.data import Dataset
from striate.errors import ArgumentError, CheckpointError
from striate.evaluation import evaluate
from striate.runs import Begun, Run, feature_cache, train, transfer
from striate.runs.held_out import held_out
from striate.runs.transfer import Fit
from striate.training import Step

TRANSFER = {"batch_size": 16, "augment": "none"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose weights others begin with: one epoch, so that its features are of some use."""
    return train("mlp", dataset(), recipe(epochs=1), out=tmp_path_factory.mktemp("first") / "run")


def unclear(count: int = 300) -> Dataset:
    """The shapes with a third of the labels changed: nothing can be right about all of them."""
    data = dataset(count)
    labels = data.train.labels.clone()
    labels[::3] = (labels[::3] + 1) % len(CLASSES)
    return replace(data, train=replace(data.train, labels=labels))


def transferred(first: Run, out: Path, data: Dataset | None = None, **settings: object) -> Run:
    return train("mlp", data or dataset(), "transfer", weights=first.path, out=out, **{**TRANSFER, **settings})


def weights(run: Run) -> dict[str, Tensor]:
    return run.final_weights()


def test_a_frozen_backbone_keeps_every_weight_and_the_head_is_the_fitted_one(first: Run, tmp_path: Path):
    run = transferred(first, tmp_path / "run", freeze_backbone=True)
    before, after = weights(first), weights(run)
    last = [name for name in after if not torch.equal(before[name], after[name])]
    assert {name.rpartition(".")[2] for name in last} == {"weight", "bias"}
    assert len({name.rpartition(".")[0] for name in last}) == 1
    assert run.result["steps"] == "0"
    assert run.history() == []
    fit = Fit.read(run.path)
    assert fit.images == 100
    assert fit.mistakes < 30
    assert run.result["accuracy"] == evaluate(run, dataset()).accuracy > 0.7


@pytest.mark.slow
def test_few_mistakes_leave_fine_tuning_out_unless_it_is_asked_for(first: Run, tmp_path: Path):
    told: list[str] = []

    def observer(event: object) -> None:
        if isinstance(event, Begun):
            told.extend(event.notes)

    run = train("mlp", dataset(), "transfer", weights=first.path, out=tmp_path / "a", observer=observer, **TRANSFER)
    assert run.recipe.freeze_backbone
    assert any("cross-validated accuracy" in note for note in told)
    assert any("--epochs" in note for note in told)
    asked = transferred(first, tmp_path / "b", epochs=1)
    assert not asked.recipe.freeze_backbone
    assert asked.result["steps"] == "7"
    many = transferred(first, tmp_path / "c", unclear())
    assert not many.recipe.freeze_backbone
    assert len(many.history()) == many.recipe.epochs


@pytest.mark.slow
def test_what_trains_worse_than_the_head_is_not_kept(first: Run, tmp_path: Path):
    data = dataset(150)
    frozen = transferred(first, tmp_path / "frozen", data, freeze_backbone=True)
    bad = transferred(first, tmp_path / "bad", data, epochs=1, learning_rate=0.9, first_layer_rate=1.0)
    assert bad.result["kept"] == "fitted head"
    assert bad.result["held_out"]["fine_tuned"] <= bad.result["held_out"]["fitted_head"]
    assert all(torch.equal(value, weights(bad)[name]) for name, value in weights(frozen).items())


@pytest.mark.slow
def test_what_trains_better_is_kept(tmp_path: Path):
    blank = train("mlp", dataset(), recipe(epochs=1, learning_rate=1e-9), out=tmp_path / "blank")
    state = striate.create("mlp", len(CLASSES), 1, 8, seed=0, weights=blank.path)
    with torch.no_grad():
        next(state.parameters())[:, 1:] = 0  # features of one pixel in the corner, until they are trained
    torch.save(state.state_dict(), tmp_path / "blank.pth")
    run = train(
        "mlp", dataset(300), "transfer", weights=tmp_path / "blank.pth", out=tmp_path / "run", **TRANSFER,
        epochs=12, learning_rate=0.01, first_layer_rate=1.0, class_weights="balanced",
    )  # fmt: skip
    assert run.result["kept"] == "fine-tuned"
    assert run.result["held_out"]["fine_tuned"] >= run.result["held_out"]["fitted_head"]
    assert run.result["held_out"]["n"] == len(held_out(dataset(300).train.labels, run.recipe))


@pytest.mark.slow
def test_equal_commands_give_equal_bytes_and_a_stopped_run_goes_on(first: Run, tmp_path: Path):
    whole = transferred(first, tmp_path / "whole", data=dataset(150), epochs=2)

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transferred(first, tmp_path / "cut", data=dataset(150), epochs=2, observer=stop)
    cut = striate.resume(tmp_path / "cut", data=dataset(150))
    again = transferred(first, tmp_path / "again", data=dataset(150), epochs=2)
    assert cut.result["sha256"] == whole.result["sha256"] == again.result["sha256"]
    (tmp_path / "cut" / "fitted.safetensors").write_bytes(b"damaged")
    (tmp_path / "cut" / "result.json").unlink()
    with pytest.raises(CheckpointError, match="fitted"):
        striate.resume(tmp_path / "cut", data=dataset(150))


@pytest.mark.slow
def test_batch_normalisation_keeps_its_statistics(tmp_path: Path):
    start = train("resnet20", dataset(48), recipe(epochs=1), out=tmp_path / "start")
    run = train(
        "resnet20", dataset(120), "transfer", weights=start.path, out=tmp_path / "run", epochs=1, **TRANSFER, held_out=0
    )
    before, after = weights(start), weights(run)
    norms = [name for name in before if "bn" in name or "running" in name]
    assert norms
    assert all(torch.equal(before[name], after[name]) for name in norms if "num_batches" not in name)
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert "kept" not in run.result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "mlp"}, "begin with weights"),
        ({"model": "lenet5"}, "begin with weights"),
        ({"model": Dropping(), "head": "fitted"}, None),
    ],
)
def test_a_fitted_head_needs_learnt_features(arguments: dict[str, object], message: str | None, tmp_path: Path):
    model = arguments.pop("model")
    if message is None:  # a module has weights of its own
        assert train(model, dataset(), out=tmp_path / "run", freeze_backbone=True, **TRANSFER, **arguments).result
        return
    with pytest.raises(ArgumentError, match=message):
        train(model, dataset(), "transfer", out=tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_last_layer_that_does_not_give_the_logits_is_refused(tmp_path: Path):
    class Squared(Dropping):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) ** 2

    with pytest.raises(ArgumentError, match="is not a dense layer that gives the logits"):
        train(Squared(), dataset(), out=tmp_path / "run", head="fitted", **TRANSFER)


def test_features_are_computed_once(first: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    transferred(first, tmp_path / "a", freeze_backbone=True, seed=1)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("computed again")

    monkeypatch.setattr(feature_cache, "features_of", refuse)
    transferred(first, tmp_path / "b", freeze_backbone=True, seed=2)
    other = replace(dataset(), train=split(100, 9))
    with pytest.raises(AssertionError, match="computed again"):
        transferred(first, tmp_path / "c", other, freeze_backbone=True)


def test_the_cache_of_features_keeps_to_its_limit(first: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Path(tmp_path / "cache" / "features")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    transferred(first, tmp_path / "a", freeze_backbone=True)
    (old,) = folder.iterdir()
    monkeypatch.setattr(feature_cache, "MOST", old.stat().st_size + 10)
    transferred(first, tmp_path / "b", replace(dataset(), train=split(100, 9)), freeze_backbone=True)
    (new,) = folder.iterdir()
    assert new != old
    new.write_bytes(b"damaged")
    assert transferred(first, tmp_path / "c", replace(dataset(), train=split(100, 9)), freeze_backbone=True).result


def test_a_damaged_note_on_the_head_is_one_clear_error(first: Run, tmp_path: Path):
    run = transferred(first, tmp_path / "run", freeze_backbone=True)
    (run.path / transfer.HEAD).write_text('{"held_out": null}')
    with pytest.raises(CheckpointError, match=r"head\.json is damaged"):
        Fit.read(run.path)
