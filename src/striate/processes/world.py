"""Processes that work on one thing together: what they tell each other, and how a failure of one ends all.

torchrun starts the processes; each runs the same program, on its own share where there is something to divide. Inside
`together` they are a `World`. Plain values travel as JSON, tensors as they are; nothing is pickled. A process that
fails leaves its reason, closes its connections, which wakes all that wait for it, and lets the first one tell it.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from striate.errors import ArgumentError, LostProcessError, StriateError
from striate.processes.division import Branch, branches, shares, tree_sum
from striate.processes.links import Links

if TYPE_CHECKING:
    from torch import Tensor

SECONDS = 300.0  # that processes wait for another one's tensors; $STRIATE_TIMEOUT if it is set
PATIENCE = 3600.0  # seconds that they wait where one may be decoding its data
_OF_CONNECTIONS = re.compile("Dist[A-Z]|gloo|nccl|connection|peer|timed out|broken pipe", re.IGNORECASE)  # of PyTorch


@dataclass(frozen=True)
class World:
    """The processes that work together, seen from one of them.

    All of them make the same calls in the same order. A single process is a world, too, for which they cost nothing.

    Args:
        rank: the number of this process, from 0.
        size: how many there are.
        links: the connections between them.
    """

    rank: int = 0
    size: int = 1
    links: Links = field(default_factory=Links, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """True for the process that writes and prints."""
        return self.rank == 0

    def share(self, things: int) -> range:
        """This process's share of so many things: consecutive ones, as many as each other's or one more."""
        return shares(things, self.size)[self.rank]

    def gathered(self, value: Any) -> list[Any]:
        """A plain value of each process, in their order.

        Raises:
            StriateError: the error of a process that failed meanwhile.
        """
        import torch
        import torch.distributed as dist

        if self.size == 1:
            return [value]
        content = json.dumps(value).encode()
        lengths = torch.zeros(self.size, dtype=torch.int64)
        lengths[self.rank] = len(content)
        with self.guarded():
            dist.all_reduce(lengths, group=self.links.patient)
        said = self._exchanged(_as_tensor(content), lengths.tolist(), self.links.patient)
        return [json.loads(each.numpy().tobytes()) for each in said]

    def from_first(self, make: Callable[[], Any]) -> Any:
        """The plain value that `make` gives in the first process, which alone calls it."""
        if self.size == 1:
            return make()
        return json.loads(self.bytes_from_first(lambda: json.dumps(make()).encode()))

    def bytes_from_first(self, make: Callable[[], bytes]) -> bytes:
        """The bytes that `make` gives in the first process, which alone calls it; any number of them."""
        import torch
        import torch.distributed as dist

        if self.size == 1:
            return make()
        sent = _as_tensor(make() if self.is_first else b"")
        length = torch.tensor([len(sent)])
        with self.guarded():
            dist.broadcast(length, 0, group=self.links.patient)
            content = sent if self.is_first else torch.empty(int(length), dtype=torch.uint8)
            if len(content):
                dist.broadcast(content, 0, group=self.links.patient)
        return content.numpy().tobytes()

    def greatest(self, value: float) -> float:
        """The greatest of the processes' values: one that all of them go by, such as a time."""
        import torch
        import torch.distributed as dist

        if self.size == 1:
            return value
        values = torch.tensor([value], dtype=torch.float64)
        with self.guarded():
            dist.all_reduce(values, dist.ReduceOp.MAX, group=self.links.group)
        return float(values)

    def row_shares(self, rows: int, batch_size: int) -> list[range]:
        """Each process's share of so many rows, in whole batches but for the last one."""
        batches = shares(-(-rows // batch_size), self.size)
        return [range(min(each.start * batch_size, rows), min(each.stop * batch_size, rows)) for each in batches]

    def joined(self, own: "Iterable[Tensor]", shares: Sequence[range]) -> "Tensor":
        """The rows of all processes, in order, in each of them: one tensor, into which the rows go as they are made.

        Args:
            own: this process's rows, (n, …) each, on the CPU: together as many as its share.
            shares: of each process; one at least has a row.

        Raises:
            ValueError: for another number of rows.
        """
        import torch

        rows = iter(own)
        first = next(rows, None)
        kind = None if first is None else [list(first.shape[1:]), str(first.dtype).removeprefix("torch.")]
        shape, dtype = next((each for each in self.gathered(kind) if each is not None), ([], "float32"))
        whole = torch.empty((shares[-1].stop, *shape), dtype=getattr(torch, dtype))
        place = shares[self.rank].start
        for some in rows if first is None else chain([first], rows):
            whole[place : place + len(some)] = some
            place += len(some)
        if place != shares[self.rank].stop:
            raise ValueError(f"rows up to {place}, expected them up to {shares[self.rank].stop}")
        if self.size > 1:
            self._spread([whole[share.start : share.stop] for share in shares], self.links.patient)
        return whole

    def exchanged(self, rows: "Tensor", sizes: Sequence[int]) -> "list[Tensor]":
        """The rows of each process, (n, …), of which they have so many."""
        return self._exchanged(rows, sizes, self._group_of(rows))

    def _exchanged(self, rows: "Tensor", sizes: Sequence[int], group: Any) -> "list[Tensor]":
        found = [
            rows if rank == self.rank else rows.new_empty((size, *rows.shape[1:])) for rank, size in enumerate(sizes)
        ]
        self._spread(found, group)
        return found

    def _spread(self, each: "Sequence[Tensor]", group: Any) -> None:
        """Send one tensor of each process to all, in place: broadcasts are faster than gloo's all_gather."""
        import torch.distributed as dist

        with self.guarded():
            filled = ((rank, tensor) for rank, tensor in enumerate(each) if tensor.numel())
            sending = [dist.broadcast(tensor, rank, group=group, async_op=True) for rank, tensor in filled]
            for work in sending:
                work.wait()

    def summed(self, parts: int, make: "Callable[[range], Sequence[Tensor]]", most: int = 1) -> "Sequence[Tensor]":
        """The sum of parts, each made by one process: the same to the last bit however many processes there are.

        The parts are added in pairs, the sums in pairs, and so on; each process adds what it can of its own share. Then
        each gets one slice of all these sums, adds them, and sends the slice's total to all: so the traffic is that of
        an ordinary all-reduce where parts and processes are powers of two.

        Args:
            parts: how many there are, a multiple of the number of processes.
            make: from the numbers of consecutive parts to their sum: tensors of one dtype, dense in memory, with the
                same shapes and strides for all parts, which are overwritten. Called for this process's parts, in order.
            most: how many parts `make` adds up: 1, or 2 at most.
        """

        def few(branch: Branch) -> "Sequence[Tensor] | None":
            some = range(*branch)
            return make(some) if len(some) <= most else None

        own = [tree_sum(branch, few) for branch in branches(parts, self.share(parts))]
        return own[0] if self.size == 1 else self._total(parts, own)

    def _total(self, parts: int, own: "Sequence[Sequence[Tensor]]") -> "Sequence[Tensor]":
        import torch
        import torch.distributed as dist

        flat = [torch.cat([tensor.as_strided((tensor.numel(),), (1,)) for tensor in each]) for each in own]
        slices = [slice(share.start, share.stop) for share in shares(len(flat[0]), self.size)]
        mine, group = slices[self.rank], self._group_of(flat[0])
        known: dict[Branch, Sequence[Tensor]] = {}
        transfers = []
        for rank, share in enumerate(shares(parts, self.size)):
            theirs = branches(parts, share)
            if rank == self.rank:
                known |= {branch: [each[mine]] for branch, each in zip(theirs, flat, strict=True)}
                continue
            got = [torch.empty_like(flat[0][mine]) for _ in theirs]
            known |= {branch: [each] for branch, each in zip(theirs, got, strict=True)}
            transfers += [dist.P2POp(dist.isend, each[slices[rank]], rank, group) for each in flat]
            transfers += [dist.P2POp(dist.irecv, each, rank, group) for each in got]
        with self.guarded():
            for work in dist.batch_isend_irecv(transfers):
                work.wait()
        (sum_of_mine,) = tree_sum((0, parts), known.get)
        total = flat[0]
        total[mine] = sum_of_mine
        self._spread([total[each] for each in slices], group)
        pieces = total.split([tensor.numel() for tensor in own[0]])
        return [piece.as_strided(like.shape, like.stride(), piece.storage_offset())
                for piece, like in zip(pieces, own[0], strict=True)]  # fmt: skip

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn the errors of a connection that ends into the reason that the other process left, if it left one.

        Raises:
            LostProcessError: if it left none.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not _OF_CONNECTIONS.search(f"{type(error).__name__} {error}"):
                raise
            raise self.links.recent_failure() or LostProcessError(
                "another process of this run has ended, or can't be reached any more."
            ) from error

    def _group_of(self, tensor: "Tensor") -> Any:
        return self.links.group if tensor.device.type == "cpu" else None


def _as_tensor(content: bytes) -> "Tensor":
    import torch

    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


ALONE = World()
_current = ALONE


def world() -> World:
    """The processes that work together now: this one alone, but inside `together`."""
    return _current


@contextmanager
def together() -> Iterator[World]:
    """Let the processes of torch.distributed's default group work together inside the block, if there are several.

    An error of one of them ends the block in all; the first one raises it, as well.
    """
    import torch.distributed as dist

    global _current
    if _current.size > 1 or not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        yield _current
        return
    links = Links(
        dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout())),
        dist.new_group(backend="gloo", timeout=timedelta(seconds=PATIENCE)),
        dist.distributed_c10d.PrefixStore(f"striate/{next(_numbers)}", dist.distributed_c10d._get_default_store()),
    )
    _current = World(dist.get_rank(), dist.get_world_size(), links)
    own = _current
    failed = True
    try:
        yield own
        failed = False
    except BaseException as error:
        if not own.is_first:
            links.leave(error, own.rank)
        left = links.failure() if own.is_first and not isinstance(error, StriateError) else None
        if left is not None:
            raise left from error
        raise
    finally:
        _current = ALONE
        links.close()
        if failed:
            links.wait_until_heard(own.is_first)


_numbers = count()


def timeout() -> float:
    """Seconds that processes wait for another one's tensors.

    Raises:
        ArgumentError: if $STRIATE_TIMEOUT is no positive number.
    """
    text = os.environ.get("STRIATE_TIMEOUT", "")
    try:
        seconds = float(text or SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ArgumentError(f"STRIATE_TIMEOUT={text}: expected seconds, such as 300.")
    return seconds
