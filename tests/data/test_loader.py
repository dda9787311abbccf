"""Training batches: each sample once an epoch, and any step's batch without those before it."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.augmentation import parse
from striate.data import LazyImages, Split
from striate.data import loader as module
from striate.data.loader import Loader
from striate.data.prefetch import MemoryPool, Prefetcher
from striate.errors import ArgumentError, DataError
from striate.hardware import single_core_threads
from striate.preprocess import Preprocess

PREPROCESS = Preprocess(2, 3, 1, mean=(0.5,), std=(0.25,))
counts = st.tuples(st.integers(1, 40), st.integers(1, 50))


def batches(count, batch_size, seed=0, augment=None):
    """Every image's pixels, and its label, are its own index."""
    index = torch.arange(count)
    images = index.to(torch.uint8)[:, None, None, None].expand(-1, 2, 3, 1).contiguous()
    return Loader(Split(images, index), PREPROCESS, batch_size, seed, augment)


@pytest.mark.slow
@quick
@given(counts, st.integers(0, 3))
def test_each_sample_comes_once_an_epoch(count, epoch):
    made = batches(*count)
    steps = made.steps_per_epoch
    seen = [made[step].targets for step in range(epoch * steps, (epoch + 1) * steps)]
    assert torch.equal(torch.cat(seen), made.order(epoch))
    assert sorted(torch.cat(seen).tolist()) == list(range(count[0]))
    samples, batch_size = count
    assert [len(part) for part in seen[:-1]] == [batch_size] * (steps - 1)
    assert len(seen[-1]) == samples - batch_size * (steps - 1) > (samples > 1 < batch_size)


def test_a_single_sample_joins_the_batch_before_it():
    assert [len(batches(9, 4)[step].targets) for step in range(3)] == [4, 5, 4]
    assert [len(batches(10, 4)[step].targets) for step in range(3)] == [4, 4, 2]


@quick
@given(st.integers(2, 40), st.integers(0, 40), st.integers(1, 20), st.integers(0, 3))
def test_some_images_fill_an_epoch_by_being_used_again(used, more, batch_size, epoch):
    more = min(more, used)
    whole = batches(50, batch_size)
    index = torch.arange(50)[50 - used :]
    made = Loader(whole.split, PREPROCESS, batch_size, index=index, samples=used + more)
    steps = made.steps_per_epoch
    parts = [made[step] for step in range(epoch * steps, (epoch + 1) * steps)]
    seen = torch.cat([part.targets for part in parts])
    assert len(seen) == used + more
    assert set(seen.tolist()) == set(index.tolist())
    assert seen.bincount().max() == (2 if more else 1)
    pixels = torch.cat([part.inputs for part in parts])[:, 0, 0, 0]  # each image's pixels are its own index
    assert torch.allclose(pixels, (seen / 255 - 0.5) / 0.25, atol=1e-6)
    made.close()


def test_images_that_are_used_are_a_split_of_their_own():
    whole = batches(20, 4, augment=parse("shift=0.5"))
    index = torch.tensor([3, 4, 9, 11, 12, 19])
    part = Split(whole.split.images[index], whole.split.labels[index])
    some = Loader(whole.split, PREPROCESS, 4, augment=whole.augment, index=index)
    own = Loader(part, PREPROCESS, 4, augment=whole.augment)
    for step in range(3):
        assert all(torch.equal(*pair) for pair in zip(some[step], own[step], strict=True))
    with pytest.raises(DataError, match="no images"):
        Loader(whole.split, PREPROCESS, index=index[:0])


@pytest.mark.slow
@quick
@given(counts, st.data())
def test_any_step_gives_its_batch_without_those_before_it(count, data):
    one = batches(*count)
    in_order = [one[step] for step in range(3 * one.steps_per_epoch)]
    other = batches(*count)
    for step in data.draw(st.lists(st.integers(0, len(in_order) - 1), max_size=6)):
        assert torch.equal(other[step].targets, in_order[step].targets)
        assert torch.equal(other[step].inputs, in_order[step].inputs)


