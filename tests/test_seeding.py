"""Randomness as a function of its key: SplitMix64 in slow Python integers, independence, and no lasting effect."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate import seeding

WORD = 2**64 - 1
N = 20_000


def mixed(z):
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014), one number at a time."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def splitmix64(state, count):
    """The first outputs of SplitMix64 from a state."""
    return [mixed((state + i * 0x9E3779B97F4A7C15) & WORD) for i in range(1, count + 1)]


def slow_uniform(stream, index, draws):
    start = mixed(stream ^ mixed((index * 0x9E3779B97F4A7C15) & WORD))
    return [(z >> 11) / 2**53 for z in splitmix64(start, draws)]


def numbers(*key, seed=0, index=None, draws=1):
    return seeding.uniform(seed, *key, index=np.arange(N) if index is None else np.asarray(index), draws=draws).numpy()


def test_the_reference_is_splitmix64():
    # Outputs for seed 1234567, as published with the generator's public-domain C code and repeated in many tests.
    assert splitmix64(1234567, 5) == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@quick
@given(st.integers(0, 2**63), st.lists(st.integers(0, 2**40), min_size=1, max_size=4), st.integers(1, 4))
def test_uniform_agrees_with_slow_integers(seed, index, draws):
    stream = seeding.derive(seed, "augment", 3)
    expected = [slow_uniform(stream, i, draws) for i in index]
    assert numbers("augment", 3, seed=seed, index=index, draws=draws).tolist() == expected


def test_several_keys_at_once_are_each_key_by_itself():
    keys = [("augment", "flip", 0, 3), ("augment", "shift", 1, 3), ("other",)]
    index = np.array([5, 0, 2**40])
    together = seeding.uniforms(9, keys, index=index, draws=4)
    assert together.shape == (3, 3, 4)
    for key, each in zip(keys, together, strict=True):
        assert torch.equal(each, seeding.uniform(9, *key, index=index, draws=4))
        assert torch.equal(each[:, :2], seeding.uniform(9, *key, index=index, draws=2)), "more draws change none"


def test_numbers_do_not_change_between_versions():
    """A run resumed by a later Striate draws what it drew before: these change only with a major version."""
    assert seeding.derive(0, "order", 0) == 4819849257279361181
    assert numbers("augment", 0, index=[0, 1]).tolist() == [[0.9475419718676001], [0.4252128638410104]]


key = st.tuples(st.integers(0, 2**32), st.text(max_size=5), st.integers(0, 100))


@quick
@given(key, key)
def test_keys_that_are_equal_give_equal_seeds_and_others_do_not(one, other):
    assert 0 <= seeding.derive(*one) < 2**63
    assert (seeding.derive(*one) == seeding.derive(*other)) == (one == other)
    same = torch.rand(3, generator=seeding.generator(*one)).equal(torch.rand(3, generator=seeding.generator(*other)))
    assert same == (one == other)


def test_keys_are_not_glued_together():
    keys = [(1, 23), (12, 3), (123,), (1, "23"), (1, 2, 3), (0, 123), ("", 123), (0, "a", "b"), (0, "ab"), (0, "a,b")]
    assert len({seeding.derive(0, *each) for each in keys}) == len(keys)


@quick
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=9), st.data())
def test_a_samples_numbers_do_not_depend_on_its_batch(index, data):
    whole = numbers("a", index=index, draws=3)
    cut = data.draw(st.integers(0, len(index)))
    parts = [numbers("a", index=part, draws=3) for part in (index[:cut], index[cut:])]
    assert np.array_equal(np.concatenate(parts), whole)
    order = data.draw(st.permutations(range(len(index))))
    assert np.array_equal(numbers("a", index=np.array(index)[order], draws=3), whole[order])
    assert np.array_equal(numbers("a", index=index, draws=2), whole[:, :2]), "nor on how many others are drawn"


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_numbers_are_uniform_and_unrelated(seed):
    """All are deterministic, so these bounds (four standard errors, 1 in 1,000) hold always or never."""
    drawn = numbers("augment", 0, seed=seed, draws=3)
    assert drawn.dtype == np.float64
    assert drawn.shape == (N, 3)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    others = [numbers("augment", 1, seed=seed)[:, 0], numbers("augment", 0, seed=seed + 1)[:, 0]]
    for column in [*drawn.T, drawn.ravel(), *others]:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3
    first = drawn[:, 0]
    pairs = [
        (first[:-1], first[1:]),
        (first[:-2], first[2:]),
        (first[: N // 2], first[N // 2 :]),
        (first, np.arange(N)),
    ]
    pairs += [(first, drawn[:, 1]), (drawn[:-1, 2], drawn[1:, 0]), *((first, other) for other in others)]
    for one, other in pairs:
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(one))


def test_low_bits_are_random_too():
    parity = np.floor(numbers("bits")[:, 0] * 2**53) % 2
    assert abs(parity.mean() - 0.5) < 4 * 0.5 / np.sqrt(N)


def test_no_sample_is_nothing_drawn():
    assert numbers("a", index=np.array([], dtype=np.int64), draws=2).shape == (0, 2)


def test_scoped_gives_the_default_generator_back():
    before = torch.get_rng_state()
    with seeding.scoped(0, "weights"):
        one = torch.rand(3)
    with seeding.scoped(0, "weights"):
        assert torch.equal(torch.rand(3), one)
    with seeding.scoped(0, "weights", 1):
        assert not torch.equal(torch.rand(3), one)
    with pytest.raises(RuntimeError, match="negative"), seeding.scoped(0, "weights"):
        torch.rand(3).add(torch.rand(-1))
    assert torch.equal(torch.get_rng_state(), before)


def test_scoped_on_the_cpu_leaves_gpus_alone(monkeypatch):
    """`torch.manual_seed` seeds every GPU, and nothing would give their generators back."""
    touched = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", touched.append)
    with seeding.scoped(0, "weights"):
        pass
    assert touched == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scoped_seeds_a_gpu_and_gives_its_generator_back():
    before = torch.cuda.get_rng_state()
    with seeding.scoped(0, "step", device="cuda"):
        one = torch.rand(3, device="cuda")
    with seeding.scoped(0, "step", device="cuda:0"):
        assert torch.equal(torch.rand(3, device="cuda"), one)
    with seeding.scoped(0, "weights"):
        torch.rand(3)
    assert torch.equal(torch.cuda.get_rng_state(), before)
