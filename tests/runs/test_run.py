"""Runs: what training leaves on disk, that it can be repeated, continued and read back."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_run import CLASSES, Dropping, dataset, recipe, split

import striate
from striate.errors import (
    ArgumentError,
    CheckpointError,
    DivergedError,
    InterruptedRunError,
    RunError,
    ShapeError,
    StorageError,
)
from striate.inference import logits_of, score_of
from striate.runs import Begun, Ended, EpochEnded, Run, resume, session, train
from striate.training import Recipe, Step

WEIGHTS = "model.safetensors"


def weights(run: Run) -> bytes:
    return (run.path / WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("mlp", dataset(), recipe(), out=tmp_path_factory.mktemp("runs") / "mlp")


class StopAt:
    """An observer that acts once, after a given step."""

    def __init__(self, step: int, act):
        self.step, self.act = step, act

    def __call__(self, event) -> None:
        if isinstance(event, Step) and event.step == self.step:
            self.act()


def crash() -> None:
    raise RuntimeError("as if the machine had stopped")


def test_a_run_holds_everything(finished: Run):
    assert {path.name for path in finished.path.iterdir() if not path.name.startswith(".")} == {
        "run.json",
        "metrics.jsonl",
        "checkpoints",
        WEIGHTS,
        "calibration.json",
        "result.json",
    }
    result = json.loads((finished.path / "result.json").read_text())
    assert {"model", "data", "seed", "epochs", "train_seconds", "images_per_second"} <= set(result)
    assert {"accuracy", "top1_error", "top5_error", "loss", "n", "split"} <= set(result)
    assert result["n"] == 20
    assert result["split"] == "test"
    assert result["images_per_second"] == pytest.approx(200 / result["train_seconds"])
    history = finished.history()
    assert [line["epoch"] for line in history] == [1, 2]
    assert [line["step"] for line in history] == [7, 14]
    assert all(0 <= line["waiting"] <= 1 and 0 <= line["val_accuracy"] <= 1 for line in history)


def test_a_run_reads_back_as_it_was_written(finished: Run):
    again = Run.open(finished.path)
    assert again == finished
    assert again.classes == CLASSES


def test_the_weights_carry_classes_and_preprocessing(finished: Run):
    data = weights(finished)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    values = json.loads(header["striate"])
    assert values["classes"] == list(CLASSES)
    assert values["preprocess"]["height"] == 8
    assert values["architecture"]["name"] == "mlp"


def test_the_result_is_the_models_own_score(finished: Run):
    test = dataset().test
    logits = logits_of(finished.model(), test.images, finished.preprocess)
    measured = score_of(finished.calibrations()["none"].scaled(logits), test.labels)
    assert measured.accuracy == finished.result["accuracy"]
    assert measured.loss == pytest.approx(finished.result["loss"])


@pytest.mark.slow
def test_same_seed_same_bytes(finished: Run, tmp_path: Path):
    assert weights(train("mlp", dataset(), recipe(), out=tmp_path / "again")) == weights(finished)
    assert weights(train("mlp", dataset(), recipe(seed=1), out=tmp_path / "other")) != weights(finished)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "muon", "adamw", "nadam"])
@pytest.mark.parametrize("step", [1, 5, 7, 9])
def test_resuming_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, step: int):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    chosen = recipe(optimizer=optimizer, learning_rate=0.005)
    whole = train(Dropping(), dataset(), chosen, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="machine had stopped"):
        train(Dropping(), dataset(), chosen, out=tmp_path / "broken", observer=StopAt(step, crash))
    continued = resume(tmp_path / "broken", model=Dropping(seed=9), data=dataset())
    assert weights(continued) == weights(whole)
    timings = {"seconds", "images_per_second", "waiting"}
    assert [{k: v for k, v in line.items() if k not in timings} for line in continued.history()] == [
        {k: v for k, v in line.items() if k not in timings} for line in whole.history()
    ]


@pytest.mark.slow
def test_lighting_knows_the_training_images(tmp_path: Path):
    """Its colours are computed again on resume; the run is the one that was not stopped."""
    settings = recipe(augment="flip,lighting=3")
    whole = train("mlp", dataset(), settings, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="as if the machine"):
        train("mlp", dataset(), settings, out=tmp_path / "cut", observer=StopAt(10, crash))
    resume(tmp_path / "cut", data=dataset())
    assert weights(whole) == weights(Run.open(tmp_path / "cut"))
    assert weights(whole) != weights(train("mlp", dataset(), recipe(augment="flip"), out=tmp_path / "unlit"))


def test_a_run_killed_before_it_was_born_does_not_block_its_folder(finished: Run, tmp_path: Path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-000000000.safetensors").write_bytes(b"half")
    assert weights(train("mlp", dataset(), recipe(), out=tmp_path / "run")) == weights(finished)


def test_resuming_a_finished_run_changes_nothing(finished: Run):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    assert resume(finished.path) == finished
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_changed_data_is_refused(tmp_path: Path):
    with pytest.raises(RuntimeError, match="machine had stopped"):
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(1, crash))
    with pytest.raises(CheckpointError, match="has changed since"):
        resume(tmp_path / "run", data=dataset(99))


def test_a_taken_folder_is_refused_and_left_alone(finished: Run):
    before = weights(finished)
    with pytest.raises(CheckpointError, match="is taken"):
        train("mlp", dataset(), recipe(), out=finished.path)
    assert weights(finished) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(CheckpointError, match="is taken"):
        train("mlp", dataset(), recipe(), out=tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_that_is_no_run_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"holds no run\.json"):
        Run.open(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "model": {}}'])
def test_a_damaged_run_file_is_named(finished: Run, tmp_path: Path, content: str):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        Run.open(tmp_path)


def test_damaged_weights_are_never_used(finished: Run, tmp_path: Path):
    copied = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    (copied.path / WEIGHTS).write_bytes(weights(copied)[:-100])
    with pytest.raises(CheckpointError, match="SHA-256"):
        copied.model()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_says_how_to_go_on(finished: Run, tmp_path: Path, number: int):
    def interrupt() -> None:
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError, match=r"stopped at step 3 of 14.*--resume") as caught:
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(3, interrupt))
    assert caught.value.exit_code == 130
    assert signal.getsignal(number) is before
    done = []
    continued = resume(tmp_path / "run", data=dataset(), observer=lambda event: done.append(event))
    assert next(event for event in done if isinstance(event, Begun)).done == 3
    assert weights(continued) == weights(finished)


def test_a_loss_that_runs_away_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path):
    data = dataset()
    model = Dropping()

    def poison() -> None:
        with torch.no_grad():
            model.output.bias.fill_(float("nan"))

    with pytest.raises(DivergedError, match=r"step 10, learning rate .*Try --set learning_rate=.*last good checkpoint"):
        train(model, data, recipe(), out=tmp_path / "run", observer=StopAt(9, poison))
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == [f"step-00000000{n}.{kind}" for n in (0, 7) for kind in ("json", "safetensors")]


def test_a_full_disk_stops_the_run_and_keeps_what_was_saved(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    def fill() -> None:
        monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageError, match=r"no space left.*--resume") as caught:
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(5, fill))
    monkeypatch.setattr(os, "fsync", real)
    assert caught.value.exit_code == 1
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [f"step-00000000{n}.{kind}" for n in (3, 4) for kind in ("json", "safetensors")]
    assert weights(resume(tmp_path / "run", data=dataset())) == weights(finished)


def test_five_images_and_a_batch_of_128(tmp_path: Path):
    run = train("mlp", dataset(5), recipe(batch_size=128), out=tmp_path / "run")
    assert [line["step"] for line in run.history()] == [1, 2]
    assert run.result["images_per_second"] == pytest.approx(10 / run.result["train_seconds"])


def test_the_observer_hears_of_everything_in_order(tmp_path: Path):
    events: list[object] = []
    train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=events.append)
    kinds = [type(event) for event in events]
    assert kinds == [Begun, *[Step] * 7, EpochEnded, *[Step] * 7, EpochEnded, Ended]


def test_a_module_of_ones_own_trains_and_comes_back(tmp_path: Path):
    run = train(Dropping(), dataset(), recipe(), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match="module of yours"):
        run.model()
    trained = run.model(Dropping(seed=5))
    saved = safetensors.torch.load_file(run.path / WEIGHTS)
    assert all(torch.equal(trained.state_dict()[name], tensor) for name, tensor in saved.items())
    with pytest.raises(CheckpointError, match=r"surplus conv\.weight"):
        run.model(torch.nn.Linear(2, 2))


def test_tensorboard_gets_the_same_numbers(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train("mlp", dataset(), recipe(), out=tmp_path / "run", tensorboard=True)
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    logged = [(scalar.step, pytest.approx(scalar.value)) for scalar in events.Scalars("train_loss")]
    assert logged == [(line["step"], line["train_loss"]) for line in run.history()]


def test_an_unknown_device_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(ArgumentError, match="device 'tpu'"):
        train("mlp", dataset(), recipe(), out=tmp_path / "run", device="tpu")
    assert not (tmp_path / "run").exists()


def test_a_metrics_line_cut_short_is_not_history(tmp_path: Path):
    run = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    whole = run.history()
    (run.path / "result.json").unlink()  # as if killed
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 99, "tra')
    assert run.history() == whole


def test_resume_restores_damaged_final_weights(tmp_path: Path):
    run = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    expected = weights(run)
    (run.path / WEIGHTS).write_bytes(expected[:50])
    with pytest.raises(CheckpointError, match=r"SHA-256.*--resume"):
        run.model()
    assert weights(resume(run.path, data=dataset())) == expected


def test_a_damaged_newest_checkpoint_is_told_of_and_never_counts_as_kept(tmp_path: Path):
    with pytest.raises(RuntimeError, match="machine had stopped"):
        train("mlp", dataset(), recipe(epochs=3), out=tmp_path / "run", observer=StopAt(16, crash))
    folder = tmp_path / "run" / "checkpoints"
    newest = folder / "step-000000014.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"step-000000014.*Continue the run first"):
        Run.open(tmp_path / "run").model()
    heard: list[object] = []
    with pytest.raises(RuntimeError, match="machine had stopped"):
        resume(tmp_path / "run", data=dataset(), observer=lambda e: (heard.append(e), StopAt(8, crash)(e)))
    assert any("step-000000014" in note for note in heard[0].notes)
    assert sorted(path.stem for path in folder.glob("*.json")) == ["step-000000007"]


def test_what_a_recipe_leaves_open_the_model_decides(tmp_path: Path):
    given = train("lenet5", dataset(5), Recipe(epochs=1), out=tmp_path / "run").recipe
    assert (given.epochs, given.name) == (1, "custom")
    assert (given.learning_rate, given.schedule, given.loss) == (0.003, "cosine", "map")


def test_a_module_made_by_create_is_trained_as_its_name_is(tmp_path: Path):
    data, settings = dataset(10), Recipe(epochs=1, seed=4, precision="float32")
    by_name = train("lenet5", data, settings, out=tmp_path / "name")
    module = striate.create("lenet5", classes=3, image_size=8, seed=4)
    by_module = train(module, data, settings, out=tmp_path / "module")
    assert by_module.to_dict() | {"environment": 0} == by_name.to_dict() | {"environment": 0}
    assert weights(by_module) == weights(by_name)


def test_a_created_module_that_was_changed_is_a_module_of_ones_own(tmp_path: Path):
    module = striate.create("mlp", classes=3, image_size=8)
    module.hidden1 = torch.nn.Linear(64, 300, bias=False)
    assert train(module, dataset(), recipe(), out=tmp_path / "run").architecture is None


@pytest.mark.slow
def test_data_without_a_chosen_size_is_brought_to_the_models(tmp_path: Path):
    data = dataclasses.replace(dataset(5), sized=False)
    assert train("lenet5", data, Recipe(epochs=1), out=tmp_path / "a").preprocess.height == 28
    assert train("lenet5", dataset(5), Recipe(epochs=1), out=tmp_path / "b").preprocess.height == 8
    assert train("mlp", data, Recipe(epochs=1), out=tmp_path / "c").preprocess.height == 8


@pytest.mark.parametrize(
    "module", [torch.nn.Linear(3, 3), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))]
)
def test_a_module_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, module: torch.nn.Module):
    with pytest.raises(ShapeError, match=r"\(2, 1, 8, 8\)"):
        train(module, dataset(), recipe(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tied_weights_are_saved(tmp_path: Path):
    model = Dropping()
    model.again = model.dense
    assert train(model, dataset(), recipe(), out=tmp_path / "run").result


def test_an_empty_val_split_is_no_val_split(tmp_path: Path):
    data = dataclasses.replace(dataset(), val=split(0, 0))
    assert "val_loss" not in train("mlp", data, recipe(), out=tmp_path / "run").history()[0]


def test_a_damaged_result_is_written_again(tmp_path: Path):
    run = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    expected = run.result
    (run.path / "result.json").write_text('{"model": "ml')
    with pytest.raises(CheckpointError, match=r"result\.json is damaged; restore it"):
        run.model()
    assert resume(run.path, data=dataset()).result == expected


def test_a_run_without_any_checkpoint_says_so(tmp_path: Path):
    run = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    (run.path / "result.json").unlink()
    for path in (run.path / "checkpoints").glob("*.json"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no checkpoint to continue from"):
        resume(run.path, data=dataset())


def test_pressing_ctrl_c_again_does_not_spoil_the_first(tmp_path: Path):
    def interrupt() -> None:
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="stopped at step 3"):
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(3, interrupt))


@pytest.mark.slow
def test_checkpoints_of_a_run_without_a_run_file_are_not_continued(tmp_path: Path):
    expected = weights(train("mlp", dataset(), recipe(), out=tmp_path / "run"))
    for name in ("run.json", "metrics.jsonl", "result.json", "calibration.json", WEIGHTS):
        (tmp_path / "run" / name).unlink()
    again = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    assert [line["step"] for line in again.history()] == [7, 14]
    assert weights(again) == expected


def test_a_source_that_is_no_path_keeps_its_name(finished: Run):
    assert finished.source == "shapes"
    assert finished.result["data"] == "shapes"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_asks_for_a_smaller_batch(tmp_path: Path, error: Exception):
    def fail():
        raise error

    with pytest.raises(RunError, match=r"ran out of memory in steps of 16 images.*--batch-size 8"):
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(2, fail))


def test_another_runtime_error_is_not_taken_for_too_little_memory(tmp_path: Path):
    def fail():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(2, fail))