def test_epochs_and_seeds_differ():
    orders = [tuple(batches(40, 8, seed).order(epoch).tolist()) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({*orders, tuple(range(40))}) == 7
    made = batches(40, 8)
    assert [made.order(epoch).tolist() for epoch in (0, 1, 0)] == [list(orders[epoch]) for epoch in (0, 1, 0)]


def test_the_default_generator_is_not_used():
    before = torch.get_rng_state()
    batches(40, 8, augment=parse("flip,shift,rotate"))[7]
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_are_normalised_and_belong_to_their_targets():
    batch = batches(40, 7)[2]
    assert batch.inputs.shape == (7, 1, 2, 3)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.dtype == torch.int64
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    expected = (batch.targets.numpy() / 255 - 0.5) / 0.25
    np.testing.assert_allclose(batch.inputs[:, 0, 1, 2].numpy(), expected, rtol=1e-5)


def test_five_images_fill_a_part_of_one_batch():
    made = batches(5, 128)
    assert made.steps_per_epoch == 1
    for step in range(3):
        assert sorted(made[step].targets.tolist()) == [0, 1, 2, 3, 4]
        assert made[step].inputs.shape == (5, 1, 2, 3)


@pytest.mark.parametrize(("step", "epoch"), [(0, 0), (4, 0), (5, 1), (13, 2)])
def test_variation_is_told_the_epoch_and_each_samples_own_index(step, epoch):
    calls = []

    def augment(images, **words):
        calls.append({**words, "images": images.clone()})
        return 255 - images

    made = batches(40, 8, seed=3, augment=augment)
    made.together = 1
    batch = made[step]
    # The others are of the steps after it, made ahead by two threads.
    (told,) = [each for each in calls if each["index"].tolist() == batch.targets.tolist()]
    assert (told["seed"], told["epoch"]) == (3, epoch)
    assert told["index"].dtype == np.int64
    assert told["images"][:, 0, 0, 0].tolist() == batch.targets.tolist()
    np.testing.assert_allclose(batch.inputs[:, 0, 0, 0], (1 - batch.targets / 255 - 0.5) / 0.25, rtol=1e-5)


def test_a_sample_is_varied_alike_in_batches_of_any_size():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), dtype=np.uint8))
    split, preprocess = Split(images, torch.arange(30)), Preprocess(6, 6, 1)
    seen = []
    for batch_size in (4, 30):
        made = Loader(split, preprocess, batch_size, 0, parse("lenet5"))
        parts = [made[step] for step in range(made.steps_per_epoch)]
        order = torch.cat([part.targets for part in parts]).argsort()
        seen.append(torch.cat([part.inputs for part in parts])[order])
    assert torch.equal(*seen)
    assert torch.equal(split.images, images)
    assert not torch.equal(seen[0], preprocess.normalize(images))


class Mixing:
    """A policy that mixes each image with the next, half and half."""

    mixes = True

    def __call__(self, images, **drawn):
        return 255 - images

    def mix(self, images, labels, classes, *, seed, epoch, index):
        assert (seed, epoch, index.tolist()) == (5, 0, labels.tolist())
        shares = torch.nn.functional.one_hot(labels, classes).float()
        return (images // 2 + images.roll(1, 0) // 2), (shares + shares.roll(1, 0)) / 2


def test_mixing_comes_after_variation_and_gives_shares_of_the_classes():
    split = Split(torch.arange(0, 60, 2, dtype=torch.uint8)[:, None, None, None].repeat(1, 2, 3, 1), torch.arange(30))
    batch = Loader(split, PREPROCESS, 8, 5, Mixing(), classes=30)[1]
    order = Loader(split, PREPROCESS, 8, 5).order(0)[8:16]
    assert batch.targets.dtype == torch.float32
    assert batch.targets.shape == (8, 30)
    assert batch.targets.nonzero()[:, 1].reshape(8, 2).tolist() == [
        sorted((int(here), int(before))) for here, before in zip(order, order.roll(1), strict=True)
    ]
    pixels = [
        (255 - 2 * int(here)) // 2 + (255 - 2 * int(before)) // 2
        for here, before in zip(order, order.roll(1), strict=True)
    ]
    np.testing.assert_allclose(batch.inputs[:, 0, 0, 0], (np.array(pixels) / 255 - 0.5) / 0.25, rtol=1e-5)


def test_mixing_needs_the_number_of_classes():
    with pytest.raises(ArgumentError, match="how many classes"):
        Loader(Split(torch.zeros(2, 2, 3, 1, dtype=torch.uint8), torch.arange(2)), PREPROCESS, 8, 5, Mixing())


def test_batches_of_images_made_when_asked_for_are_the_same():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), dtype=np.uint8))
    lazy = LazyImages(images.shape, lambda positions: images[torch.from_numpy(positions)])
    one, other = (
        Loader(Split(each, torch.arange(30)), Preprocess(6, 6, 1), 7, 0, parse("lenet5")) for each in (images, lazy)
    )
    for step in (0, 1, 2, 9, 4):
        assert torch.equal(one[step].inputs, other[step].inputs)
        assert torch.equal(one[step].targets, other[step].targets)


