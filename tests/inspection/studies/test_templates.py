"""Likeness of templates: it finds changes that are known, and little where there is nothing to find."""

import pytest
import torch
from torch import Tensor

from striate.inspection.studies.changes import CHANGES
from striate.inspection.studies.templates import likeness


def smooth(count: int, seed: int) -> Tensor:
    """Smooth noise, float32 (count, 1, 28, 28): 7×7 numbers each, enlarged."""
    coarse = torch.randn(count, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (28, 28), mode="bicubic")


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        ("rotation", (0.0, 35.0, -60.0, 110.0)),
        ("shift", (0, 0.1, -0.2, 0.25)),
        ("scale", (1, 2**0.25, 2**0.5, 2**0.75)),
    ],
)
def test_known_changes_are_found(name: str, strengths: tuple[float, ...]):
    change = CHANGES[name]
    groups = [change.apply(smooth(1, seed).expand(4, 1, 28, 28), torch.tensor(strengths)) for seed in range(3)]
    found = likeness(torch.stack(groups)[:, :, 0], change, torch.ones(3, 4, dtype=torch.bool))
    assert found.alike.shape == found.by.shape == (3, 4, 4)
    assert found.alike.diagonal(dim1=1, dim2=2).allclose(torch.ones(3, 4))
    assert found.by[:, 0].allclose(torch.tensor(strengths).expand(3, 4), atol=1e-6)
    assert found.alike[:, 0].min() > 0.97
    assert found.within > found.across + 0.3
    assert found.within > found.unchanged + 0.2


def test_strangers_are_no_more_alike_within_a_group():
    found = likeness(smooth(32, 5).reshape(4, 8, 28, 28), CHANGES["rotation"], torch.ones(4, 8, dtype=torch.bool))
    assert found.within == pytest.approx(found.across, abs=0.05)
    assert found.within < 0.5
    assert abs(found.unchanged) < 0.1


def test_unused_templates_do_not_count():
    templates, change = smooth(6, 2).reshape(2, 3, 28, 28), CHANGES["rotation"]
    templates[0, 1] = change.apply(templates[0, :1, None], torch.tensor([40.0]))[0, 0]
    used = torch.tensor([[True, True, False], [True, False, False]])
    found = likeness(templates, change, used)
    assert found.within == pytest.approx(float((found.alike[0, 0, 1] + found.alike[0, 1, 0]) / 2))
    assert found.within > 0.97
    assert found.across < 0.6
