"""Several processes that load one folder at once: they fill one cache together, or one looks at all images for all."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import build, load
from striate.data.filling import Filling

PROGRAM = """
import hashlib, json, os, signal, sys, time
from pathlib import Path
from striate.data import build, filling, load, reader
from striate.data.images import decoder_pool
from striate.data.images.decoder_pool import Decoders

root, place, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
dies, meet = sys.argv[4] == "dies", int(sys.argv[5])
build._FEW_FILES = reader.IN_MEMORY = 0
filling._LEAST = filling._MOST = 4
decoded, finish, prepare_all = [], filling.Filling.finish, decoder_pool.prepare_all

def finished(self, number, problems):
    finish(self, number, problems)
    decoded.append(len(self.blocks[number]))
    (place / f"began-{os.getpid()}").touch()
    while len(list(place.glob("began-*"))) < meet:  # none takes a second block before each has one
        time.sleep(0.005)
    if dies and len(decoded) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)

def counted(image_refs, *rest):
    image_refs = list(image_refs)
    surveyed.append(len(image_refs))
    return prepare_all(image_refs, *rest)

surveyed = []
filling.Filling.finish, decoder_pool.prepare_all = finished, counted
init = Decoders.__init__
Decoders.__init__ = lambda self, preprocess, workers, *, processes: init(self, preprocess, 1, processes=False)
(place / f"ready-{os.getpid()}").touch()
while not (place / "go").exists():
    time.sleep(0.005)
data = load(root, image_size=8, channels=3, skip_bad=True, cache_size=size)
pixels = hashlib.sha256(data.train.images[:].numpy().tobytes()).hexdigest() if size > 10_000 else ""
print(json.dumps({"decoded": sum(decoded), "surveyed": sum(surveyed), "pixels": pixels, "data": data.fingerprint()}))
"""


def together(
    root: Path, place: Path, count: int, size: int = 10**9, dies: int = -1, meet: int = 0
) -> list[dict[str, object] | None]:
    """Load a folder in so many processes at once: what each says, `None` for one that died.

    Where `meet` is given, none of them takes a second block of images before so many have finished one.
    """
    for left in [place / "go", *place.glob("ready-*")]:
        left.unlink(missing_ok=True)
    environment = {**os.environ, "STRIATE_CACHE": str(place / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, root, place, str(size), "dies" if number == dies else "lives", str(meet)],
            env=environment, stdout=subprocess.PIPE, text=True,
        )
        for number in range(count)
    ]  # fmt: skip
    while len(list(place.glob("ready-*"))) < count:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (place / "go").touch()
    said = [process.communicate(timeout=60)[0] for process in processes]
    return [json.loads(each) if each else None for each in said]


@pytest.fixture
def many(folder: Callable[..., Path]) -> Path:
    root = folder("train", cats=33, dogs=20)
    (root / "train" / "cats" / "011.png").write_text("no image")
    for path in root.rglob("*.png"):
        os.utime(path, (time.time() - 3600,) * 2)
    return root / "train"


def serial(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], str]:
    """The pixels in the cache, by key, of a load by one process, and the data's fingerprint."""
    monkeypatch.setattr(build, "_FEW_FILES", 0)
    data = load(root, image_size=8, channels=3, skip_bad=True)
    return pixels_in(Path(os.environ["STRIATE_CACHE"])), data.fingerprint()


def pixels_in(cache: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in cache.rglob("pixels")}


@pytest.mark.slow
def test_processes_fill_one_cache_with_the_bytes_of_one(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = together(many, tmp_path, 3, meet=3)
    expected, fingerprint = serial(many, monkeypatch)
    assert pixels_in(tmp_path / "cache") == expected
    assert {each and each["data"] for each in found} == {fingerprint}
    shares = [each["decoded"] for each in found if each]
    assert sum(shares) == 53, "each image is decoded once"
    assert min(shares) > 0, "each process decodes a share"
    left = {path.name.partition("-")[0] for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left <= {"about.json", "pixels", ".lock"}


@pytest.mark.slow
def test_where_the_one_that_fills_dies_another_fills_with_the_same_bytes(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dead,) = together(many, tmp_path, 1, dies=0)
    assert dead is None
    assert list((tmp_path / "cache").rglob("*.part"))
    found = together(many, tmp_path, 2)
    expected, fingerprint = serial(many, monkeypatch)
    assert pixels_in(tmp_path / "cache") == expected
    assert {each and each["data"] for each in found} == {fingerprint}


@pytest.mark.slow
def test_where_the_cache_is_too_small_one_process_looks_at_all_images(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = together(many, tmp_path, 2, size=5000)
    _, fingerprint = serial(many, monkeypatch)
    assert {each and each["data"] for each in found} == {fingerprint}
    looked = sorted(each["surveyed"] for each in found if each)
    assert looked[0] < 10, "the bad one, which may be good by now"
    assert looked[1] >= 53
    assert sum(map(len, pixels_in(tmp_path / "cache").values())) <= 5000, "val and test fit"


def test_good_images_move_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.data.filling._LEAST", 3)
    (tmp_path / "pixels").write_bytes(bytes(range(20)))
    filling = Filling(tmp_path, (10, 1, 2, 1), makes=True)
    assert [len(block) for block in filling.blocks] == [3, 3, 3, 1]
    filling.leave_out({0, 4, 9})
    assert (tmp_path / "pixels").read_bytes() == bytes([2, 3, 4, 5, 6, 7, *range(10, 18)])
    filling.close(remove=True)
    assert [path.name for path in tmp_path.iterdir()] == ["pixels"]


def test_a_block_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.data.filling._LEAST", 5)
    (tmp_path / "pixels").write_bytes(bytes(20))
    with pytest.raises(OSError, match="blocks"):
        Filling(tmp_path, (10, 1, 2, 1), makes=False)
    filling = Filling(tmp_path, (10, 1, 2, 1), makes=True)
    assert taken_elsewhere(tmp_path) == [True, True, False], "two blocks are free, and the maker is there"
    with filling.taken(1) as own:
        assert own
        assert taken_elsewhere(tmp_path) == [True, False, False]
        filling.finish(1, {4: "truncated"})
    with filling.taken(1) as own:
        assert not own
    assert (filling.images_done, filling.problems()) == (5, {4: "truncated"})
    assert taken_elsewhere(tmp_path) == [True, False, False]
    filling.close()
    assert taken_elsewhere(tmp_path) == [True, False, True], "the maker has ended"


def taken_elsewhere(folder: Path) -> list[bool]:
    """Which of two blocks another process can take, and whether it finds the filling given up."""
    program = """
import sys
from pathlib import Path
from striate.data import filling
filling._LEAST = 5
found = filling.Filling(Path(sys.argv[1]), (10, 1, 2, 1), makes=False)
said = []
for number in (0, 1):
    with found.taken(number) as own:
        said.append(own)
print([*said, found.is_given_up])
"""
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.lower())
