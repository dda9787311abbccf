"""A series of runs: what it refuses, where it continues, and that one failure does not lose the rest."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import dataset

from striate.comparison import series as module
from striate.comparison.series import FILE, Job, Series, claimed, data_fingerprint, misfits, record, train_all
from striate.data import Dataset, Split
from striate.errors import ArgumentError, CheckpointError, DataError, ShapeError
from striate.files import sealed, sha256
from striate.inference.scores import score
from striate.runs import Begun, Run
from striate.runs.folder import locked
from striate.training import Step

SHAPES = dataset(40)
QUICK = {"epochs": 1, "batch_size": 16, "augment": "none"}


def series(*models: str, seeds: int = 2, settings: dict[str, Any] | None = None, **data: Any) -> Series:
    about = {"source": "shapes", "image_size": None, "fit": "letterbox", "skip_bad": False, "seen": "x", **data}
    return Series(models or ("mlp", "fashion_cnn"), seeds, QUICK if settings is None else settings, about)


def shapes(model: str) -> Dataset:
    return SHAPES


class Watch:
    """Remembers the jobs and the events of their runs; raises at the `stop`th step of all."""

    def __init__(self, stop: int = -1) -> None:
        self.jobs: list[Job] = []
        self.begun: list[Begun] = []
        self.steps, self.stop = 0, stop

    @contextmanager
    def __call__(self, job: Job) -> Iterator[Callable[[Any], None]]:
        self.jobs.append(job)
        yield self.see

    def see(self, event: Any) -> None:
        if isinstance(event, Begun):
            self.begun.append(event)
        elif isinstance(event, Step):
            self.steps += 1
            if self.steps == self.stop:
                raise KeyboardInterrupt


def trained(asked: Series, out: Path, watch: Watch | None = None) -> tuple[dict[str, list[Run]], dict[str, str]]:
    with claimed(out, asked) as folder:
        return train_all(asked, folder, shapes, watch or Watch(), device="cpu")


def weights(folder: Path) -> dict[str, str]:
    files = folder.rglob("model.safetensors")
    return {file.parent.relative_to(folder).as_posix(): sha256(file.read_bytes()) for file in files}


# ---------------------------------------------------------------- what is asked for


def test_jobs_go_seed_by_seed_into_folders_of_safe_names():
    jobs = series("resnet18:stem=small,x=a/b", "mlp").jobs()
    assert [(job.name, job.number, job.total) for job in jobs] == [
        ("resnet18:stem=small,x=a/b, seed 0", 1, 4),
        ("mlp, seed 0", 2, 4),
        ("resnet18:stem=small,x=a/b, seed 1", 3, 4),
        ("mlp, seed 1", 4, 4),
    ]
    assert [job.folder.as_posix() for job in jobs[:2]] == ["resnet18-stem-small-x-a-b/seed-0", "mlp/seed-0"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Series((), 1, {}, {}), "name at least one"),
        (lambda: series("mlp", "lenet5", "mlp"), "mlp is named twice"),
        (lambda: series("a:b=c", "a-b-c"), "would share a folder"),
        (lambda: series(seeds=0), "seeds=0"),
        (lambda: series(settings={"seed": 3}), "--seeds"),
        (lambda: series(settings={"epoch": 3}), "Did you mean 'epochs'"),
        (lambda: series(settings={"momentum": "2"}), "momentum='2'"),
    ],
)
def test_what_can_not_be_is_refused(make: Callable[[], Series], message: str):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_settings_are_read_as_their_own_types():
    assert series(settings={"epochs": "3", "learning_rate": "1e-2"}).settings == {"epochs": 3, "learning_rate": 0.01}


def test_the_rest_of_the_recipe_is_the_models_own():
    recipe = series("lenet5").recipe(5)
    assert recipe.model_fields_set == {"name", "seed", *QUICK}
    assert (recipe.name, recipe.seed) == ("modern", 5)


def test_what_is_seen_depends_on_all_that_is_learnt_and_measured():
    other = replace(SHAPES, test=Split(SHAPES.test.images.flip(0), SHAPES.test.labels))
    assert data_fingerprint(SHAPES) == data_fingerprint(replace(SHAPES)) != data_fingerprint(other)
    with pytest.raises(DataError, match="has no test or val images"):
        data_fingerprint(replace(SHAPES, val=None, test=None))


def test_models_that_do_not_fit_are_known_before_any_training():
    assert misfits(series("mlp", "fashion_cnn"), shapes) == {}
    small = replace(SHAPES, train=Split(SHAPES.train.images[:, :4, :4], SHAPES.train.labels), val=None, test=None)
    assert list(misfits(series("mlp", "fashion_cnn"), lambda model: small)) == ["fashion_cnn"]
    with pytest.raises(ShapeError, match="8×8"):
        misfits(series("fashion_cnn"), lambda model: small)
    with pytest.raises(ArgumentError, match="unknown model"):
        misfits(series("mlp", "mpl"), shapes)


# ---------------------------------------------------------------- the folder


def test_the_request_is_there_before_the_first_run(tmp_path: Path):
    asked = series()
    with claimed(tmp_path / "out", asked) as folder:
        assert json.loads((folder / FILE).read_text()) == sealed(
            {"format": 1, "request": asked.to_dict(), "result": None}
        )
        assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [FILE]


def test_without_a_name_it_is_a_new_folder_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        with claimed(None, series(source="some/pictures")) as folder:
            assert folder.as_posix() == f"runs/compare-pictures-{number}"


def test_models_and_seeds_may_be_added_and_a_result_is_kept_only_where_nothing_was(tmp_path: Path):
    with claimed(tmp_path, series("mlp", seeds=1)) as folder:
        record(folder, series("mlp", seeds=1), {"answer": 42})
    for asked, result in [
        (series("mlp", seeds=1), {"answer": 42}),
        (series("mlp", "lenet5", seeds=1), None),
        (series("lenet5", "mlp", seeds=3), None),
    ]:
        with claimed(tmp_path, asked) as folder:
            assert json.loads((folder / FILE).read_text())["result"] == result


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (series(settings={**QUICK, "epochs": 2}), "was begun with epochs=1, not with epochs=2"),
        (series(settings={"epochs": 1, "batch_size": 16}), "was begun with augment=none, not without augment"),
        (series(settings={**QUICK, "momentum": 0.5}), "was begun without momentum, not with momentum=0.5"),
        (series(source="digits"), "was begun with source=shapes, not with source=digits"),
        (series(image_size=32), "was begun without image_size, not with image_size=32"),
        (series(skip_bad=True), "skip_bad"),
        (series(seen="y"), "the images of shapes have changed since"),
        (series("mlp"), "compares fashion_cnn too: name all of its models"),
        (series(seeds=1), "has 2 seeds, not 1"),
    ],
)
def test_another_series_is_refused_with_what_differs(tmp_path: Path, asked: Series, message: str):
    with claimed(tmp_path, series()):
        pass
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(CheckpointError, match=message) as error, claimed(tmp_path, asked):
        pass
    assert "--out" in str(error.value)
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "request": {"data": []}}'])
def test_a_damaged_request_is_named(tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(CheckpointError, match=f"{FILE} is damaged"), claimed(tmp_path, series()):
        pass


def test_a_request_that_was_changed_is_named(tmp_path: Path):
    with claimed(tmp_path, series()):
        pass
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**values, "result": {"rows": []}}))
    with pytest.raises(CheckpointError, match="do not have their checksum: bring it back"), claimed(tmp_path, series()):
        pass


def test_another_format_is_named(tmp_path: Path):
    (tmp_path / FILE).write_text('{"format": 2}')
    with pytest.raises(CheckpointError, match="format 2"), claimed(tmp_path, series()):
        pass


def test_a_folder_with_anything_else_and_one_in_use_are_refused(tmp_path: Path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(CheckpointError, match="is taken"), claimed(tmp_path, series()):
        pass
    with claimed(tmp_path / "mine", series()):
        with pytest.raises(CheckpointError, match="another process"), claimed(tmp_path / "mine", series()):
            pass
        with pytest.raises(CheckpointError, match="another process"), locked(tmp_path / "mine"):
            pass


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The series, never stopped. Read it only."""
    folder = tmp_path_factory.mktemp("series") / "whole"
    runs, failures = trained(series(), folder)
    assert failures == {}
    assert {model: [run.recipe.seed for run in each] for model, each in runs.items()} == {
        "mlp": [0, 1],
        "fashion_cnn": [0, 1],
    }
    return folder


