"""The service behind its addresses: from the bytes of image files to logits, by a pool that decodes and one engine."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from striate.hardware import cores
from striate.serving.batching import Batcher, Job, Outcome
from striate.serving.monitoring import Measures
from striate.serving.network import Network
from striate.serving.responses import RefusedError
from striate.serving.settings import Settings

SHAPELESS = "onnxruntime"  # the engine that prepares nothing for each size of batch

Load = Callable[[], np.ndarray]  # decodes a request's images: uint8 (n, height, width, channels)


@dataclass(frozen=True)
class Answer:
    """The network's answer about a request's images.

    Args:
        logits: float32 (n, classes).
        probabilities: float64 (n, classes).
        milliseconds: how long it took to decode them, to wait for the engine, to compute, and altogether.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    milliseconds: dict[str, float]


class Service:
    """A network that answers requests.

    Args:
        network: the network.
        settings: the limits.
        decoders: threads that decode.
    """

    def __init__(self, network: Network, settings: Settings, decoders: ThreadPoolExecutor | None = None):
        self.network, self.settings = network, settings
        self.measures = Measures(lambda: self.batcher.waiting, lambda: self.ready, network.name)
        self.batcher = Batcher(
            network.engine, settings.queue, settings.timeout, self._done, network.engine.name != SHAPELESS,
            self.measures.batch,
        )  # fmt: skip
        self._decoders = decoders or ThreadPoolExecutor(cores(), thread_name_prefix="striate-decoding")
        self._futures: dict[Job, asyncio.Future[np.ndarray]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ready = False

    async def start(self) -> None:
        """Prepare the engine, and be ready."""
        self._loop = asyncio.get_running_loop()
        blank = np.zeros((1, *self.network.shape), np.uint8)
        await asyncio.to_thread(self.batcher.start, blank)
        self.ready = True

    async def stop(self) -> None:
        """Compute what is queued, and end all threads."""
        self.ready = False
        await asyncio.to_thread(self._decoders.shutdown)
        await asyncio.to_thread(self.batcher.close)

    async def answer(self, count: int, load: Load) -> Answer:
        """Decode a request's images and compute their logits.

        Args:
            count: how many they are.
            load: decodes them, in another thread.

        Raises:
            RefusedError: if there is no room, they wait for too long, or `load` raises it.
        """
        began = time.monotonic()
        job = self.batcher.admit(count)
        future: asyncio.Future[np.ndarray] = asyncio.get_running_loop().create_future()
        self._futures[job] = future
        self._decoders.submit(self._load, job, load)
        logits = await future
        ended = time.monotonic()
        if not np.isfinite(logits).all():
            raise RefusedError(500, "the network's outputs are not finite numbers.")
        spans = {
            "decode": job.decoded - began,
            "wait": job.began - job.decoded,
            "compute": ended - job.began,
            "total": ended - began,
        }
        milliseconds = {name: round(1000 * seconds, 3) for name, seconds in spans.items()}
        return Answer(logits, self.network.probabilities(logits), milliseconds)

    def _load(self, job: Job, load: Load) -> None:
        """Decode the images of a job, in a thread of the pool."""
        try:
            if time.monotonic() > job.deadline:
                raise self.batcher.late()
            job.pixels = load()
            job.decoded = time.monotonic()
            self.batcher.put(job)
        except BaseException as error:
            self.batcher.withdraw(job)
            self._done([(job, error)])

    def _done(self, ended: list[tuple[Job, Outcome]]) -> None:
        """Pass on what became of jobs, from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._resolve, ended)

    def _resolve(self, ended: list[tuple[Job, Outcome]]) -> None:
        for job, outcome in ended:
            future = self._futures.pop(job)
            if future.done():  # cancelled, as the service had to stop
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
