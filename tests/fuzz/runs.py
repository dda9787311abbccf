"""Fuzz targets: the files of a run, and the texts that people type."""

import atexit
import contextlib
import copy
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from fuzz.harness import Target
from fuzz.mutations import mutated
from hypothesis import strategies as st
from small_run import Dropping, dataset, recipe

from striate import augmentation, models
from striate.comparison import series
from striate.errors import CheckpointError
from striate.files import sha256
from striate.runs import Run, resume, train
from striate.training import Plan, Step, chosen
from striate.units import bytes_of, seconds

WEIGHTS = "model.safetensors"
DATA = dataset(40)
SETTINGS = {"epochs": 3, "batch_size": 16, "calibration": 0.0}


@cache
def folders() -> tuple[Path, Path]:
    """A finished run, and one that was stopped in its third epoch; made once, and removed when the process ends."""
    place = Path(tempfile.mkdtemp(prefix="striate-fuzz-runs-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 8:
            raise KeyboardInterrupt

    train(Dropping(), DATA, recipe(**SETTINGS), out=place / "finished")
    with contextlib.suppress(KeyboardInterrupt):
        train(Dropping(), DATA, recipe(**SETTINGS), out=place / "stopped", observer=stop)
    return place / "finished", place / "stopped"


# ---------------------------------------------------------------- JSON whose values were changed

HOSTILE = st.sampled_from(
    [None, True, -1, 0, 10**400, 2**63, 1e308, -0.0, "", "\x1b[2J", "../../etc/passwd", "nan", [], {}, [[]], {"a": {}}]
)
TEXTS = [b"[" * 5_000, b'{"a":' * 5_000, b"NaN", b'{"step": 1e999}', b"\xff\xfe", b"", b"null", b"1" * 5000]


@st.composite
def changed(draw: st.DrawFn, valid: bytes) -> bytes:
    """A JSON text with one to three of its values replaced, removed or added."""
    value = json.loads(valid)
    for _ in range(draw(st.integers(1, 3))):
        inside = value
        while isinstance(inside, dict | list) and inside:
            key = draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
            if not isinstance(inside[key], dict | list) or not inside[key] or draw(st.booleans()):
                break
            inside = inside[key]
        if not isinstance(inside, dict | list) or not inside:
            break
        if draw(st.integers(0, 3)) == 0:
            del inside[key]
        else:
            inside[key] = copy.deepcopy(draw(HOSTILE))
    return json.dumps(value).encode()


@st.composite
def damaged(draw: st.DrawFn, finished: bool) -> tuple[str, bytes]:
    """A file of a run by its name, and what it holds now."""
    folder = folders()[0 if finished else 1]
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.*")) if path.name != ".lock"]
    name = draw(st.sampled_from([each for each in names if finished == (not each.startswith("checkpoints"))]))
    valid = (folder / name).read_bytes()
    ways = [mutated([valid]), st.sampled_from(TEXTS)]
    return name, draw(st.one_of(ways + ([changed(valid)] * 3 if name.endswith(".json") else [])))


def _with_damage(given: tuple[str, bytes], folder: Path, finished: bool) -> Path:
    run = shutil.copytree(folders()[0 if finished else 1], folder / "run")
    (run / given[0]).write_bytes(given[1])
    return run


def _used(given: tuple[str, bytes], folder: Path) -> tuple[list[Any], torch.Tensor]:
    run = Run.open(_with_damage(given, folder, finished=True))
    repr(run)
    return run.history(), run.model(Dropping())(torch.ones(1, 1, 8, 8))


@cache
def _expected() -> tuple[list[Any], torch.Tensor]:
    run = Run.open(folders()[0])
    return run.history(), run.model(Dropping())(torch.ones(1, 1, 8, 8))


def _differs(given: tuple[str, bytes], found: tuple[list[Any], torch.Tensor]) -> str:
    history, logits = _expected()
    if not torch.equal(found[1], logits):
        return "other logits"
    return "" if found[0] == history else "another history"


def _continued(given: tuple[str, bytes], folder: Path) -> str:
    run = resume(_with_damage(given, folder, finished=False), model=Dropping(seed=5), data=DATA)
    return sha256((run.path / WEIGHTS).read_bytes())


def _other_weights(given: tuple[str, bytes], digest: str) -> str:
    return "" if digest == sha256((folders()[0] / WEIGHTS).read_bytes()) else "other weights"


# ---------------------------------------------------------------- a comparison's file

REQUEST = series.Series(("mlp", "lenet5"), 2, {"epochs": 1}, {"source": "digits", "seen": "1"})


@cache
def _comparison() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        series.record(Path(folder), REQUEST, {"rows": []})
        return (Path(folder) / series.FILE).read_bytes()


def _comparison_read(given: bytes, folder: Path) -> str:
    (folder / series.FILE).write_bytes(given)
    with series.claimed(folder, REQUEST):
        return (folder / series.FILE).read_text()


# ---------------------------------------------------------------- texts


def words(*parts: str) -> st.SearchStrategy[str]:
    """Texts made of parts that mean something, and of anything else."""
    return st.lists(st.sampled_from(parts) | st.text(max_size=3), max_size=8).map("".join)


def _setting(given: str, folder: Path) -> object:
    key, _, value = given.partition("=")
    return chosen(None, {key: value}, "lenet5").model_dump()


def _plan(given: str, folder: Path) -> Plan:
    return Plan.parse(given)


def _bad_plan(given: str, plan: Plan) -> str:
    return "" if Plan.parse(plan.text) == plan else "its text is another plan"


def _size(given: str, folder: Path) -> int | float:
    try:
        return bytes_of(given)
    except CheckpointError:
        raise AssertionError("an error of another kind") from None


TARGETS: tuple[Target, ...] = (
    Target("files of a finished run", st.deferred(lambda: damaged(finished=True)), _used, _differs, cost=4),
    Target("checkpoints", st.deferred(lambda: damaged(finished=False)), _continued, _other_weights, cost=8),
    Target(
        "comparison.json",
        st.deferred(lambda: changed(_comparison()) | mutated([_comparison()]) | st.sampled_from(TEXTS)),
        _comparison_read,
    ),
    Target(
        "policies",
        words(
            "flip,",
            "shift=0.1",
            "flip",
            "shift",
            "rotate",
            "zoom",
            "erase",
            "mixup",
            "=",
            "0.1",
            "10",
            ",",
            ":",
            "1e999",
            "-1",
            "nan",
        ),
        lambda given, folder: augmentation.parse(given),
    ),
    Target(
        "plans",
        words("3752,1200:3500", "0", "1", "3752", ",", ":", "1200:3500", "-", " ", "²", "9" * 30),
        _plan,
        _bad_plan,
    ),
    Target("sizes", words("8GB", "8", "1.5", "GB", " ", "MiB", "e", "-", "9" * 400, "."), _size),
    Target(
        "durations",
        words("1h30m", "90s", "1", "90", "s", "m", "h", ".", "-", "inf", "9" * 400),
        lambda given, _: seconds(given),
    ),
    Target(
        "model names",
        words(
            "resnet18:stem=small",
            "resnet18",
            "quicknet_m",
            ":",
            "stem=small",
            "antialias=true",
            ",",
            "=",
            "lenet5",
            "imagenet",
        ),
        lambda given, folder: models.parse(given),
    ),
    Target(
        "settings",
        words(
            "epochs=3",
            "learning_rate=0.1",
            "epochs",
            "learning_rate",
            "seed",
            "=",
            "0.1",
            "nan",
            "1e999",
            "-3",
            "augment",
            "tta",
            "flip",
            "held_out",
        ),
        _setting,
    ),
)
