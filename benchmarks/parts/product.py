"""The yardstick: the same float32 matrix product on every library."""

from functools import partial

from benchmarks.bench import Bench
from benchmarks.programs import PEERS
from benchmarks.store import Store
from benchmarks.tables import median, number, table


def measure(bench: Bench) -> None:
    """A measurement of each peer in each round."""
    size = bench.size
    with bench.workers(PEERS) as workers:
        for turn, peer in bench.turns(PEERS):
            ask = partial(workers[peer.name].ask, "product", side=size.side, repeats=size.products)
            bench.measure(f"product/{peer.name}/{turn}", ask)


def tables(store: Store) -> str:
    """GFLOP/s by library."""
    found = {peer.title: store.rounds(f"product/{peer.name}") for peer in PEERS}
    rows = [[title, number(median(rounds, "gflops"))] for title, rounds in found.items() if rounds]
    return table("Float32 matrix product", ["library", "GFLOP/s"], rows)