def test_a_batch_made_ahead_is_the_batch_made_at_once():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, 9, 7, 3), dtype=np.uint8))
    ahead, alone = (
        Loader(
            Split(images, torch.arange(64)),
            Preprocess(9, 7, 3, mean=(0.1,) * 3, std=(0.3,) * 3),
            10,
            0,
            parse("lenet5"),
        )
        for _ in range(2)
    )
    alone._alone = True
    for step in (0, 1, 2, 3, 11, 12):
        assert all(torch.equal(*each) for each in zip(ahead[step], alone[step], strict=True))
    assert not alone._prefetcher._coming


POLICIES = [None, *map(parse, ("flip,shift=0.4,erase", "lenet5", "flip,noise,cutmix", "mixup"))]


@pytest.mark.slow
@quick
@given(counts, st.integers(1, 9), st.sampled_from(POLICIES), st.sampled_from([1, 3]), st.data())
def test_batches_made_together_are_those_made_one_by_one(count, together, policy, channels, data):
    samples, batch_size = count
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (samples, 5, 4, channels), dtype=np.uint8))
    preprocess = Preprocess(5, 4, channels, mean=(0.31,) * channels, std=(0.27,) * channels)
    one, many = (
        Loader(Split(images, torch.arange(samples)), preprocess, batch_size, 4, policy, classes=samples) for _ in "ab"
    )
    one.together, many.together = 1, together
    for step in data.draw(st.lists(st.integers(0, 3 * one.steps_per_epoch - 1), min_size=1, max_size=4)):
        for single, shared in zip(one[step], many[step], strict=True):
            assert torch.equal(single, shared)
            assert single.stride() == shared.stride()


@pytest.mark.parametrize(
    ("size", "batch_size", "together"), [(28, 64, 20), (28, 2000, 1), (32, 512, 2), (224, 2, 10), (224, 64, 1)]
)
def test_as_many_are_made_together_as_have_a_million_values(size, batch_size, together):
    images = torch.zeros(1, size, size, 1, dtype=torch.uint8).expand(4000, -1, -1, -1)
    lazy = LazyImages(images.shape, lambda positions: images[torch.from_numpy(positions)])
    for each, expected in ((images, together), (lazy, 1)):
        assert Loader(Split(each, torch.arange(4000)), Preprocess(size, size, 1), batch_size, 0).together == expected


def test_batches_take_the_memory_of_those_that_are_done():
    made = batches(40, 4)
    made.together = 1
    places = {made[step].inputs.data_ptr() for step in range(50)}
    assert len(places) <= 7  # one used, three asked for, and what the caller and two threads have yet to let go
    held = [made[step] for step in range(50, 60)]
    assert len({batch.inputs.data_ptr() for batch in held}) == 10
    made._prefetcher.close()  # until its threads are done, they may hold all there is
    assert made._pixels._free
    del held
    assert made._inputs._free
    made.close()
    assert not made._pixels._free
    assert not made._inputs._free
    made.device = torch.device("meta")  # it may read what it is given later than this thread writes there again
    assert made._buffer(made._inputs, (1,)) is None


