"""Faults: what becomes of runs that are killed, of full and failing disks, of clocks that jump and folders that vanish.

    python -m benchmarks.faults [--kills 200] [--repeats 50] [--seed 0] [--only kills,disk]

The contract: each attempt is a process of its own, which trains a small network with dropout and momentum on a small
data set, one thread, a checkpoint after every step, or decodes a folder of images into the cache, or compares two
networks. It is disturbed at a random moment (of the seed), continued as a user would, and at last left alone. An
attempt is right if it then ends with the bytes of one that was never disturbed, if every process that was not killed
ended with one clear error or none, and if nothing is left behind: no part of a file, no lock among the temporary files
(PyTorch's own folder there is not counted).
"""

import argparse
import errno
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from benchmarks.tables import table
from striate import seeding
from striate.comparison.series import Series, claimed, train_all
from striate.data import Dataset, Split, build
from striate.data.dataset import conformed
from striate.errors import StriateError
from striate.files import sha256
from striate.runs import driver, session
from striate.runs.events import Observer

Act = Callable[[], None]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
REFUSED, BROKEN = 10, 11  # how a child ends: by a StriateError, or by anything else
WEIGHTS = "model.safetensors"


class Network(nn.Module):
    """Convolution, dropout and a dense layer: (N, 1, 8, 8) to (N, 3)."""

    def __init__(self, seed: int = 0):
        super().__init__()
        with seeding.scoped(seed, "weights"):
            self.conv, self.dropout, self.dense = nn.Conv2d(1, 4, 3), nn.Dropout(0.3), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.dense(self.dropout(torch.relu(self.conv(x)).flatten(1)))