@pytest.mark.slow
def test_every_run_is_the_one_that_train_makes_with_its_models_recipe(whole: Path):
    run = Run.open(whole / "fashion_cnn" / "seed-1")
    assert (run.recipe.optimizer, run.recipe.seed, run.recipe.epochs, run.recipe.name) == ("muon", 1, 1, "modern")
    assert len(weights(whole)) == 4
    assert "val_accuracy" in run.history()[0]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 5])
def test_stopped_anywhere_it_continues_and_ends_the_same(whole: Path, tmp_path: Path, stop: int):
    first, second = Watch(stop), Watch()
    with pytest.raises(KeyboardInterrupt):
        trained(series(), tmp_path / "out", first)
    kept = weights(tmp_path / "out")
    trained(series(), tmp_path / "out", second)
    assert len(second.jobs) == 4
    assert len(second.begun) == 4 - len(kept)
    assert weights(tmp_path / "out") == weights(whole)


def test_added_models_and_seeds_are_trained_and_nothing_else(tmp_path: Path):
    trained(series("mlp", seeds=1), tmp_path)
    before = weights(tmp_path)
    watch = Watch()
    runs, _ = trained(series("mlp", "lenet5_modern", seeds=2), tmp_path, watch)
    assert [(event.run.name, event.run.recipe.seed) for event in watch.begun] == [
        ("lenet5_modern", 0),
        ("mlp", 1),
        ("lenet5_modern", 1),
    ]
    assert before.items() <= weights(tmp_path).items()
    assert [len(each) for each in runs.values()] == [2, 2]


