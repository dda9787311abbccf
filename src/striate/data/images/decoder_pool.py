"""Parallel decoding of many images, by threads or by processes of their own; the pixels are the same.

Python runs one thread at a time, and most of the time for opening a small image is spent in Python: processes are for
many small images, and for decoding during training. For a photograph it is a tenth, and threads save the start of
processes, their import of PyTorch (which resizes), and the transfer of the pixels.

A decoder process does nothing but decode. It imports PyTorch only to resize, and so starts ten times as fast where
nothing is resized. It reads requests from its standard input and answers on its standard output:

    first        a line of JSON: the preprocessing, and the open file to lock while decoding a very large image
    a request    a line of JSON: a list of [path, offset, length]
    its answer   a line of JSON: {position: reason} of the images that can't be decoded; then, for each image of the
                 request, height × width × channels bytes

It ends when its input does, so it never outlives the process it works for.
"""

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import takewhile
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

import numpy as np

from striate.data.images.image_ref import ImageRef
from striate.data.images.prepare import prepare_all
from striate.errors import DataError, RunError
from striate.hardware import single_core_threads
from striate.preprocess import Preprocess

try:
    import fcntl
except ImportError:  # Windows
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

_TASK = 32  # images a task: few enough to show progress, enough that a million images don't mean a million tasks
_TASK_BYTES = 2**20  # of pixels: larger tasks leave the processor's caches
_SMALL = 8 * 2**10  # bytes of a file
_AHEAD = 4  # tasks a worker: with fewer, workers wait while the consumer does


class Chunk(NamedTuple):
    """Consecutive images: uint8 (n, height, width, channels), and the reasons for the bad ones by position."""

    start: int
    pixels: np.ndarray
    problems: dict[int, str]


