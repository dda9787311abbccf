"""Differences and what they are worth: against SciPy, published tables, brute force, and by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from striate.comparison.significance import holm, mean_interval, paired, sign_flip
from striate.errors import ArgumentError

results = st.integers(1, 4).flatmap(lambda seeds: arrays.arrays(bool, (seeds, 12)))


def from_table(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """One training each, from the four cells of McNemar's table."""
    cells = (both, only_first, only_second, neither)
    return np.repeat([[True, True, False, False]], cells, axis=1), np.repeat(
        [[True, False, True, False]], cells, axis=1
    )


# ---------------------------------------------------------------- one training each


@pytest.mark.parametrize("cells", [(101, 59, 121, 33), (10, 3, 0, 2), (9000, 40, 21, 939), (5, 1, 9, 5), (0, 6, 6, 0)])
def test_one_seed_is_mcnemars_exact_test(cells: tuple[int, int, int, int]):
    expected = stats.binomtest(cells[1], cells[1] + cells[2]).pvalue
    found = paired(*from_table(*cells))
    assert found.p == pytest.approx(expected, rel=1e-9)
    assert not found.seeds
    assert found.mean == pytest.approx((cells[1] - cells[2]) / sum(cells))


def test_the_interval_of_one_seed_is_that_of_agresti_and_min():
    # Their formula, with half an image added to each cell, on Agresti's table of the prime minister's approval.
    found = paired(*from_table(794, 150, 86, 570))
    n, b, c = 1602, 150.5, 86.5
    half = 1.96 * np.sqrt((b + c) - (b - c) ** 2 / n) / n
    assert found.interval == pytest.approx((64 / 1600 - half, 64 / 1600 + half), abs=2e-5)


def test_models_that_agree_everywhere_are_not_told_apart():
    same = np.ones((3, 50), dtype=bool)
    found = paired(same, same)
    assert (found.mean, found.p) == (0, 1)
    assert found.interval[0] < 0 < found.interval[1]


def test_five_images_never_prove_anything():
    assert paired(np.ones((3, 5), dtype=bool), np.zeros((3, 5), dtype=bool)).p == pytest.approx(2 / 2**5)


# ---------------------------------------------------------------- the sign-flip test


@pytest.mark.slow
@given(arrays.arrays(np.int64, st.integers(1, 9), elements=st.integers(-6, 6)))
def test_sign_flip_is_the_count_over_all_signs(differences: np.ndarray):
    sums = [abs(int((differences * signs).sum())) for signs in itertools.product((1, -1), repeat=len(differences))]
    expected = np.mean([total >= abs(int(differences.sum())) for total in sums])
    assert sign_flip(differences) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_agrees_with_scipys_permutation_test():
    differences = np.random.default_rng(0).integers(-3, 5, 12)
    pair = (differences, np.zeros_like(differences))
    expected = stats.permutation_test(pair, lambda a, b: (a - b).sum(), permutation_type="samples").pvalue
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-9)


def test_of_many_images_the_sum_is_nearly_normal():
    differences = np.random.default_rng(0).choice([-15, -6, -2, 0, 5, 10], 10_000, p=[0.02, 0.03, 0.1, 0.7, 0.1, 0.05])
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert sign_flip(differences) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.01)


# ---------------------------------------------------------------- laws


@pytest.mark.slow
@given(results, results)
def test_turned_round_it_is_the_same_with_the_other_sign(first: np.ndarray, second: np.ndarray):
    one, other = paired(first, second), paired(second, first)
    assert other.mean == pytest.approx(-one.mean)
    assert other.p == pytest.approx(one.p)
    assert other.interval == pytest.approx((-one.interval[1], -one.interval[0]))


@pytest.mark.slow
@given(results, results, st.randoms(use_true_random=False))
def test_the_order_of_images_and_seeds_does_not_matter(first: np.ndarray, second: np.ndarray, random):
    images = list(range(12))
    random.shuffle(images)
    shuffled = paired(first[::-1][:, images], second[:, images])
    assert shuffled.p == pytest.approx(paired(first, second).p)
    assert shuffled.interval == pytest.approx(paired(first, second).interval)


