"""Machine facts, installed versions, the measured commit, and the reference matmul rate."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.programs import Peer
from benchmarks.worker import ROOT, python_of
from benchmarks.workers.serving import factors, product_rate
from striate.hardware import cores, processor

FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")
VERSIONS = "import sys, json, platform; from importlib.metadata import version as v; " + (
    "print(json.dumps({'python': platform.python_version(), **{name: v(name) for name in sys.argv[1:]}}))"
)


def use_threads(count: int | None) -> int:
    """Limit this process and its children to `count` cores, or to those available; return their number."""
    if count and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    threads = min(count or cores(), cores())
    torch.set_num_threads(threads)
    return threads


def machine(threads: int) -> dict[str, Any]:
    """Facts that identify the machine, as plain values."""
    return {
        "processor": processor(),
        "flags": [flag for flag in FLAGS if flag in _flags()],
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "platform": platform.platform(),
    }


def versions(peers: Sequence[Peer], environments: Path) -> dict[str, dict[str, str]]:
    """Installed versions in each peer's environment."""
    found = {}
    for peer in peers:
        command = [str(python_of(peer, environments)), "-c", VERSIONS, *peer.packages]
        done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)
        found[peer.name] = json.loads(done.stdout)
    return found


def commit() -> str:
    """Checked-out commit, with "-dirty" if files differ from it; empty outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class ReferenceRate:
    """Reference matmul rate: float32 matrix products by PyTorch in this process, GFLOP/s, measured when called."""

    def __init__(self, side: int, repeats: int):
        self.first, self.second = (torch.from_numpy(each) for each in factors(side))
        self.repeats = repeats

    def __call__(self) -> float:
        return product_rate(lambda: self.first @ self.second, len(self.first), self.repeats)["gflops"]


def _flags() -> set[str]:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
