"""Start-up times, and peak memory in training."""

import subprocess
import time
from functools import partial

from benchmarks.bench import Bench
from benchmarks.parts.throughput import asked
from benchmarks.programs import NETWORKED, OURS, PEERS, Peer
from benchmarks.store import Result, Store
from benchmarks.tables import median, number, table
from benchmarks.worker import ROOT, environment_of, python_of

NETWORK, BATCH = "fashion_cnn", 128
STARTS: tuple[tuple[str, Peer, tuple[str, ...]], ...] = (
    ("striate --help", OURS, ("-m", "striate", "--help")),
    ("import torch", OURS, ("-c", "import torch")),
    ("import torch, striate", OURS, ("-c", "import torch, striate")),
    ("striate.train", OURS, ("-c", "import striate; striate.train")),
    *((peer.imports, peer, ("-c", peer.imports)) for peer in PEERS if peer != OURS),
)


def measure(bench: Bench) -> None:
    """Time the start of every program in every round, then measure the memory of every peer, in new processes."""
    for repeat in range(bench.size.startups):
        for title, peer, arguments in STARTS:
            bench.measure(f"startup/{peer.name}/{title}/{repeat}", partial(_start, bench, peer, arguments))
    for peer in NETWORKED:
        bench.measure(f"memory/{peer.name}/0", partial(_memory, bench, peer))


def _start(bench: Bench, peer: Peer, arguments: tuple[str, ...]) -> Result:
    command = [str(python_of(peer, bench.environments)), *arguments]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment_of(peer, bench.threads), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    return {"error": done.stderr.strip().rpartition("\n")[2]} if done.returncode else {"seconds": seconds}


def _memory(bench: Bench, peer: Peer) -> Result:
    with bench.worker(peer) as worker:
        request = asked(bench, "train", NETWORK)
        trained = worker.ask(**request, batch=BATCH, seconds=bench.size.memory_seconds, untimed=bench.size.untimed)
        return trained if "error" in trained else worker.ask("memory")


def tables(store: Store) -> str:
    """Table of start-up times, and table of peak memory."""
    starts = [
        [peer.title, title, number(median(rounds, "seconds"))]
        for title, peer, _ in STARTS
        if (rounds := store.rounds(f"startup/{peer.name}/{title}"))
    ]
    held = [
        [peer.title, number(median(rounds, "mib"))]
        for peer in NETWORKED
        if (rounds := store.rounds(f"memory/{peer.name}"))
    ]
    start = table("Start-up", ["library", "program", "seconds"], starts)
    memory = table(f"Peak memory, training {NETWORK} in batches of {BATCH}", ["library", "MiB"], held)
    return "\n".join(filter(None, [start, memory]))