def test_threads_that_need_the_orders_of_different_epochs_each_get_their_own():
    class Interrupted(Loader):
        """Another thread asks for the order of epoch 1 in the moment that of epoch 0 is known."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "_order" and value is not None and value[0] == 0:
                self.order(1)

    split, preprocess = Split(torch.zeros(50, 2, 2, 1, dtype=torch.uint8), torch.arange(50)), Preprocess(2, 2, 1)
    made, alone = (kind(split, preprocess, 8, 0) for kind in (Interrupted, Loader))
    assert torch.equal(made.order(0), alone.order(0))


def test_what_goes_wrong_is_raised_at_its_own_step():
    def augment(images, *, epoch, **drawn):
        if epoch == 1:
            raise DataError("gone")
        return images

    made = batches(4, 4, augment=augment)
    assert made[0].targets.tolist()
    with pytest.raises(DataError, match="gone"):
        made[1]
    assert made[2].targets.tolist()
    made.close()


def test_no_thread_is_left_when_it_is_closed_or_forgotten(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)  # with one, batches are made when asked for
    before = threads_of("striate-batches")  # an error that another test looked at keeps its batches for a while
    made, other = batches(40, 8), batches(40, 8)
    made[0], other[0]
    started = threads_of("striate-batches") - before
    assert started
    made.close()
    made.close()
    del other
    for thread in started:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in started)
    assert torch.equal(made[1].targets, batches(40, 8)[1].targets)  # it begins again
    made.close()


def threads_of(prefix):
    return {thread for thread in threading.enumerate() if thread.name.startswith(prefix)}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_is_given_back_is_taken_again(dtype: torch.dtype) -> None:
    pool = MemoryPool(dtype, 2)
    first = pool.empty(4, 3, 2)
    assert first.shape == (4, 3, 2)
    assert first.dtype == dtype
    assert first.is_contiguous()
    where = first.data_ptr()
    del first
    assert pool.empty(2, 5).data_ptr() == where


def test_what_a_view_refers_to_is_not() -> None:
    pool = MemoryPool(torch.float32, 4)
    whole = pool.empty(4, 3).fill_(1)
    part = whole[2:].permute(1, 0)
    del whole
    pool.empty(4, 3).fill_(2)
    assert part.unique().tolist() == [1]


def test_what_is_too_small_makes_way() -> None:
    pool = MemoryPool(torch.uint8, 4)
    pool.empty(3)
    large = pool.empty(10)
    where = large.data_ptr()
    del large
    assert pool.empty(3).data_ptr() == where


def test_cleared_memory_is_gone() -> None:
    pool = MemoryPool(torch.uint8, 4)
    kept = pool.empty(3)
    pool.empty(5)
    pool.clear()
    assert not pool._free
    del kept  # comes back even so
    assert len(pool._free) == 1


def test_no_more_is_kept_than_was_said() -> None:
    pool = MemoryPool(torch.uint8, 2)
    held = [pool.empty(3) for _ in range(5)]
    del held
    assert len(pool._free) == 2


@quick
@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=30))
def test_tensors_in_use_never_share_memory(asked: list[tuple[int, bool]]) -> None:
    pool, held = MemoryPool(torch.float32, 3), []
    for value, (size, release) in enumerate(asked):
        held.append((value, pool.empty(size).fill_(value)))
        if release:
            held.pop(len(held) // 2)
        for expected, tensor in held:
            assert tensor.unique().tolist() == [expected]


def test_threads_may_share_it() -> None:
    pool = MemoryPool(torch.float32, 4)

    def use(value: int) -> bool:
        return all(bool((pool.empty(1000 + turn).fill_(value) == value).all()) for turn in range(200))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(8)))
    assert 1 <= len(pool._free) <= 4


@quick
@given(st.lists(st.integers(0, 20), max_size=12), st.integers(0, 3), st.integers(1, 3))
def test_every_step_gives_its_own_result_whatever_came_before(steps, depth, threads):
    ahead = Prefetcher(lambda step: step * step, depth, threads)
    assert [ahead[step] for step in steps] == [step * step for step in steps]
    ahead.close()


def test_the_next_steps_are_made_while_this_one_is_used_and_no_more():
    made, enough = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 9:
            enough.set()
        return step

    ahead = Prefetcher(make, depth=2)
    assert ahead[7] == 7
    assert enough.wait(30)
    time.sleep(0.01)
    assert made == [7, 8, 9]
    assert ahead[8] == 8
    ahead.close()
    assert set(made) <= {7, 8, 9, 10}


def test_a_jump_leaves_out_what_was_not_begun():
    made, going = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 1:
            going.wait(30)
        return step

    ahead = Prefetcher(make, depth=3)
    assert ahead[0] == 0  # 1 is being made, 2 and 3 wait
    threading.Timer(0.05, going.set).start()
    assert ahead[50] == 50
    assert not {2, 3} & set(made)
    ahead.close()


def test_an_exception_comes_with_its_own_step_and_again_when_asked_again():
    def make(step):
        if step == 2:
            raise ValueError("two")
        return step

    ahead = Prefetcher(make, depth=2)
    assert [ahead[0], ahead[1]] == [0, 1]
    for _ in range(2):
        with pytest.raises(ValueError, match="two"):
            ahead[2]
    assert ahead[3] == 3
    ahead.close()


def test_its_threads_use_one_core_and_all_others_as_many_as_before():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        ahead = Prefetcher(lambda step: torch.get_num_threads(), depth=1, threads=2)
        assert [ahead[0], ahead[1]] == [1, 1]
        assert torch.get_num_threads() == 3
        told = []
        thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert told == [3]
        ahead.close()
    finally:
        torch.set_num_threads(before)


SCARCE = """
import threading, torch
from striate.hardware import single_core_threads