class Decoders:
    """Pool of decoders: threads that decode themselves or by a process each. Processes start with the first task.

    Args:
        preprocess: the size and channels of the results.
        workers: the number of threads.
        processes: whether each has a process, for lazily decoded images and for small ones.
    """

    def __init__(self, preprocess: Preprocess, workers: int, *, processes: bool):
        self.preprocess = preprocess
        self.workers = workers
        self._own = threading.local()
        self._helpers: list[_Helper] | None = [] if processes and sys.executable else None
        self._threads = single_core_threads(workers, "striate-decoding")
        # Unlinked from the beginning, so that nothing of it is left however the process ends.
        self._lock = None if self._helpers is None else tempfile.TemporaryFile(prefix="striate-")  # noqa: SIM115
        self._ended = threading.Event()
        self._end = weakref.finalize(self, _stop, self._threads, self._helpers, self._lock, self._ended)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the results."""
        return self.preprocess.height, self.preprocess.width, self.preprocess.channels

    def decode(self, image_refs: Sequence[ImageRef]) -> Chunk:
        """Decode these images, divided among all workers."""
        size = max(1, min(_TASK, -(-len(image_refs) // self.workers)))
        pixels = self._buffer(len(image_refs))
        problems: dict[int, str] = {}
        waiting = [
            (start, self._submit(image_refs[start : start + size], pixels[start : start + size], self._helpers))
            for start in range(0, len(image_refs), size)
        ]
        for start, task in waiting:
            problems |= {start + position: reason for position, reason in task.result().items()}
        return Chunk(0, pixels, problems)

    def stream(self, image_refs: Sequence[ImageRef]) -> Iterator[Chunk]:
        """Decode these images chunk by chunk, in order. Only a few chunks are in memory at a time."""
        size = max(1, min(_TASK, _TASK_BYTES // math.prod(self.shape)))
        helpers = self._helpers if _are_small(image_refs) else None
        under_way: deque[tuple[int, np.ndarray, Future[dict[int, str]]]] = deque()
        starts = iter(range(0, len(image_refs), size))
        try:
            while True:
                while len(under_way) < _AHEAD * self.workers and (start := next(starts, None)) is not None:
                    part = image_refs[start : start + size]
                    pixels = self._buffer(len(part))
                    under_way.append((start, pixels, self._submit(part, pixels, helpers)))
                if not under_way:
                    return
                start, pixels, task = under_way.popleft()
                yield Chunk(start, pixels, task.result())
        finally:
            for _, _, task in under_way:  # or an error, or Ctrl-C, would wait for all of it
                task.cancel()

    def close(self) -> None:
        """End the threads and processes; otherwise they end when this object is garbage-collected."""
        self._end()

    def _buffer(self, count: int) -> np.ndarray:
        try:
            return np.empty((count, *self.shape), dtype=np.uint8)
        except MemoryError as error:
            gibibytes = count * math.prod(self.shape) / 2**30
            raise DataError(f"{count} images need {gibibytes:.1f} GiB of memory: choose a smaller size.") from error

    def _submit(
        self, image_refs: Sequence[ImageRef], pixels: np.ndarray, helpers: "list[_Helper] | None"
    ) -> "Future[dict[int, str]]":
        task = _Task(self.preprocess, self._own, helpers, self._lock, self._ended)
        return self._threads.submit(task.decode, image_refs, pixels)


class _Task(NamedTuple):
    """The state that a thread needs; not `Decoders` itself, which its threads would keep alive with its processes."""

    preprocess: Preprocess
    own: threading.local
    helpers: "list[_Helper] | None"
    lock: IO[bytes] | None
    ended: threading.Event

    def decode(self, image_refs: Sequence[ImageRef], pixels: np.ndarray) -> dict[int, str]:
        if self.helpers is None or self.lock is None:
            wanted = takewhile(lambda _: not self.ended.is_set(), image_refs)
            return prepare_all(wanted, self.preprocess, pixels)
        helper = getattr(self.own, "helper", None) or self._begun(self.helpers, self.lock)
        try:
            return helper.decode(image_refs, pixels)
        except RunError:  # one crash is retried
            if self.ended.is_set():
                raise
            self.helpers.remove(helper)
            helper.end()
            return self._begun(self.helpers, self.lock).decode(image_refs, pixels)

    def _begun(self, helpers: "list[_Helper]", lock: IO[bytes]) -> "_Helper":
        helper = self.own.helper = _Helper(self.preprocess, lock)
        helpers.append(helper)
        return helper


def _are_small(image_refs: Sequence[ImageRef]) -> bool:
    """Return whether opening these images takes longer than decoding them, judged by the file sizes of a sample."""
    stamps = [image_ref.stamp for image_ref in image_refs[:: 1 + len(image_refs) // 100]]
    return sum(stamp[4] or stamp[1] for stamp in stamps) < _SMALL * len(stamps)


def _stop(
    threads: ThreadPoolExecutor, helpers: "list[_Helper] | None", lock: IO[bytes] | None, ended: threading.Event
) -> None:
    ended.set()
    threads.shutdown(wait=False, cancel_futures=True)
    for helper in list(helpers or []):  # a thread may be taking a dead one out
        helper.end()
    if lock is not None:
        lock.close()


class _Helper:
    """Handle of a decoder process, see the module's docstring for its protocol. One thread talks to it."""

    def __init__(self, preprocess: Preprocess, lock: IO[bytes]):
        # The process gets this one's import path, which may have been changed since Python began.
        program = f"import sys; sys.path[:] = {sys.path!r}; from striate.data.images.decoder_pool import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the process that trains
            pass_fds=(lock.fileno(),) if _HAS_LOCKS else (),
        )
        self._requests = cast(IO[bytes], self.process.stdin)
        self._answers = cast(io.BufferedReader, self.process.stdout)
        self._first = {"preprocess": preprocess.to_dict(), "lock": lock.fileno()}

    def decode(self, image_refs: Sequence[ImageRef], pixels: np.ndarray) -> dict[int, str]:
        """Run `prepare_all` in the process.

        Raises:
            RunError: if the process has ended.
        """
        try:
            if self._first:
                self._requests.write(_line(self._first))
                self._first = {}
            self._requests.write(_line([(str(each.path), each.offset, each.length) for each in image_refs]))
            self._requests.flush()
            problems = json.loads(self._answers.readline())
            if self._answers.readinto(pixels.data.cast("B")) != pixels.nbytes:
                raise EOFError
        except (OSError, ValueError, EOFError) as error:
            self.process.kill()
            raise RunError(
                f"a decoder process ended early (exit code {self.process.wait()}); if it ran out of memory, choose a "
                "smaller image size."
            ) from error
        return {int(position): reason for position, reason in problems.items()}

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # a request that was not sent yet
                pipe.close()


class _Lock:
    """Lock on an open file that processes have inherited from one another: each process holds it for itself."""

    def __init__(self, file: int):
        self.file = file

    def __enter__(self) -> None:
        fcntl.lockf(self.file, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        fcntl.lockf(self.file, fcntl.LOCK_UN)


def _locked(file: int) -> AbstractContextManager[None]:
    """The lock on an inherited file; on Windows, where none are inherited, large images are decoded side by side."""
    return _Lock(file) if _HAS_LOCKS else contextlib.nullcontext()


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Serve as a decoder process: answer requests until there are no more, or whoever makes them is gone."""
    begin = requests.readline()
    if not begin.endswith(b"\n"):
        return
    first = json.loads(begin)
    preprocess, lock = Preprocess.from_dict(first["preprocess"]), _locked(first["lock"])
    shape = (preprocess.height, preprocess.width, preprocess.channels)
    for line in requests:
        if not line.endswith(b"\n"):
            return
        image_refs = [ImageRef(Path(path), offset, length) for path, offset, length in json.loads(line)]
        pixels = np.empty((len(image_refs), *shape), dtype=np.uint8)
        problems = prepare_all(image_refs, preprocess, pixels, lock)
        answers.write(json.dumps(problems).encode() + b"\n")
        answers.write(pixels.data)
        answers.flush()


def main() -> None:
    """Serve on standard input and output; anything printed goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains, which then ends this one
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:  # nobody wants the answer any more
        sys.exit(1)
