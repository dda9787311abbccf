"""Threads and processes that decode: the same pixels from any number of either."""

import io
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data.images import decoder_pool as decoders_module
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef
from striate.data.images.prepare import prepare
from striate.errors import RunError
from striate.preprocess import Preprocess

Paint = Callable[..., Path]
WANTED = Preprocess(6, 5, 3, "crop", (0.0,) * 3, (1.0,) * 3)


@pytest.fixture
def image_refs(tmp_path: Path, paint: Paint) -> list[ImageRef]:
    """150 images, of which one is damaged, one is missing, and one lies in the middle of a file."""
    made = [ImageRef(paint(tmp_path / f"ünï-{seed}.png", seed)) for seed in range(150)]
    made[70].path.write_bytes(b"damaged")
    made[149] = ImageRef(tmp_path / "gone.png")
    content = made[3].path.read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"before" + content + b"after")
    made[3] = ImageRef(tmp_path / "shard.tar", 6, len(content), "3.png")
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "processes"), [(1, False), (4, False), (1, True), (4, True)])
def test_pixels_and_problems_are_those_of_one_after_the_other(
    workers: int, processes: bool, image_refs: list[ImageRef]
) -> None:
    decoders = Decoders(WANTED, workers, processes=processes)
    chunks = list(decoders.stream(image_refs))
    again = decoders.decode(image_refs[::-1])
    decoders.close()
    assert [chunk.start for chunk in chunks] == [0, 32, 64, 96, 128]
    found = np.concatenate([chunk.pixels for chunk in chunks])
    problems = {chunk.start + at: reason for chunk in chunks for at, reason in chunk.problems.items()}
    assert problems == {70: "not an image", 149: "can't be read (No such file or directory)"}
    for position in set(range(150)) - set(problems):
        expected = prepare(image_refs[position].source, WANTED)
        assert np.array_equal(found[position], expected)
        assert np.array_equal(again.pixels[149 - position], expected)
    assert again.problems == {149 - position: reason for position, reason in problems.items()}


def test_only_a_few_chunks_are_made_ahead(image_refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = Decoders(WANTED, 1, processes=False)
    really_buffer, buffers = decoders._buffer, []
    monkeypatch.setattr(decoders, "_buffer", lambda count: buffers.append(count) or really_buffer(count))
    stream = decoders.stream(image_refs)
    next(stream)
    time.sleep(0.05)
    assert len(buffers) == decoders_module._AHEAD
    stream.close()
    decoders.close()


def test_large_images_come_in_small_chunks() -> None:
    decoders = Decoders(Preprocess(400, 400, 3, mean=(0.0,) * 3, std=(1.0,) * 3), 1, processes=False)
    assert [len(chunk.pixels) for chunk in decoders.stream([ImageRef(Path("gone"))] * 5)] == [2, 2, 1]
    decoders.close()


@pytest.mark.slow
def test_small_images_are_for_processes_and_large_ones_for_threads(image_refs: list[ImageRef], tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(image_refs[0].path.read_bytes() + bytes(decoders_module._SMALL))
    decoders = Decoders(WANTED, 1, processes=True)
    found = [chunk.pixels for chunk in decoders.stream([ImageRef(large)] * 3)]
    assert not decoders._helpers
    assert np.array_equal(found[0], [prepare(large, WANTED)] * 3)
    found = [chunk.pixels for chunk in decoders.stream([image_refs[0]] * 3)]
    assert len(decoders._helpers or ()) == 1
    assert np.array_equal(found[0], [prepare(large, WANTED)] * 3)
    decoders.close()


def test_threads_finish_no_task_when_they_are_to_end(
    image_refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders, opened = Decoders(WANTED, 1, processes=False), []

    def ending(*words: object) -> None:
        opened.append(words)
        decoders.close()

    monkeypatch.setattr("striate.data.images.prepare.decode_to", ending)
    next(decoders.stream(image_refs))
    assert len(opened) == 1


@pytest.mark.slow
def test_processes_end_with_the_decoders_even_if_nobody_closes_them(image_refs: list[ImageRef]) -> None:
    decoders = Decoders(WANTED, 2, processes=True)
    decoders.decode(image_refs)
    helpers, lock = list(decoders._helpers or ()), decoders._lock
    assert 1 <= len(helpers) <= 2
    assert all(helper.process.poll() is None for helper in helpers)
    assert not lock.closed
    del decoders
    assert all(helper.process.returncode is not None for helper in helpers)
    assert lock.closed
    for thread in threading.enumerate():
        if thread.name.startswith("striate-decoding"):
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.mark.slow
def test_another_process_takes_the_place_of_one_that_died(image_refs: list[ImageRef]) -> None:
    decoders = Decoders(WANTED, 1, processes=True)
    expected = decoders.decode(image_refs[:2])
    (helper,) = decoders._helpers or ()
    helper.process.kill()
    found = decoders.decode(image_refs[:2])
    assert np.array_equal(found.pixels, expected.pixels)
    assert len(decoders._helpers or ()) == 1
    assert helper not in (decoders._helpers or ())
    decoders.close()


@pytest.mark.slow
def test_processes_that_die_are_an_error_and_not_a_wait_for_ever(
    image_refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders = Decoders(WANTED, 1, processes=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", shutil.which("true"))
        for _ in range(2):
            with pytest.raises(RunError, match=r"ended early \(exit code 0\)"):
                decoders.decode(image_refs[:2])
    assert not decoders.decode(image_refs[:2]).problems
    assert len(decoders._helpers or ()) == 1
    decoders.close()


@pytest.mark.skipif(not decoders_module._HAS_LOCKS, reason="needs locks on inherited files, which this system lacks")
def test_processes_take_turns_with_an_inherited_lock() -> None:
    program = (
        "import sys; from striate.data.images.decoder_pool import _Lock\n"
        "with _Lock(int(sys.argv[1])): print('in', flush=True); sys.stdin.readline(); print('out', flush=True)"
    )
    with tempfile.TemporaryFile() as lock:
        command = [sys.executable, "-c", program, str(lock.fileno())]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "pass_fds": (lock.fileno(),)}
        one = subprocess.Popen(command, **pipes)
        assert one.stdout.readline() == "in\n"
        other = subprocess.Popen(command, **pipes)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)
        assert one.communicate("\n")[0] == "out\n"
        assert other.communicate("\n")[0] == "in\nout\n"


def test_nothing_is_left_among_the_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    decoders = Decoders(WANTED, 2, processes=True)
    assert not list(tmp_path.iterdir())
    decoders.close()


def test_a_process_imports_no_pytorch_and_ends_with_its_input() -> None:
    code = (
        "import sys; from striate.data.images import decoder_pool; decoder_pool.main(); print('torch' in sys.modules)"
    )
    first = b'{"preprocess": {"height": 2, "width": 2, "channels": 1, "mean": [0], "std": [1]}, "lock": 0}\n'
    done = subprocess.run([sys.executable, "-c", code], input=first, capture_output=True, timeout=120)
    assert done.stderr == b"False\n"  # what is printed there goes to standard error
    assert (done.stdout, done.returncode) == (b"", 0)


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_process_whose_parent_dies_in_the_middle_of_a_line_ends_in_silence(cut: int) -> None:
    whole = b'{"preprocess": {"height": 2, "width": 2, "channels": 1, "mean": [0], "std": [1]}, "lock": 0}\n'
    decoders_module.serve(io.BytesIO(whole[:cut]), io.BytesIO())
    decoders_module.serve(io.BytesIO(whole + b'[["a.png", 0,'), answers := io.BytesIO())
    assert answers.getvalue() == b""
