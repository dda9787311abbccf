"""Writer of tar shards, by this process or by several at a time; the bytes are the same.

A process that writes reads requests from its standard input, and answers on its standard output:

    a request    a line of JSON: the file, the metadata of its shard, and [path, label, name, key] of each image
    its answer   a line of JSON: {}; or {"error": [number, text, file]}, or {"unreadable": reason, "path": image}
"""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import IO, BinaryIO, NamedTuple, cast

from striate.data.images.image_ref import ImageRef
from striate.data.images.unreadable import UndecodableError
from striate.data.sources import tar_samples
from striate.data.sources.tar_samples import ShardInfo
from striate.errors import BadFilesError, RunError
from striate.hardware import worker_count

_BLOCK = tarfile.BLOCKSIZE
_FEW = 5000  # images that are written before processes would have started
_PLAIN = 100  # letters that fit into a header's field


class Sample(NamedTuple):
    """One image to write: its file, the number of its class, its name in the folder, and its key in the shards."""

    path: str
    label: int
    original: str
    key: str

    def image(self, length: int) -> tarfile.TarInfo:
        """Return the tar member for the image of `length` bytes; the name in the folder is kept where it differs."""
        name = self.key + os.path.splitext(self.path)[1]
        return _member(name, length, {} if name == self.original else {"comment": self.original})

    def size(self) -> int:
        """Return the size in bytes of the image and its label in a shard.

        Raises:
            BadFilesError: if the image is gone.
        """
        try:
            length = os.stat(self.path).st_size
        except OSError as error:
            raise BadFilesError({self.path: f"can't be read ({error.strerror})"}) from error
        image = self.image(length)
        plain = not image.pax_headers and image.name.isascii() and len(image.name) <= _PLAIN
        header = _BLOCK if plain else len(image.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        return header * 2 + in_blocks(length) + _BLOCK  # the label's header is no longer than the image's


class ShardPlan(NamedTuple):
    """A shard to write: the name of its file, its metadata and its samples, in order."""

    name: str
    info: ShardInfo
    samples: Sequence[Sample]


def write_all(place: Path, shards: Sequence[ShardPlan], wrote: Callable[[ShardPlan], None]) -> None:
    """Write the shards that a folder does not hold yet, by a process for each core where there are many images.

    Args:
        place: the folder. What it holds is complete, as a shard gets its name once it is on the disk.
        shards: all of them.
        wrote: called with each that is there.

    Raises:
        OSError: if one can't be written.
        BadFilesError: if an image can't be read any more.
    """
    missing: list[ShardPlan] = []
    for shard in shards:
        if (place / shard.name).exists():
            wrote(shard)
        else:
            missing.append(shard)
    images, count = sum(len(shard.samples) for shard in missing), worker_count(len(missing))
    if images < _FEW or count == 1 or not sys.executable:
        for shard in missing:
            _write(place / shard.name, shard.info, shard.samples)
            wrote(shard)
        return
    writers = [_Writer() for _ in range(count)]
    free: SimpleQueue[_Writer] = SimpleQueue()
    for writer in writers:
        free.put(writer)

    def write(shard: ShardPlan) -> ShardPlan:
        writer = free.get()
        try:
            writer.write(place / shard.name, shard)
        finally:
            free.put(writer)
        return shard

    with ThreadPoolExecutor(count) as pool:
        try:
            for task in as_completed([pool.submit(write, shard) for shard in missing]):
                wrote(task.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for writer in writers:
                writer.end()


class _Writer:
    """Handle of a process that writes, see the module's docstring. One thread at a time talks to it."""

    def __init__(self) -> None:
        program = f"import sys; sys.path[:] = {sys.path!r}; from striate.data.sources.tar_writer import main; "
        program += f"main({os.getpid()})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def write(self, path: Path, shard: ShardPlan) -> None:
        """Write a shard, as `_write`."""
        requests, answers = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        try:
            requests.write(json.dumps([str(path), asdict(shard.info), shard.samples]).encode() + b"\n")
            requests.flush()
            answer = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise RunError(f"a process that writes shards ended early (exit code {self.process.wait()}).") from error
        if "error" in answer:
            raise OSError(*answer["error"])
        if "unreadable" in answer:
            raise BadFilesError({answer["path"]: answer["unreadable"]})

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # a request that was not sent
                cast(IO[bytes], pipe).close()


def serve(requests: BinaryIO, answers: BinaryIO, packing: int) -> None:
    """Serve as a process that writes, until there are no more requests, or the process that packs has been killed.

    Another may then continue its work already, so nothing more is begun.

    Args:
        requests, answers: lines of JSON.
        packing: the process that packs.
    """
    for line in requests:
        if os.getppid() != packing:
            return
        path, info, samples = json.loads(line)
        answer: dict[str, object] = {}
        try:
            classes = tuple(info.pop("classes"))
            _write(Path(path), ShardInfo(classes, **info), [Sample(*each) for each in samples])
        except OSError as error:
            answer = {"error": [error.errno, error.strerror, error.filename]}
        except BadFilesError as error:
            (bad,) = error.problems.items()
            answer = {"path": bad[0], "unreadable": bad[1]}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main(packing: int) -> None:
    """Serve the process that packs, on standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that packs, which then ends this one
    with suppress(BrokenPipeError):  # nobody wants the answer any more
        serve(sys.stdin.buffer, sys.stdout.buffer, packing)


def _write(path: Path, info: ShardInfo, samples: Sequence[Sample]) -> None:
    """Write a shard, which gets its name once all of it is on the disk."""
    # The process of a packing that was killed may still be writing the same one.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        options = {"format": tarfile.PAX_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}
        with tarfile.open(fileobj=file, mode="w", **options) as archive:  # type: ignore[call-overload]
            content = info.to_bytes()
            archive.addfile(_member(tar_samples.NAME, len(content)), io.BytesIO(content))
            for sample in samples:
                try:
                    content = ImageRef(sample.path).read()
                except UndecodableError as error:
                    raise BadFilesError({sample.path: error.reason}) from error
                archive.addfile(sample.image(len(content)), io.BytesIO(content))
                content = str(sample.label).encode("ascii")
                archive.addfile(_member(f"{sample.key}.cls", len(content)), io.BytesIO(content))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def in_blocks(length: int) -> int:
    """Return how many bytes a content of `length` bytes takes in a tar file."""
    return -(-length // _BLOCK) * _BLOCK


def _member(name: str, length: int, records: dict[str, str] | None = None) -> tarfile.TarInfo:
    """Return the header of a file without owner and time, so that equal contents give equal shards."""
    member = tarfile.TarInfo(name)
    member.size = length
    member.pax_headers = records or {}
    return member
