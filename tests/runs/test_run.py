"""Runs: what training leaves on disk, that it can be repeated, continued and read back."""

import json
import os
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_run import CLASSES, Dropping, dataset, recipe

from striate.errors import ArgumentError, CheckpointError, DivergedError, InterruptedRunError, StorageError
from striate.runs import Begun, Ended, EpochEnded, Run, resume, session, train
from striate.training import Step, score

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
    assert {path.name for path in finished.path.iterdir()} == {
        "run.json",
        "metrics.jsonl",
        "checkpoints",
        WEIGHTS,
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
    measured = score(finished.model(), dataset().test, finished.preprocess)
    assert measured.accuracy == finished.result["accuracy"]
    assert measured.loss == pytest.approx(finished.result["loss"])


def test_same_seed_same_bytes(finished: Run, tmp_path: Path):
    assert weights(train("mlp", dataset(), recipe(), out=tmp_path / "again")) == weights(finished)
    assert weights(train("mlp", dataset(), recipe(seed=1), out=tmp_path / "other")) != weights(finished)


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

    with pytest.raises(InterruptedRunError, match=r"stopped at step 3 of 14.*--resume") as caught:
        train("mlp", dataset(), recipe(), out=tmp_path / "run", observer=StopAt(3, interrupt))
    assert caught.value.exit_code == 130
    assert signal.getsignal(number) != session._interrupts
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
