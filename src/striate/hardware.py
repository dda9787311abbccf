"""Cores, threads, memory and devices that this process may use.

PyTorch is imported where it is needed: processes that decode images do without it.
"""

import ctypes
import math
import os
import platform
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from striate.errors import ArgumentError

if TYPE_CHECKING:
    import torch


_MOST = 32  # more processes than this wait for the disk and for the consumer of their images


_ZEN_5 = 26  # the processor family of AMD's Zen 5
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt(3)
_KEPT = 2**30  # bytes
_SPINS = "3000"  # of GNU's OpenMP: see docs/how-it-is-fast.md
DEVICES = ("auto", "cpu", "cuda")


def cores(root: Path = Path("/")) -> int:
    """Return the number of cores this process may use: those it is bound to, within its control groups' CPU limit.

    Args:
        root: the root of the file system in which Linux describes control groups (version 1 or 2).
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(bound, _quota(root))))


def worker_count(images: int, processes: int | None = None) -> int:
    """Return the number of processes or threads that decode `images` images: one a core, and none without work.

    It is the same while a network trains on the same cores. If decoding is the bottleneck, the network's threads sleep
    meanwhile; if the network is, the decoders sleep once they have filled a short queue.

    Args:
        images: how many there are.
        processes: how many share the machine's cores; as many as torchrun has started on it if not given.
    """
    if processes is None:
        text = os.environ.get("LOCAL_WORLD_SIZE", "")
        processes = int(text) if text.isdecimal() else 1
    return max(1, min(cores() // max(processes, 1), images, _MOST))


def thread_count(chosen: int) -> int:
    """Return the number of threads PyTorch should use, which by itself ignores control groups.

    Args:
        chosen: the number it uses now; a number in OMP_NUM_THREADS stays as it is.
    """
    return chosen if has_thread_number() else min(chosen, cores())


def has_thread_number() -> bool:
    """Tell whether OMP_NUM_THREADS names a number of threads, which then stays as it is."""
    return os.environ.get("OMP_NUM_THREADS", "").isdigit()


def wait_briefly() -> None:
    """Let PyTorch's threads that wait for each other give their cores away after a fraction of a millisecond.

    By itself GNU's OpenMP, which PyTorch has on Linux, looks for the others 300,000 times before it sleeps: beside
    another program, which may have the core that the other thread needs, most of the time goes there. It reads its
    settings as it is loaded, so that this comes before PyTorch is imported; the user's own settings stay.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def processor() -> str:
    """The processor's name and kind, with the vector instructions PyTorch uses on it.

    Machines hide what a processor is called: its family and model tell those apart that round otherwise.
    """
    import torch

    about = _listed(Path("/"))
    name = about.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key.removeprefix('cpu ')} {about[key]}" for key in ("cpu family", "model") if key in about]
    return f"{name} ({', '.join([*numbers, torch.backends.cpu.get_cpu_capability()])})"


def vendor(root: Path = Path("/")) -> tuple[str, int]:
    """The processor's maker, such as "AuthenticAMD", and family, such as 26 for Zen 5; "" and 0 if not known.

    Args:
        root: see `cores`.
    """
    about = _listed(root)
    return about.get("vendor_id", ""), int(about.get("cpu family", 0))


@cache
def is_zen_5() -> bool:
    """Tell whether the processor is AMD's Zen 5 or later, with AVX-512: it computes on 512 bits at once."""
    import torch

    maker, family = vendor()
    return maker == "AuthenticAMD" and family >= _ZEN_5 and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _listed(root: Path) -> dict[str, str]:
    """The fields of /proc/cpuinfo, those of the last processor in it; none where there is no such file."""
    listing = root / "proc/cpuinfo"
    if not listing.exists():
        return {}
    pairs = (line.partition(":") for line in listing.read_text().splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory this process may use: the machine's, within its control groups' limit.

    Args:
        root: see `cores`.
    """
    limits = [_machine_memory()]
    for version, folder in _groups(root, "memory"):
        words = _words(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        limits += [int(word) for word in words[:1] if word.isdigit()]  # not "max"
    return min(limits)


def _machine_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # unknown: no limit
        return sys.maxsize


def _quota(root: Path) -> float:
    """Return the CPU time that this process's control groups allow, in cores; infinite without a limit."""
    groups = _groups(root, "cpu")
    return min(
        (_limit_v2(folder) if version == 2 else _limit_v1(folder) for version, folder in groups), default=math.inf
    )


def _groups(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the folders of this process's control groups and of their parents, each with its version."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0":
            yield from ((2, folder) for folder in _upwards(root / "sys/fs/cgroup", group))
        elif controller in controllers.split(","):
            yield from ((1, folder) for folder in _upwards(root / "sys/fs/cgroup" / controllers, group))


def _upwards(mount: Path, group: str) -> list[Path]:
    """Return the folders of a control group and of its parents. A container may see its own as the root."""
    path = PurePosixPath(group.strip("/"))
    return [mount / each for each in (path, *path.parents)]


def _limit_v2(folder: Path) -> float:
    return _share(*_words(folder / "cpu.max"))


def _limit_v1(folder: Path) -> float:
    return _share(*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return []


def _share(*words: str) -> float:
    """Return quota divided by period; anything but two positive numbers, such as "max" or −1, is no limit."""
    if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]) or not int(words[0]):
        return math.inf
    return int(words[0]) / int(words[1])


@cache
def keep_memory() -> bool:
    """Let glibc keep freed memory, up to 1 GiB at the end of its heap, for the life of the process.

    Returns whether it does; without glibc, nothing happens. By default glibc returns large blocks to the system each
    time, and the system clears every page before it hands it out again. Threads that begin from now on share one heap,
    as one of their own holds 64 MiB at most, so this is best called before any other thread has begun.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, _KEPT), mallopt(_ARENA_MAX, 1)])


def pick(name: str = "auto") -> "torch.device":
    """Return the device for "auto" (a GPU if there is one), "cpu" or "cuda".

    Of several processes that torchrun starts on a machine, each gets the GPU of its own number.

    Raises:
        ArgumentError: for another name, or for "cuda" where PyTorch finds no GPU.
    """
    import torch

    if name not in DEVICES:
        raise ArgumentError(f"device '{name}': use one of {', '.join(DEVICES)}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ArgumentError("device 'cuda': PyTorch finds no GPU here; use --device cpu or auto.")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    own = os.environ.get("LOCAL_RANK", "")
    return torch.device("cuda", int(own) % torch.cuda.device_count()) if own.isdecimal() else torch.device("cuda")


_starting = threading.Lock()


def single_core_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Start threads whose tensor operations use one core each, while those of all others use as many as before.

    Args:
        count: the number of threads, all started now.
        name: the prefix of their names.
    """
    import torch

    begun = threading.Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # or this thread would take over the number below when it first computes
        torch.set_num_threads(1)  # for this thread, and for those that begin later
        with suppress(threading.BrokenBarrierError):
            begun.wait()

    with _starting:  # another one here would take the 1 for the usual number
        usual = torch.get_num_threads()
        threads = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=begin)
        try:
            for _ in range(count):
                threads.submit(int)
            begun.wait()
        except BaseException:  # the system has no more threads, or Ctrl-C: those that have begun would wait for ever
            begun.abort()
            raise
        finally:
            torch.set_num_threads(usual)
    return threads
