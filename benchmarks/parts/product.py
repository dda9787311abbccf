"""Reference matmul rate in every library: the same float32 matrix product."""

from functools import partial

from benchmarks.bench import Bench
from benchmarks.programs import PEERS
from benchmarks.store import Store
from benchmarks.tables import median, number, table


def measure(bench: Bench) -> None:
    """Measure each peer once a round."""
    size = bench.size
    with bench.workers(PEERS) as workers:
        for place, peer in bench.rounds(PEERS):
            ask = partial(workers[peer.name].ask, "product", side=size.side, repeats=size.products)
            bench.measure(f"product/{peer.name}/{place}", ask)


def tables(store: Store) -> str:
    """Table of GFLOP/s by library."""
    found = {peer.title: store.rounds(f"product/{peer.name}") for peer in PEERS}
    rows = [[title, number(median(rounds, "gflops"))] for title, rounds in found.items() if rounds]
    return table("Float32 matrix product", ["library", "GFLOP/s"], rows)