start, begun = threading.Thread.start, []

def scarce(thread):
    if begun:
        raise RuntimeError("can't start new thread")
    begun.append(thread)
    start(thread)

torch.set_num_threads(3)
threading.Thread.start = scarce
try:
    single_core_threads(2, "some")
except RuntimeError as error:
    print(error, torch.get_num_threads())
"""


@pytest.mark.slow
def test_a_program_ends_if_the_system_has_no_more_threads():
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCARCE], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("can't start new thread 3\n", "", 0)


def test_threads_made_at_once_leave_the_usual_number_alone(monkeypatch):
    before, set_number = torch.get_num_threads(), torch.set_num_threads

    def slowly(count):
        set_number(count)
        time.sleep(0.01)  # for others to see it

    def one_of(place):
        time.sleep(0.004 * place)
        return single_core_threads(2, str(place))

    monkeypatch.setattr(torch, "set_num_threads", slowly)
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(8) as callers:
            made = list(callers.map(one_of, range(8)))
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
        assert [list(threads.map(lambda _: torch.get_num_threads(), range(4))) for threads in made] == [[1] * 4] * 8
        for threads in made:
            threads.shutdown()
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_a_program_ends_with_work_under_way(end):
    code = "import time\nfrom striate.data.loader import Prefetcher\n"
    code += f"ahead = Prefetcher(lambda step: time.sleep(0.2), 2, 2)\nahead[0]\nprint('used', flush=True)\n{end}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "used\n"
    assert done.returncode == (1 if "raise" in end else 0)
    assert "ValueError" in done.stderr if "raise" in end else not done.stderr


def test_an_iteration_is_one_epoch_and_the_next_another() -> None:
    loader = batches(20, 8, seed=3)
    epochs = [list(loader) for _ in range(2)]
    assert [len(epoch) for epoch in epochs] == [len(loader)] * 2 == [3] * 2
    for number, epoch in enumerate(epochs):
        for step, (inputs, targets) in enumerate(epoch):
            again = batches(20, 8, seed=3)[number * 3 + step]
            assert torch.equal(inputs, again.inputs)
            assert torch.equal(targets, again.targets)
    assert not torch.equal(epochs[0][0].inputs, epochs[1][0].inputs)


def test_without_shuffling_the_order_is_the_splits() -> None:
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 2, 2, 1).contiguous()
    loader = Loader(Split(images, torch.arange(5)), batch_size=2, shuffle=False)
    assert [targets.tolist() for _ in range(2) for _, targets in loader] == [[0, 1], [2, 3, 4]] * 2


def test_by_default_images_are_normalised_by_their_own_statistics() -> None:
    images = torch.randint(0, 256, (50, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    inputs = torch.cat([x for x, _ in Loader(Split(images, torch.zeros(50, dtype=torch.int64)), batch_size=20)])
    assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(inputs.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_what_a_loader_cannot_use_is_named() -> None:
    split = Split(torch.zeros(4, 3, 3, 1, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    empty = Split(split.images[:0], split.labels[:0])
    for arguments, words in (
        ((split, None, 0), "batch_size=0: expected 1 or more"),
        ((empty,), "holds no images"),
        (((split.images, split.labels),), r"expected a striate\.Split"),
        ((split, None, 2, 0, "flip"), r"striate\.augmentation\.parse\('flip'\)"),
    ):
        with pytest.raises((ArgumentError, DataError), match=words):
            Loader(*arguments)  # type: ignore[arg-type]
