"""glibc keeps what a step frees: the next one causes no page faults. In a process of its own, as it lasts."""

import ctypes
import subprocess
import sys

import pytest

from striate import memory

PROGRAM = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import torch
from striate.preprocess import Preprocess
from striate.training import Predictor

how, where = sys.argv[1:]
if how == "kept":
    Predictor(torch.nn.Identity(), Preprocess(4, 4, 1))

def step():
    return [torch.ones(20 * 2**20) for _ in range(2)]  # 80 MiB each, more than a heap of a thread's own holds

def faults():
    for _ in range(30):  # the heap grows until all find a place between what else is allocated
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults() if where == "main" else ThreadPoolExecutor(1).submit(faults).result())
"""


def faults(how: str, where: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how, where]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the GNU C library"
)
@pytest.mark.parametrize("where", ["main", "thread"])
def test_who_predicts_takes_the_memory_of_the_batch_before(where):
    assert faults("kept", where) < faults("given back", where) / 10
    assert memory.keep_memory()


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_memory.__wrapped__() is False
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_memory.__wrapped__() is False
