"""A program with everything imported, which calls one of its functions in several processes that work together.

It reads a line for each call, forks a process for each rank, as torchrun would start them, and prints what each has
returned, or the error it has ended with.
"""

import hashlib
import json
import os
import socket
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from small_run import Dropping, Normalized, dataset, recipe, split

from striate import seeding
from striate.cli import launch, main
from striate.data.images.ref_lists import WholeFiles
from striate.data.lazy import LazyImages
from striate.data.stamps import stamps_of
from striate.errors import DataError
from striate.inference import logits_of, score_of
from striate.preprocess import Preprocess
from striate.processes import joined, world
from striate.runs import agreement, driver, session
from striate.training import Step


def talk() -> dict[str, Any]:
    """Every way in which processes tell each other something."""
    here = world()
    rows = torch.arange(7 * 3, dtype=torch.float32).view(7, 3)
    own = here.row_shares(7, 2)
    mine = rows[own[here.rank].start : own[here.rank].stop]
    return {
        "gathered": here.gathered({"rank": here.rank}),
        "first": here.from_first(lambda: [here.rank, "hello"]),
        "bytes": len(here.bytes_from_first(lambda: b"x" * 100_001)),
        "nothing": len(here.bytes_from_first(lambda: b"")),
        "greatest": here.greatest(float(here.rank)),
        "rows": torch.equal(here.joined(list(mine.split(2)), own), rows),
    }


def sums(parts: int, length: int, most: int) -> list[float]:
    """The ordered sum of parts whose order matters, as bytes."""

    def made(some: range) -> list[torch.Tensor]:
        first, second = sum(part_of(part, length) for part in some).split([3, length - 3])
        return [first, second.view(1, 2, 2, -1).contiguous(memory_format=torch.channels_last)]

    first, second = world().summed(parts, made, most)
    assert second.is_contiguous(memory_format=torch.channels_last), "a total has the strides of its parts"
    return torch.cat([first, second.flatten()]).view(torch.int32).tolist()


def part_of(part: int, length: int) -> torch.Tensor:
    """A part of a sum: numbers of very different sizes."""
    draw = seeding.generator(part, "part")
    return torch.randn(length, generator=draw) * 10.0 ** torch.randint(-6, 6, (length,), generator=draw)


def fit(out: str, resume: bool = False, stop: int = 0, **settings: Any) -> dict[str, Any]:
    """Train a small network; with `stop`, be killed once so many steps are done."""
    session.CHECKPOINT_SECONDS = 0.0 if stop else 30.0
    module = Normalized() if settings.pop("normalized", True) else Dropping()

    def watch(event: Any) -> None:
        if isinstance(event, Step) and event.step == stop:
            os.kill(os.getpid(), 9)

    if resume:
        run = driver.resume(out, model=module, data=dataset(), observer=watch)
    else:
        run = driver.train(module, dataset(), recipe(**settings), out=out, observer=watch)
    weights = hashlib.sha256()
    for tensor in module.state_dict().values():
        weights.update(tensor.contiguous().numpy().tobytes())
    return {"weights": weights.hexdigest(), "result": run.result, "recipe": run.recipe.model_dump()}


def differ(out: str, what: str) -> None:
    """Train in processes of which the second one is not like the first."""
    second, data = world().rank == 1, dataset()
    if what == "data" and second:
        data = dataset(99)
    if what == "version" and second:
        agreement.__version__ = "0.0.1"
    if what == "no data" and second:
        raise DataError("/data/flowers: no such folder.")
    if what == "slow data" and not second:
        time.sleep(1.0)
    if what == "killed" and second:
        os._exit(9)
    driver.train(Dropping(), data, recipe(shards=3 if what == "shards" else 4), out=out)


def come_back(out: str) -> str:
    """The run that processes go on with of which only the first was there before."""
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(int(world().is_first))
    return str(launch.to_continue(Path(out)))


def look(names: list[str], apart: bool) -> dict[str, Any]:
    """The stamps of files, of which the last process sees one less if they are apart; how many it has looked at."""
    looked, stat = [], os.stat
    os.stat = lambda path, **options: (looked.append(path), stat(path, **options))[1]
    if apart and world().rank == world().size - 1:
        names = names[:-1]
    return {"stamps": list(stamps_of(WholeFiles(names), world())), "looked": len(looked)}


def measure(**_: Any) -> dict[str, Any]:
    """Evaluate a network on fewer images than a batch, and on more."""
    model, images = Normalized(), split(300, 5)
    preprocess = Preprocess.resizing((8, 8), 1)
    logits = logits_of(model, images.images, preprocess)
    lazy = LazyImages(images.images.shape, lambda places: images.images[torch.from_numpy(places)])
    seen = logits_of(model, lazy, preprocess, tta="flip,shifts")
    one = logits_of(model, images.images[:1], preprocess)
    score = score_of(logits, images.labels).to_dict()
    return {
        "score": score,
        "bytes": [hashlib.sha256(each.numpy().tobytes()).hexdigest() for each in (logits, seen, one)],
    }


def command(arguments: list[str]) -> None:
    """A command of the command line; what it prints is not looked at."""
    with redirect_stdout(None):
        main.app(arguments, standalone_mode=False)


# ---------------------------------------------------------------- how it is called


def _serve() -> None:
    for line in sys.stdin:
        processes, name, arguments = json.loads(line)
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
            free.close()
            variables = {"WORLD_SIZE": processes, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
            children = [_forked(rank, variables, Path(folder), name, arguments) for rank in range(processes)]
            ends = [os.waitpid(child, 0)[1] for child in children]
            files = [Path(folder) / str(rank) for rank in range(processes)]
            found = [json.loads(file.read_text()) if file.exists() else {"error": f"ended with {end}"}
                     for file, end in zip(files, ends, strict=True)]  # fmt: skip
        print(json.dumps(found), flush=True)


def _forked(rank: int, variables: dict[str, Any], folder: Path, name: str, arguments: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    os.environ.update({key: str(value) for key, value in {**variables, "RANK": rank}.items()})
    began = time.monotonic()
    found: dict[str, Any] = {}
    try:
        with joined():
            found["value"] = globals()[name](**arguments)
    except BaseException as error:
        found["error"] = f"{type(error).__name__}: {error}"
    found["seconds"] = time.monotonic() - began
    (folder / str(rank)).write_text(json.dumps(found))
    os._exit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as first:  # a first training imports what no other has to
        driver.train(Dropping(), dataset(), recipe(epochs=1), out=Path(first) / "run")
    _serve()