@pytest.mark.slow
def test_one_that_fails_does_not_lose_the_others(tmp_path: Path):
    settings = {**QUICK, "learning_rate": 1e30, "clip_norm": 0, "warmup": 0, "optimizer": "sgd"}
    runs, failures = trained(series("mlp", seeds=1, settings=settings), tmp_path / "wild")
    assert runs == {}
    assert "Try --set learning_rate" in failures["mlp, seed 0"]
    trained(series(seeds=1), tmp_path / "tame")
    broken = tmp_path / "tame" / "mlp" / "seed-0"
    (broken / "run.json").write_text("{")
    runs, failures = trained(series(seeds=1), tmp_path / "tame")
    assert list(runs) == ["fashion_cnn"]
    assert "run.json" in failures["mlp, seed 0"]


@pytest.mark.slow
def test_models_left_out_are_told_with_the_rest(tmp_path: Path):
    with claimed(tmp_path, series()) as folder:
        runs, failures = train_all(series(seeds=1), folder, shapes, Watch(), "cpu", without={"mlp": "too wide"})
    assert list(runs) == ["fashion_cnn"]
    assert failures == {"mlp": "too wide"}


def test_without_a_val_split_some_of_the_test_split_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_VAL_IMAGES", 7)
    unwatched = replace(SHAPES, val=None)
    test = unwatched.test
    assert test is not None
    watch = Watch()
    with claimed(tmp_path, series("mlp", seeds=1)) as folder:
        runs, _ = train_all(series("mlp", seeds=1), folder, lambda model: unwatched, watch, "cpu")
    (run,) = runs["mlp"]
    assert (run.result or {})["split"] == "test"
    data = watch.begun[0].data
    assert data.val is not None
    assert "of 7 test images" in data.notes[-1]
    assert len(data.val) == 7
    assert data.test is test
    for place, position in ((0, 0), (-1, -1)):  # from the first to the last, as a split may be in the classes' order
        assert torch.equal(data.val.images[place], test.images[position])
        assert data.val.labels[place] == test.labels[position]
    right = score(run.model(), data.val, run.preprocess, torch.device("cpu")).accuracy
    assert run.history()[-1]["val_accuracy"] == right