@given(results, results)
def test_p_and_interval_are_what_they_claim_to_be(first: np.ndarray, second: np.ndarray):
    found = paired(first, second)
    assert 0 < found.p <= 1
    assert -1 <= found.interval[0] <= found.mean <= found.interval[1] <= 1
    assert found.seeds == (len(first) > 1 and len(second) > 1)


def test_what_differs_more_from_seed_to_seed_is_less_sure():
    random = np.random.default_rng(0)
    luck = random.random(2000)
    steady = [np.array([luck < level for level in levels]) for levels in ((0.90, 0.90, 0.90), (0.87, 0.87, 0.87))]
    shaky = [np.array([luck < level for level in levels]) for levels in ((0.85, 0.90, 0.95), (0.82, 0.87, 0.92))]
    assert paired(*steady).p < 1e-6
    assert paired(*shaky).p > 0.2


def test_shapes_that_cant_be_compared_are_refused():
    for first, second in [((2, 5), (2, 6)), ((0, 5), (2, 5)), ((2, 0), (2, 0)), ((5,), (5,))]:
        with pytest.raises(ArgumentError, match="the same images"):
            paired(np.ones(first, dtype=bool), np.ones(second, dtype=bool))


# ---------------------------------------------------------------- the interval over seeds


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9).filter(lambda values: np.std(values) > 1e-6))
def test_the_mean_interval_is_students(values: list[float]):
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected, abs=1e-9)


def test_equal_accuracies_do_not_make_the_mean_certain():
    low, high = mean_interval([0.9, 0.9, 0.9], step=0.01)
    assert (low + high) / 2 == pytest.approx(0.9)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 2) * 0.01 / np.sqrt(12 * 3))


def test_one_value_has_no_interval():
    with pytest.raises(ArgumentError, match="1 values"):
        mean_interval([0.5])
    with pytest.raises(ArgumentError, match="confidence"):
        mean_interval([0.5, 0.6], confidence=1)


# ---------------------------------------------------------------- Holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # what R's p.adjust gives
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_makes_surer(p_values: list[float]):
    corrected = holm(p_values)
    assert all(low <= high <= 1 for low, high in zip(p_values, corrected, strict=True))
    ranked = [corrected[position] for position in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert ranked == sorted(ranked)
    if p_values:
        assert min(corrected) == min(1.0, len(p_values) * min(p_values))


# ---------------------------------------------------------------- by simulation


def share_found(seeds: int, shift: float, shake: float, repeats: int = 300, images: int = 600) -> float:
    """How often two models are told apart: images of very different difficulty, seeds that shift a whole model."""
    random = np.random.default_rng(0)

    def trainings(hardness: np.ndarray, better: float) -> np.ndarray:
        own = hardness + random.normal(0, 1, images)  # what this model finds easy or hard, whatever the seed
        levels = own + better + random.normal(0, shake, (seeds, 1))
        return random.random((seeds, images)) < 1 / (1 + np.exp(-levels))

    found = 0
    for _ in range(repeats):
        hardness = random.normal(2.5, 2, images)
        found += paired(trainings(hardness, shift), trainings(hardness, 0)).p <= 0.05
    return found / repeats


@pytest.mark.parametrize(("seeds", "shake"), [(1, 0), (2, 0), (2, 0.3), (3, 0), (3, 0.3), (5, 0.1)])
def test_equal_models_are_called_different_in_at_most_five_of_a_hundred(seeds: int, shake: float):
    assert share_found(seeds, 0, shake) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_one_seed_is_fooled_by_the_luck_of_the_seed():
    """What a single training can't know, and why the page says so."""
    assert share_found(1, 0, 0.5) > 0.2


@pytest.mark.parametrize(("seeds", "least"), [(1, 0.9), (3, 0.95)])
def test_a_clear_difference_is_found(seeds: int, least: float):
    assert share_found(seeds, 0.8, 0.05) >= least
