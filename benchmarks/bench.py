"""State of a benchmark run: size, results, the order of measurements, the reference matmul rate with each result."""

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.machine import commit
from benchmarks.programs import Peer
from benchmarks.sizes import Size
from benchmarks.store import REFERENCE_RATE, Result, Store
from benchmarks.worker import Worker, worker
from striate.data.sources.mnist import SOURCES, locate

Taker = TypeVar("Taker")


@dataclass
class Bench:
    """Benchmark run in progress.

    Args:
        size: how much is measured.
        store: the results.
        environments: the folder of the peers' environments.
        threads: of every process.
        reference_rate: measures the machine's float32 matmul rate, GFLOP/s; called before and after each measurement.
        log: called with each measurement's key before it begins, and with its error if it fails.
        match: a regular expression; only keys that contain a match are measured.
    """

    size: Size
    store: Store
    environments: Path
    threads: int
    reference_rate: Callable[[], float]
    log: Callable[[str], None]
    match: re.Pattern[str] = re.compile("")

    def measure(self, key: str, ask: Callable[[], Result]) -> None:
        """Measure and keep the result of `ask` under a key, if the key matches and has no result yet.

        Kept with it: the commit, the date, and the mean of the reference matmul rates before and after.
        """

        def measured() -> Result:
            at = {"commit": commit(), "date": datetime.date.today().isoformat()}
            before = self.reference_rate()
            self.log(key)
            result = {**ask(), REFERENCE_RATE: (before + self.reference_rate()) / 2, **at}
            if "error" in result:
                self.log(f"  failed: {result['error']}")
            return result

        if self.match.search(key):
            self.store.measure(key, measured)

    def worker(self, peer: Peer) -> AbstractContextManager[Worker]:
        """Worker process of a peer; it starts with the first request and ends with the block."""
        return worker(peer, self.environments, self.threads)

    @contextmanager
    def workers(self, peers: Sequence[Peer]) -> Iterator[dict[str, Worker]]:
        """Worker processes of several peers, by name."""
        with ExitStack() as stack:
            yield {peer.name: stack.enter_context(self.worker(peer)) for peer in peers}

    def rounds(self, takers: Sequence[Taker]) -> Iterator[tuple[int, Taker]]:
        """Yield the round's number and the next participant; each round begins with another one."""
        for number in range(self.size.rounds):
            for place in range(len(takers)):
                yield number, takers[(place + number) % len(takers)]

    def files(self, data: str) -> list[str]:
        """Paths of a data set's four IDX files, raw or gzipped, located as Striate locates them."""
        source = SOURCES[data]
        return [str(path) for path in locate(data, {each.name: each.read for each in source.files}, source.addresses)]
