"""Loading of batches: seeded order, augmentation, normalisation, device; prefetched by threads.

A batch is a function of (seed, step), so that a run continues anywhere with nothing to restore. A batch that is divided
into shards is the same on any number of processes, each of which makes its own shards alone.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from striate import seeding
from striate.data.dataset import Split
from striate.data.lazy import LazyImages
from striate.data.prefetch import MemoryPool, Prefetcher
from striate.errors import ArgumentError, DataError
from striate.hardware import cores, keep_memory
from striate.preprocess import Preprocess

Augment = Callable[..., Tensor]  # with a true attribute `mixes`, its `mix` returns images and targets

_DEPTH = 2  # groups made ahead
_VALUES = 2**20  # of a group's images: enough that what a call costs by itself is little beside what it does


class Batch(NamedTuple):
    """One batch: inputs float32 (B, C, H, W), channels-last, and targets int64 (B,).

    Where images are mixed, targets are shares of the classes: float32 (B, classes).
    """

    inputs: Tensor
    targets: Tensor


Parts = tuple[Batch, ...]
Make = Callable[[int], list[Parts]]


def shard_sizes(samples: int, shards: int) -> list[int]:
    """Numbers of a batch's samples in its shards: the first ones have one more where it must be.

    Batch normalisation can't learn from one sample: where there are fewer than two for each, the last shards have none.
    """
    used = max(1, min(shards, samples // 2))
    return [samples // used + (shard < samples % used) if shard < used else 0 for shard in range(shards)]


class Loader:
    """The batches of a split, like a `DataLoader`: one epoch an iteration, in an order drawn anew each epoch.

    `loader[step]` is the batch of a step, counted over all epochs; it depends on the seed and the step alone. The last
    batch of an epoch holds what is left over; a single sample joins the batch before it, since batch normalisation
    can't learn from one value. While a batch is used, threads make the next ones; an error in one is raised when that
    one is asked for.

    Batches of small images in memory are made several at once, consecutive ones of an epoch, which is faster and gives
    the same. `together` is how many.

    Args:
        split: the images, of the size that `preprocess` has.
        preprocess: how pixel values become input; by default they are normalised by the split's own mean and standard
            deviation.
        batch_size: samples a step.
        seed: what order and augmentation are drawn from.
        augment: an augmentation policy, such as `striate.augmentation.parse("flip")`; `None` for none.
        device: where the batches go.
        classes: how many there are, for policies that mix images.
        shuffle: whether each epoch has an order of its own; else it is the split's.
        index: positions of the images to use, int64 (n,); all of them if not given.
        samples: how many an epoch has, at most twice as many as there are images to use: beyond those, drawn ones are
            used a second time. Each image once if not given.
        shards: into how many parts a batch is divided, see `shard_sizes`; images are mixed within theirs.
        own: which of the shards are made; all of them if not given.
        buffer: from how many images each next one is drawn, where the files that many images lie in are read one after
            another, see `buffered`; 0 draws from all.

    Yields:
        `Batch`: inputs float32 (B, C, H, W), targets int64 (B,).

    Raises:
        ArgumentError: for a batch size below 1 or a policy as text, or if the policy mixes images and `classes` is
            not given.
        DataError: if the split is empty.

    >>> loader = striate.Loader(data.train, batch_size=32)
    >>> images, labels = next(iter(loader))
    >>> images.shape, images.dtype, labels.dtype
    (torch.Size([32, 1, 8, 8]), torch.float32, torch.int64)
    """

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess | None = None,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augment | None = None,
        device: torch.device | str = "cpu",
        classes: int | None = None,
        shuffle: bool = True,
        index: Tensor | None = None,
        samples: int | None = None,
        shards: int = 1,
        own: range | None = None,
        buffer: int = 0,
    ):
        if not isinstance(split, Split):
            raise ArgumentError(
                f"split of type {type(split).__name__}: expected a striate.Split, such as dataset.train."
            )
        if batch_size < 1:
            raise ArgumentError(f"batch_size={batch_size}: expected 1 or more.")
        if not len(split) or (index is not None and not len(index)):
            raise DataError("the split holds no images.")
        if isinstance(augment, str):
            raise ArgumentError(f"augment={augment!r}: expected a policy, striate.augmentation.parse({augment!r}).")
        if getattr(augment, "mixes", False) and classes is None:
            raise ArgumentError("an augmentation that mixes images needs to know how many classes there are.")
        if buffer and split.places is None:
            raise ArgumentError("a shuffle buffer is for images in tar shards or tables: these are drawn from all.")
        keep_memory()
        self.split = split
        self.buffer = buffer
        self.index = index
        self._available = len(split) if index is None else len(index)
        self.samples = samples or self._available
        self.preprocess = preprocess or _own(split)
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.shuffle = shuffle
        self.device = torch.device(device)
        self.classes = classes
        self.shards = shards
        self.own = range(shards) if own is None else own
        self._order: tuple[int, Tensor] | None = None
        self._epoch = 0  # of the next iteration
        lazy = isinstance(split.images, LazyImages)
        self.together = 1 if lazy else max(1, _VALUES // (batch_size * split.images.shape[1:].numel()))
        self._group: tuple[int, list[Parts]] | None = None
        self._pixels, self._inputs = MemoryPool(torch.uint8, _DEPTH), MemoryPool(torch.float32, _DEPTH + 3)
        make = weakref.WeakMethod(self._make)  # its threads are no reason to keep this object
        self._prefetcher = Prefetcher(lambda group: cast(Make, make())(group), _DEPTH, threads=2)
        self._alone = not lazy and self.device.type == "cpu" and cores() == 1

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        whole, left = divmod(self.samples, self.batch_size)
        return whole + (left > 1 or whole == 0)

    def __len__(self) -> int:
        """The batches of an epoch."""
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one epoch: the first, the second, and so on, in each call."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        return (self[step] for step in range(epoch * len(self), (epoch + 1) * len(self)))

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs; of one that is divided, the first own shard."""
        return self.parts(step)[0]

    def batch_length(self, step: int) -> int:
        """The samples in the batch of a step, in all shards together."""
        position = step % self.steps_per_epoch
        last = position + 1 == self.steps_per_epoch
        return self.samples - position * self.batch_size if last else self.batch_size

    def parts(self, step: int) -> Parts:
        """The own shards of a step's batch, in order; those at the end of a small batch may be empty."""
        epoch, position = divmod(step, self.steps_per_epoch)
        group = epoch * self._groups_per_epoch + position // self.together
        if self._group is None or self._group[0] != group:
            self._group = (group, self._make(group) if self._alone else self._prefetcher[group])
        return self._group[1][position % self.together]

    def close(self) -> None:
        """Stop prefetching and release unused memory, until another batch is asked for."""
        self._group = None
        self._prefetcher.close()
        self._pixels.clear()
        self._inputs.clear()

    @property
    def _groups_per_epoch(self) -> int:
        return -(-self.steps_per_epoch // self.together)

    def _make(self, group: int) -> list[Parts]:
        """The own shards of the batches of a group, counted from 0 over all epochs."""
        epoch, position = divmod(group, self._groups_per_epoch)
        first = position * self.together
        steps = min(self.together, self.steps_per_epoch - first)
        last = first + steps == self.steps_per_epoch
        index = self.order(epoch)[first * self.batch_size : None if last else (first + steps) * self.batch_size]
        sizes = [self.batch_size] * (steps - 1)
        sizes.append(len(index) - sum(sizes))
        if self.shards > 1:
            pieces = [piece for batch in index.split(sizes) for piece in self._own_of(batch)]
            index, sizes = torch.cat(pieces), list(map(len, pieces))
        made = self._batches(index, sizes, epoch)
        return list(zip(*[iter(made)] * len(self.own), strict=True))

    def _own_of(self, index: Tensor) -> tuple[Tensor, ...]:
        """The positions in the own shards of a batch."""
        return index.split(shard_sizes(len(index), self.shards))[self.own.start : self.own.stop]

    def _batches(self, index: Tensor, sizes: list[int], epoch: int) -> list[Batch]:
        """Make batches of these sizes of the images at these positions."""
        if not len(index):
            shape = (0, self.preprocess.channels, self.preprocess.height, self.preprocess.width)
            return [Batch(torch.empty(shape), torch.empty(0, dtype=torch.int64)) for _ in sizes]
        chosen = index if self.index is None else self.index[index]
        images = self._images(chosen).to(self.device, non_blocking=True)
        targets = self.split.labels[chosen].to(self.device, non_blocking=True)
        if self.augment is not None:
            images = self.augment(images, seed=self.seed, epoch=epoch, index=index.numpy())
        if getattr(self.augment, "mixes", False):
            images, targets = self._mixed(images, targets, epoch, index, sizes)
        inputs = self.preprocess.normalize(images, self._buffer(self._inputs, images.shape))
        return [Batch(*each) for each in zip(inputs.split(sizes), targets.split(sizes), strict=True)]

    def _images(self, index: Tensor) -> Tensor:
        images = self.split.images
        if not isinstance(images, Tensor):
            return images[index]
        # Whole images are copied, ten times faster than by images[index], which looks up every pixel.
        return torch.index_select(images, 0, index, out=self._buffer(self._pixels, (len(index), *images.shape[1:])))

    def _buffer(self, pool: MemoryPool, shape: Sequence[int]) -> Tensor | None:
        """Memory from the pool, or None where another device may read it later than this thread."""
        return pool.empty(*shape) if self.device.type == "cpu" else None

    def _mixed(
        self, images: Tensor, targets: Tensor, epoch: int, index: Tensor, sizes: list[int]
    ) -> tuple[Tensor, Tensor]:
        """The images and targets of several batches, each mixed with another of its own batch."""
        augment, parts = cast(Any, self.augment), (each.split(sizes) for each in (images, targets, index))
        mixed = [
            augment.mix(some, labels, self.classes, seed=self.seed, epoch=epoch, index=places.numpy())
            for some, labels, places in zip(*parts, strict=True)
        ]
        return torch.cat([some for some, _ in mixed]), torch.cat([labels for _, labels in mixed])

    def order(self, epoch: int) -> Tensor:
        """The order of the samples in an epoch: int64 (N,), a permutation, and as many of another as `samples` adds."""
        if not self.shuffle:
            return torch.arange(self.samples) % self._available
        known = self._order  # another thread may need the next epoch's at the same time
        if known is None or known[0] != epoch:
            draw = seeding.generator(self.seed, "order", epoch)
            orders = [self._drawn(draw) for _ in range(2 if self.samples > self._available else 1)]
            known = (epoch, torch.cat(orders)[: self.samples])
            self._order = known
        return known[1]

    def _drawn(self, draw: torch.Generator) -> Tensor:
        places = self.split.places
        if not self.buffer or places is None:
            return shuffled(self._available, draw)
        return buffered(places if self.index is None else places[self.index], self.buffer, draw)


def _own(split: Split) -> Preprocess:
    """The preprocessing that normalises a split's images by their own mean and standard deviation."""
    _, height, width, channels = split.images.shape
    return Preprocess.resizing((height, width), channels).with_power_sums(split.power_sums())


def shuffled(count: int, draw: torch.Generator) -> Tensor:
    """All positions in 0 … count − 1 in an order of which each is equally likely: int64 (count,)."""
    return torch.randperm(count, generator=draw)


def buffered(places: Tensor, buffer: int, draw: torch.Generator) -> Tensor:
    """An order that reads large files from their beginnings to their ends, one after another, mixed by a buffer.

    The files come in a drawn order. Each next image is drawn from the `buffer` images that would be read next, and the
    one that stood there takes the drawn one's place: what WebDataset's `shuffle` does with images, done with their
    positions, so that nothing has to be read to know the order. A buffer of all images is `shuffled`'s Fisher-Yates.

    Args:
        places: int64 (N, 2), the number of each image's file, and where it lies in it.
        buffer: how many images each next one is drawn from, 1 or more.
        draw: the generator.

    Returns:
        int64 (N,): at each step, the position of an image that comes before step + buffer in the order of reading.
    """
    files, numbers = places[:, 0].unique(return_inverse=True)
    turns = torch.randperm(len(files), generator=draw)[numbers]
    within = places[:, 1].argsort(stable=True)
    order = within[turns[within].argsort(stable=True)].tolist()
    chances = torch.rand(len(order), generator=draw, dtype=torch.float64).tolist()
    for step, chance in enumerate(chances):
        other = step + int(chance * min(buffer, len(order) - step))
        order[step], order[other] = order[other], order[step]
    return torch.tensor(order, dtype=torch.int64)
