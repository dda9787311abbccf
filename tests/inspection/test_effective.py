"""What a unit really listens to, inside what it can see."""

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import ArgumentError
from striate.inspection import EffectiveField, effective_field, receptive_fields


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_of_a_linear_layer_it_is_the_size_of_its_weights() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, bias=False))
    found = effective_field(model, noise(3, 1, 9, 9), "0", unit=(1, 2))
    expected = torch.zeros(9, 9)
    expected[2:5, 4:7] = model[0].weight[0, 0].abs().detach()
    assert torch.allclose(found.influence.float(), expected / expected.sum())
    assert (found.unit, found.layer) == ((1, 2), "0")


@pytest.mark.parametrize("name", ["fashion_cnn", "lenet5"])
def test_it_lies_inside_the_receptive_field(name: str) -> None:
    model = striate.create(name, seed=0)
    fields = receptive_fields(model)
    for layer, field in fields.items():
        if field is None or field.stride[0] is None:
            continue
        found = effective_field(model, noise(4, 1, 28, 28), layer)
        top, left, bottom, right = field.of(*found.unit)
        inside = found.influence[max(top, 0) : bottom, max(left, 0) : right]
        assert float(inside.sum()) == pytest.approx(1)


def test_deep_stacks_listen_to_the_middle_of_what_they_see() -> None:
    """Luo et al. 2016, section 2.2: with equal weights n layers make a binomial, whose deviation grows with √n."""
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(12)])
    for layer in model:
        nn.init.constant_(layer.weight, 1 / 9)
    found = effective_field(model, noise(1, 1, 41, 41), "11")
    rows = found.influence.sum(1)
    places = torch.arange(41.0).double()
    deviation = float((rows * (places - 20) ** 2).sum().sqrt())
    assert deviation == pytest.approx((12 * 2 / 3) ** 0.5)
    assert receptive_fields(model, (1, 41, 41))["11"].size == (25, 25)  # type: ignore[union-attr]
    assert found.pixels(0.5) < 0.12 * 25**2


def test_pixels_that_hold_a_share() -> None:
    field = EffectiveField("a", (0, 0), torch.tensor([[0.1, 0.4], [0.5, 0.0]], dtype=torch.float64))
    assert [field.pixels(share) for share in (0.4, 0.5, 0.6, 0.9, 1.0)] == [1, 1, 2, 2, 3]
    assert EffectiveField("a", (0, 0), torch.zeros(2, 2)).pixels(0.5) == 0


def test_dead_units_are_not_divided_by_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(inplace=True))
    nn.init.constant_(model[0].weight, 0.0)
    nn.init.constant_(model[0].bias, -1.0)
    assert float(effective_field(model, noise(1, 1, 5, 5), "1").influence.sum()) == 0


def test_errors() -> None:
    model, x = striate.create("fashion_cnn"), noise(1, 1, 28, 28)
    with pytest.raises(ArgumentError, match=r"layer 'output' of FashionCNN has no maps.*for example 'relu7'"):
        effective_field(model, x, "output")
    with pytest.raises(ArgumentError, match=r"unit=\(3, 0\): the maps of layer 'pool8' are 3×3"):
        effective_field(model, x, "pool8", unit=(3, 0))
