"""TrivialAugment: each image gets one transform of the list, as that transform by itself would do it."""

import numpy as np
import pytest
import torch

from striate.augmentation import TRANSFORMS, parse
from striate.augmentation.transforms import EVEN, RISING

NAMES = [*EVEN, *RISING]


def textured(count, side=24):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def parts(strength, count=11_000):
    uniform = torch.from_numpy(np.random.default_rng(1).random((count, TRANSFORMS["trivial"].draws)))
    return uniform, TRANSFORMS["trivial"].draw(uniform, strength)


def test_every_transform_and_none_are_equally_likely():
    _, drawn = parts(1)
    assert [transform for _, transform, _ in drawn] == [TRANSFORMS[name] for name in NAMES]
    rows = torch.cat([rows for rows, _, _ in drawn])
    assert len(rows.unique()) == len(rows), "one transform an image"
    counts = [len(rows) for rows, _, _ in drawn] + [11_000 - len(rows)]
    assert 880 < min(counts) <= max(counts) < 1120


def test_no_label_is_made_wrong_by_a_mirror():
    assert "flip" not in NAMES


@pytest.mark.parametrize("strength", [1, 0.5])
def test_parameters_fill_each_transforms_range(strength):
    drawn = dict(zip(NAMES, (parameters for _, _, parameters in parts(strength)[1]), strict=True))
    assert drawn["shift"].abs().max() == pytest.approx(0.2 * strength, rel=0.02)
    assert torch.atan2(drawn["rotate"][:, 0, 1], drawn["rotate"][:, 0, 0]).abs().rad2deg().max() == pytest.approx(
        30 * strength, rel=0.02
    )
    assert (drawn["contrast"] - 1).abs().max() == pytest.approx(0.9 * strength, rel=0.02)
    for name, column, widest in (("erase", 2, 0.5), ("noise", 1, 0.1)):
        levels = np.sort(drawn[name][:, column].numpy()) / (widest * strength)
        np.testing.assert_allclose(np.quantile(levels, [0, 0.25, 0.5, 0.75, 1]), [0, 0.25, 0.5, 0.75, 1], atol=0.06)


def test_each_image_is_what_its_transform_alone_would_make():
    images = textured(200)
    _, drawn = parts(1, 200)
    varied = TRANSFORMS["trivial"].apply(images, drawn)
    untouched = torch.ones(200, dtype=torch.bool)
    for rows, transform, parameters in drawn:
        untouched[rows] = False
        for place, row in enumerate(rows.tolist()):
            alone = transform.apply(images[row : row + 1], parameters[place : place + 1])
            assert torch.equal(varied[row], alone[0])
    assert untouched.any()
    assert torch.equal(varied[untouched], images[untouched])


def test_it_is_one_step_of_a_policy():
    images, index = textured(30), np.arange(30)
    varied = parse("flip=1,trivial")(images, seed=0, epoch=0, index=index)
    assert not torch.equal(varied, images.flip(2))
    unchanged = parse("flip=1,trivial=0")(images, seed=0, epoch=0, index=index)
    assert torch.equal(unchanged, images.flip(2))
