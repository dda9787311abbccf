"""Dynamic batches: images that wait in one bounded queue, and the one thread that owns the engine.

A batch is whatever waits when the engine is free, 64 images at most: nothing waits for a batch to fill. Images are
counted, not requests. A request's images are accepted all or not at all, and may be computed in several batches.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from striate.serving.responses import RefusedError, busy
from striate.serving.settings import BATCHES

if TYPE_CHECKING:  # exported files are served without PyTorch
    from striate.inference.engines import Engine

FULL = 3 / 4  # a batch this full is padded; a smaller one is computed as a batch of the next smaller size
TELLING = 16  # images: batches of at least so many say how fast the engine is
PREPARING = 1.0  # seconds: a first batch that takes longer is not repeated to see how fast the second one is
SMOOTHING = 0.3  # the share of the newest batch in the pace


Outcome = np.ndarray | BaseException
Done = Callable[[list[tuple["Job", Outcome]]], None]


@dataclass(eq=False)
class Job:
    """The images of one request.

    Args:
        count: how many.
        deadline: the time (`time.monotonic`) after which they are not computed any more.
        pixels: uint8 (count, height, width, channels), once they are decoded.
        taken: how many of them are computed, or being computed.
        parts: the logits of those that are computed.
        decoded, began: the times at which they were decoded, and the first of them taken from the queue.
    """

    count: int
    deadline: float
    pixels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    taken: int = 0
    parts: list[np.ndarray] = field(default_factory=list)
    decoded: float = 0.0
    began: float = 0.0


class Batcher:
    """A bounded queue of images, and a thread that computes their logits in batches.

    Args:
        engine: called by this thread alone.
        capacity: how many images may wait.
        timeout: seconds that they may wait.
        done: called by this thread after each batch with all jobs that it ended, and what became of them.
        padded: whether batches are padded to 1, 4, 16 or 64 images, for engines that prepare for each shape.
        observe: called by this thread with the images of each batch and the seconds it took.
    """

    def __init__(
        self,
        engine: "Engine",
        capacity: int,
        timeout: float,
        done: Done,
        padded: bool = True,
        observe: Callable[[int, float], None] = lambda images, seconds: None,
    ):
        self._engine, self._done, self._observe = engine, done, observe
        self.capacity, self.timeout = capacity, timeout
        self._sizes: Sequence[int] = BATCHES if padded else range(1, BATCHES[-1] + 1)
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._prepared: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self.waiting = 0  # images that are admitted and not yet being computed
        self.computing = 0
        self.pace = 0.0  # seconds an image

    def start(self, blank: np.ndarray) -> None:
        """Let the engine prepare for batches of each size of a blank image, uint8 (1, height, width, channels).

        Raises:
            Exception: whatever the engine raises.
        """
        self._thread = threading.Thread(target=self._run, args=(blank,), name="striate-engine", daemon=True)
        self._thread.start()
        self._prepared.result()

    def _run(self, blank: np.ndarray) -> None:
        try:
            self._prepare(blank)
        except BaseException as error:
            self._prepared.set_exception(error)
            return
        self._prepared.set_result(None)
        self._work()

    def _prepare(self, blank: np.ndarray) -> None:
        for size in BATCHES:
            images = np.repeat(blank, size, axis=0)
            if hasattr(self._engine, "prepare"):
                self._engine.prepare(images)
            first = self._timed(images)
            seconds = self._timed(images) if first < PREPARING else first
            self.pace = seconds / size

    def _timed(self, images: np.ndarray) -> float:
        began = time.monotonic()
        self._engine.logits(images)
        return time.monotonic() - began

    def check(self, count: int = 1) -> None:
        """Check that there is room for so many images, for those who would read a request in vain.

        Raises:
            RefusedError: as `admit`.
        """
        if self._closed:
            raise busy("the service is shutting down.", 1)
        if count > self.capacity:
            raise RefusedError(413, f"{count} images, and at most {self.capacity} may wait.", "images")
        wait = self._backlog()
        if self.waiting + count > self.capacity:
            raise busy(f"{self.waiting} images are waiting, and at most {self.capacity} may.", wait)
        if wait > self.timeout:
            raise busy(f"images wait for longer than {self.timeout:g} s.", wait - self.timeout)

    def admit(self, count: int) -> Job:
        """Make room for a request's images; `put` or `withdraw` must follow.

        Raises:
            RefusedError: if there is none, or they could not be computed in time.
        """
        with self._changed:
            self.check(count)
            self.waiting += count
        return Job(count, time.monotonic() + self.timeout)

    def put(self, job: Job) -> None:
        """Queue admitted images; their `pixels` are there now."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def withdraw(self, job: Job) -> None:
        """Give the room of admitted images back."""
        with self._changed:
            self.waiting -= job.count

    def late(self) -> RefusedError:
        """The refusal of images that have waited for too long."""
        return busy(f"the images waited for more than {self.timeout:g} s, and were not computed.", self._backlog())

    def close(self) -> None:
        """Compute what is queued, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _backlog(self) -> float:
        return (self.waiting + self.computing) * self.pace

    def _work(self) -> None:
        while True:
            ended: list[tuple[Job, Outcome]] = []
            batch = self._next(ended)
            if batch:
                ended += self._computed(batch)
                self.computing = 0
            if ended:
                self._done(ended)
            if not batch and not ended:
                return

    def _next(self, late: list[tuple[Job, Outcome]]) -> list[tuple[Job, slice]]:
        """Take the next batch from the queue, as parts of jobs; nothing if the queue is closed and empty."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            now = time.monotonic()
            ready = []
            for job in self._jobs:
                if not job.taken and now > job.deadline:
                    late.append((job, self.late()))
                    self.waiting -= job.count
                else:
                    ready.append(job)
            self._jobs = deque(ready)
            wanted = self._size(sum(job.count - job.taken for job in ready))
            batch = []
            while self._jobs and wanted:
                job = self._jobs[0]
                stop = min(job.count, job.taken + wanted)
                batch.append((job, slice(job.taken, stop)))
                job.began = job.began or now
                wanted -= stop - job.taken
                self.waiting -= stop - job.taken
                job.taken = stop
                if stop == job.count:
                    self._jobs.popleft()
            self.computing = sum(part.stop - part.start for _, part in batch)
        return batch

    def _size(self, images: int) -> int:
        """The number of waiting images to compute next."""
        fitting = [size for size in self._sizes if images >= FULL * size]
        return fitting[-1] if fitting else images

    def _computed(self, batch: list[tuple[Job, slice]]) -> list[tuple[Job, Outcome]]:
        """Compute a batch, and return the jobs that it ended."""
        pixels = [job.pixels[part] for job, part in batch]
        count = sum(map(len, pixels))
        missing = min(size for size in self._sizes if size >= count) - count
        pixels += [np.repeat(pixels[-1][-1:], missing, axis=0)] if missing else []
        began = time.monotonic()
        try:
            logits = self._engine.logits(np.concatenate(pixels) if len(pixels) > 1 else pixels[0])
        except Exception as error:  # of the engine: its requests fail, and others are answered
            failed = list(dict.fromkeys(job for job, _ in batch))
            with self._changed:  # the rest of a failed job is not computed
                for job in failed:
                    if job.taken < job.count:
                        self.waiting -= job.count - job.taken
                        self._jobs.remove(job)
            return [(job, error) for job in failed]
        self._learn(count, time.monotonic() - began)
        ended: list[tuple[Job, Outcome]] = []
        place = 0
        for job, part in batch:
            job.parts.append(logits[place : place + part.stop - part.start])
            place += part.stop - part.start
            if part.stop == job.count:
                ended.append((job, job.parts[0] if len(job.parts) == 1 else np.concatenate(job.parts)))
        return ended

    def _learn(self, images: int, seconds: float) -> None:
        pace = seconds / images
        if images >= TELLING or pace < self.pace:
            self.pace += SMOOTHING * (pace - self.pace)
        self._observe(images, seconds)
