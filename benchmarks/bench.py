"""What all parts measure with: how much, where results go, who takes turns, and the yardstick beside every result."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.machine import commit
from benchmarks.programs import Peer
from benchmarks.sizes import Size
from benchmarks.store import Result, Store
from benchmarks.worker import Worker, worker
from striate.data.sources.locate import locate
from striate.data.sources.mnist import SOURCES

Turn = TypeVar("Turn")


@dataclass
class Bench:
    """A benchmark under way.

    Args:
        size: how much is measured.
        store: where results go.
        environments: the folder of the peers' environments.
        threads: how many every process may use.
        yardstick: called before and after each measurement for the machine's rate at that time, in GFLOP/s.
        say: told each measurement's key before it begins, and what came of it.
        match: what is found in the keys of all that is to be measured, a regular expression.
    """

    size: Size
    store: Store
    environments: Path
    threads: int
    yardstick: Callable[[], float]
    say: Callable[[str], None]
    match: re.Pattern[str] = re.compile("")

    def measure(self, key: str, ask: Callable[[], Result]) -> None:
        """Keep under a key, if it matches and holds nothing yet, what `ask` gives, with the commit and the yardstick:
        the mean of before and after."""

        def measured() -> Result:
            measured_commit, before = commit(), self.yardstick()
            self.say(key)
            result = {**ask(), "yardstick": (before + self.yardstick()) / 2, "commit": measured_commit}
            if "error" in result:
                self.say(f"  failed: {result['error']}")
            return result

        if self.match.search(key):
            self.store.measure(key, measured)

    def worker(self, peer: Peer) -> AbstractContextManager[Worker]:
        """A process of this peer, which starts when it is first asked and ends with the block."""
        return worker(peer, self.environments, self.threads)

    @contextmanager
    def workers(self, peers: Sequence[Peer]) -> Iterator[dict[str, Worker]]:
        """A process of each peer, by its name."""
        with ExitStack() as stack:
            yield {peer.name: stack.enter_context(self.worker(peer)) for peer in peers}

    def turns(self, takers: Sequence[Turn]) -> Iterator[tuple[int, Turn]]:
        """Rounds in which all take turns: the round's number and who is next. Each round another one begins."""
        for number in range(self.size.rounds):
            for place in range(len(takers)):
                yield number, takers[(place + number) % len(takers)]

    def files(self, data: str) -> list[str]:
        """The four files of a data set, found as Striate finds them: raw or gzipped IDX."""
        source = SOURCES[data]
        return [str(path) for path in locate(data, {each.name: each.read for each in source.files}, source.addresses)]
