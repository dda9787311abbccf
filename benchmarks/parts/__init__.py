"""Parts of the benchmark, one module each: `measure` fills the store, `tables` formats its results."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.parts import accuracy, commands, folder, goals, product, startup, throughput
from benchmarks.programs import OURS, PEERS, Peer
from benchmarks.store import Store


class Part(NamedTuple):
    """Functions of a part: its measurements, and its tables in Markdown; and the peers that it measures."""

    measure: Callable[[Bench], None]
    tables: Callable[[Store], str]
    peers: tuple[Peer, ...] = PEERS


PARTS = {
    "product": Part(product.measure, product.tables),
    "throughput": Part(throughput.measure, throughput.tables),
    "commands": Part(commands.measure, commands.tables, (OURS,)),
    "goals": Part(goals.measure, goals.tables, (OURS,)),
    "startup": Part(startup.measure, startup.tables),
    "folder": Part(folder.measure, folder.tables),
    "accuracy": Part(accuracy.measure, accuracy.tables),
}