def split(count: int, seed: int) -> Split:
    """Noise with a bright column whose place is the label."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, 3, count)
    images = numbers.integers(0, 120, (count, 8, 8, 1))
    images[np.arange(count), :, 2 * labels + 1] += 100
    return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))


DATA = Dataset("columns", ("left", "middle", "right"), split(120, 0), split(30, 1), split(30, 2))


def trained(folder: Path, observer: Observer = lambda event: None) -> None:
    """Begin the run in a folder, or continue it."""
    if (folder / "run.json").exists():
        driver.resume(folder, model=Network(seed=7), data=DATA, observer=observer)
    else:
        settings = {"epochs": 6, "batch_size": 16, "augment": "flip,shift=0.1", "optimizer": "muon"}
        driver.train(Network(), DATA, settings, out=folder, observer=observer)


def child(act: Act) -> int:
    """Begin a process that acts, and ends with what became of it; return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = BROKEN
    try:
        act()
        code = 0
    except (StriateError, KeyboardInterrupt):
        code = REFUSED
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a process: its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Attempts:
    """Counts attempts and those that were right, and says what was wrong with the others.

    Args:
        place: a folder for all that attempts write; its `tmp` is where temporary files go.
        draw: of moments and signals.
    """

    def __init__(self, place: Path, draw: random.Random):
        self.place, self.draw = place, draw
        self.rows: list[list[str]] = []
        self.expected = self.undisturbed()

    def undisturbed(self) -> str:
        """Digest of the weights of a run that nothing disturbs; its duration is the range of moments."""
        folder = self.place / "undisturbed"
        began = time.monotonic()
        assert ended(child(lambda: trained(folder))) == 0
        self.seconds = time.monotonic() - began
        return digest(folder / WEIGHTS)

    def run(self, what: str, count: int, attempt: Callable[[Path], str]) -> None:
        """Make attempts, each in a folder of its own; `attempt` returns what was wrong, or nothing."""
        right = 0
        for number in range(count):
            folder = self.place / f"attempt-{number}"
            wrong = attempt(folder) or self.left_behind(folder)
            right += not wrong
            if wrong:
                print(f"{what}, attempt {number}: {wrong}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        self.rows.append([what, f"{right} of {count}"])
        print(f"{what}: {right} of {count}", flush=True)

    def left_behind(self, folder: Path) -> str:
        """Name what should not be there any more."""
        temporary = [path for path in (self.place / "tmp").iterdir() if not path.name.startswith("torchinductor")]
        found = [*folder.rglob("*.part"), *temporary]
        return f"left behind: {', '.join(map(str, found))}" if found else ""

    def finished(self, folder: Path) -> str:
        """Let the run end undisturbed; say what is wrong with its end."""
        code = ended(child(lambda: trained(folder)))
        if code:
            return f"could not be continued (exit {code})"
        return "" if digest(folder / WEIGHTS) == self.expected else "other bytes"

    def killed(self, folder: Path, act: Act | None = None) -> str:
        """Kill a process up to three times at random moments, then finish."""
        for _ in range(self.draw.randint(1, 3)):
            pid = child(act or (lambda: trained(folder)))
            time.sleep(self.draw.uniform(0, 1.2 * self.seconds))
            with suppress(ProcessLookupError):
                os.kill(pid, self.draw.choice(SIGNALS))
            if ended(pid) == BROKEN:
                return "an error that is no clear one"
        return self.finished(folder)

    def failing(self, folder: Path, disturb: Act) -> str:
        """Train where the system fails, then finish where it does not."""

        def act() -> None:
            disturb()
            trained(folder)

        if ended(child(act)) == BROKEN:
            return "an error that is no clear one"
        return self.finished(folder)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return sha256(path.read_bytes())


def fails_at(number: int, name: str, effect: Callable[[], object]) -> Act:
    """Disturb: the `number`th call of a function of `os` has an effect instead, or before it if it returns."""

    def disturb() -> None:
        call, left = getattr(os, name), number

        def counted(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                effect()
            return call(*arguments, **options)

        setattr(os, name, counted)

    return disturb


def refuses(code: int) -> Callable[[], object]:
    """Effect: the system's error of this number."""

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def jumping_clock(draw: random.Random) -> Act:
    """Disturb: every look at a clock jumps up to a day forward or back."""
    jumps = random.Random(draw.random())

    def disturb() -> None:
        for name in ("time", "monotonic", "perf_counter"):
            setattr(time, name, _jumping(getattr(time, name), jumps))

    return disturb


def _jumping(clock: Callable[[], float], jumps: random.Random) -> Callable[[], float]:
    return lambda: clock() + jumps.uniform(-86_400, 86_400)


def kills(attempts: Attempts, count: int) -> None:
    """Kills at random moments of training, at each call that makes a write safe, of loading and of comparisons."""
    attempts.run("killed in training (KILL, TERM, INT, HUP)", count * 6 // 10, attempts.killed)
    calls = iter([(name, number) for number in range(1, count) for name in ("fsync", "replace")])

    def at_call(folder: Path) -> str:
        name, number = next(calls)
        return attempts.failing(folder, fails_at(number, name, lambda: os.kill(os.getpid(), signal.SIGKILL)))

    attempts.run("killed in a write, at each system call in turn", count * 2 // 10, at_call)
    attempts.run("killed while images are decoded into the cache", count // 10, Loading(attempts).attempt)
    attempts.run("killed in a comparison", count // 10, Comparing(attempts).attempt)


class Loading:
    """Attempts to load a folder of images, which is decoded into the cache."""

    def __init__(self, attempts: Attempts):
        self.attempts, self.images = attempts, attempts.place / "images"
        noise = np.random.default_rng(0)
        for name in ("one", "two"):
            (self.images / name).mkdir(parents=True)
            for number in range(150):
                pixels = noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(self.images / name / f"{number}.png")
        old = time.time() - 3600
        for path in self.images.rglob("*.png"):
            os.utime(path, (old, old))
        self.expected = striate.load(self.images, cache_size=0).fingerprint()

    def attempt(self, folder: Path) -> str:
        """Kill a process that loads, and load."""

        def act(check: bool = False) -> None:
            os.environ["STRIATE_CACHE"] = str(folder)
            build._FEW_FILES = 0  # worth keeping
            data = striate.load(self.images)
            if check and data.fingerprint() != self.expected:
                raise AssertionError("other pixels")

        pid = child(act)
        time.sleep(self.attempts.draw.uniform(0, 0.5))
        with suppress(ProcessLookupError):
            os.kill(pid, self.attempts.draw.choice(SIGNALS))
        ended(pid)
        return "" if ended(child(lambda: act(check=True))) == 0 else "other pixels, or an error"


class Comparing:
    """Attempts to compare two networks, as `striate compare` does."""

    def __init__(self, attempts: Attempts):
        self.attempts = attempts
        assert ended(child(lambda: self.act(attempts.place / "compared"))) == 0
        self.expected = self.weights(attempts.place / "compared")

    def act(self, folder: Path) -> None:
        """Train what is not trained yet."""
        series = Series(("mlp", "lenet5_modern"), 1, {"epochs": 1, "batch_size": 60}, {"source": "columns"})
        data = conformed(DATA, striate.Preprocess.resizing((28, 28), 1))
        with claimed(folder, series) as place:
            train_all(series, place, lambda model: data, lambda job: nullcontext(lambda event: None))

    def weights(self, folder: Path) -> list[str]:
        """Digests of all runs."""
        return [digest(path) for path in sorted(folder.rglob(WEIGHTS))]

    def attempt(self, folder: Path) -> str:
        """Kill a comparison, and continue it."""
        pid = child(lambda: self.act(folder))
        time.sleep(self.attempts.draw.uniform(0, 2 * self.attempts.seconds))
        with suppress(ProcessLookupError):
            os.kill(pid, self.attempts.draw.choice(SIGNALS))
        ended(pid)
        if ended(child(lambda: self.act(folder))):
            return "could not be continued"
        return "" if self.weights(folder) == self.expected else "other bytes"


def disk(attempts: Attempts, count: int) -> None:
    """Disks that are full or fail, at each call in turn, and writes that stop short."""
    for what, code in (("full disk", errno.ENOSPC), ("input/output error", errno.EIO), ("read-only", errno.EROFS)):
        numbers = iter(range(1, count + 1))
        attempts.run(
            f"{what} ({errno.errorcode[code]})",
            count,
            lambda folder, code=code, numbers=numbers: attempts.failing(
                folder, fails_at(next(numbers), attempts.draw.choice(("fsync", "replace")), refuses(code))
            ),
        )
    attempts.run("short writes", count, lambda folder: attempts.failing(folder, short_writes))


def short_writes() -> None:
    """Disturb: no file may grow beyond some kilobytes."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def clocks(attempts: Attempts, count: int) -> None:
    """Clocks that jump."""
    attempts.run("a clock that jumps", count, lambda folder: attempts.failing(folder, jumping_clock(attempts.draw)))


def folders(attempts: Attempts, count: int) -> None:
    """Folders that vanish while a run is trained: one clear error, and the run can be begun again."""

    def vanishing(folder: Path) -> str:
        step = attempts.draw.randint(1, 40)

        def observer(event: object) -> None:
            if getattr(event, "step", None) == step:
                shutil.rmtree(folder)

        if ended(child(lambda: trained(folder, observer))) == BROKEN:
            return "an error that is no clear one"
        shutil.rmtree(folder, ignore_errors=True)
        return attempts.finished(folder)

    attempts.run("the run's folder vanishes", count, vanishing)


def repeats(attempts: Attempts, count: int) -> None:
    """The same training again and again beside two processes that never wait, precision auto."""
    busy = [child(_busy) for _ in range(2)]
    try:
        attempts.run("the same training beside two busy loops", count, attempts.finished)
    finally:
        for pid in busy:
            os.kill(pid, signal.SIGKILL)
            ended(pid)


def _busy() -> None:
    while True:
        pass


KINDS = {"kills": kills, "disk": disk, "clocks": clocks, "folders": folders, "repeats": repeats}


def main() -> None:
    """Print the table; exit code 1 if an attempt was not right."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--repeats", type=int, default=50)
    options.add_argument("--others", type=int, default=20, help="attempts of each other fault")
    options.add_argument("--seed", type=int, default=0, help="of moments and signals")
    options.add_argument("--only", default=",".join(KINDS), help="kinds of faults, with commas")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    session.CHECKPOINT_SECONDS = 0.0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "tmp").mkdir()
        tempfile.tempdir = str(place / "tmp")
        os.environ["STRIATE_CACHE"] = str(place / "cache")
        trained(place / "first")  # imports what no child then has to
        attempts = Attempts(place, random.Random(chosen.seed))
        counts = {"kills": chosen.kills, "repeats": chosen.repeats}
        for kind in chosen.only.split(","):
            KINDS[kind](attempts, counts.get(kind, chosen.others))
        tempfile.tempdir = None
    print(table("Faults: attempts that ended right", ["what", "right"], attempts.rows))
    sys.exit(any(right.split(" of ")[0] != right.split(" of ")[1] for _, right in attempts.rows))


if __name__ == "__main__":
    main()
