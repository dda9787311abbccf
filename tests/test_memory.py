"""glibc keeps what a step frees: the next one causes no page faults. In a process of its own, as it lasts."""

import ctypes
import subprocess
import sys

import pytest

from striate import memory

PROGRAM = """
import resource, sys
import torch
from striate.preprocess import Preprocess
from striate.training import Predictor

kept = sys.argv[1] == "kept"
if kept:
    Predictor(torch.nn.Identity(), Preprocess(4, 4, 1))

def step():
    return [torch.ones(10 * 2**20) for _ in range(3)]  # 40 MiB each

for _ in range(30):  # the heap grows until all find a place between what else is allocated
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[bool, int]:
    answer = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    kept, count = answer.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the GNU C library"
)
def test_who_predicts_takes_the_memory_of_the_batch_before():
    (kept, few), (_, many) = faults("kept"), faults("given back")
    assert kept
    assert few < many / 10


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_memory.__wrapped__() is False
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_memory.__wrapped__() is False
