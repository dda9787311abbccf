"""LeNet-5's layers against the paper's numbers and against NumPy loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import lenet as reference
from reference.pooling import mean, pool2d
from strategies import images, quick, seeds

from striate.errors import ArgumentError, ShapeError
from striate.layers import (
    LENET5_C3_TABLE,
    PartialConv2d,
    RBFOutput,
    ScaledTanh,
    Subsampling2d,
    digit_prototypes,
    fan_in_uniform_,
)

# Table I as the paper prints it: a row for each map of S2, a column for each map of C3.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""

# Fig. 3, each digit's 84 cells as bits, row by row from the top left.
FIGURE_3 = (
    0x7C00E36C78F1E36C70000,
    0x1871E0C183060C18FC000,
    0x7C01F638618E30C1FC000,
    0xFE0C30C3C0C183C6F8000,
    0x7C0003367CF1E3CEFC183,
    0x7C03FE0C0F0F03C6F8000,
    0x3CC3060FDCF1E3E6F8000,
    0xFE0C1861830C183060000,
    0x7D8F1E37D8F1E3C6F8000,
    0x7D9F1E3CEFC1830CF0000,
)


def test_c3_table_is_the_papers():
    rows = TABLE_I.split()
    assert tuple(tuple(i for i in range(6) if rows[i][o] == "X") for o in range(16)) == LENET5_C3_TABLE
    assert sum(map(len, LENET5_C3_TABLE)) == 60
    assert [sum(i in inputs for inputs in LENET5_C3_TABLE) for i in range(6)] == [10] * 6


def test_c3_has_the_papers_parameters():
    c3 = PartialConv2d(LENET5_C3_TABLE, 6, 5)
    assert sum(p.numel() for p in c3.parameters()) == 1516
    assert c3.weight.shape == (60, 5, 5)
    assert c3(torch.zeros(1, 6, 14, 14)).shape == (1, 16, 10, 10)


tables = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.lists(st.integers(0, n - 1), min_size=1, unique=True), min_size=1, max_size=4)
    )
)


@quick
@given(st.data(), tables, st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_partial_convolution_agrees_with_the_definition(data, table, kernel):
    channels, connections = table
    layer = PartialConv2d(connections, channels, kernel).double()
    layer.bias.data.uniform_(-1, 1)
    x = data.draw(images(2, channels, 4, 3))
    expected = reference.partial_conv2d(
        x.numpy(), connections, layer.weight.detach().numpy(), layer.bias.detach().numpy()
    )
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-10)


def test_a_full_table_is_a_convolution():
    layer, plain = PartialConv2d([range(3)] * 2, 3, 2), torch.nn.Conv2d(3, 2, 2)
    plain.load_state_dict({"weight": layer.weight.detach().view(2, 3, 2, 2), "bias": layer.bias.detach() + 1})
    layer.bias.data += 1
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), plain(x))


def test_dense_weight_is_zero_where_nothing_is_connected():
    dense = PartialConv2d(LENET5_C3_TABLE, 6, 5).dense_weight()
    connected = torch.tensor([[i in inputs for i in range(6)] for inputs in LENET5_C3_TABLE])
    assert (dense[~connected] == 0).all()
    assert (dense[connected] != 0).all()


def test_each_map_starts_within_its_own_bound():
    layer = PartialConv2d([(0,), (0, 1, 2, 3)], 4, 5)
    layer.reset_parameters(torch.Generator().manual_seed(0))
    few, many = layer.weight[:1].abs().max(), layer.weight[1:].abs().max()
    assert 0.9 * 2.4 / 25 < few <= 2.4 / 25
    assert 0.9 * 2.4 / 100 < many <= 2.4 / 100
    assert (layer.bias == 0).all()
    first = layer.weight.detach().clone()
    layer.reset_parameters(torch.Generator().manual_seed(0))
    assert torch.equal(layer.weight, first)


def test_fan_in_uniform_counts_all_axes_but_the_first():
    weight = fan_in_uniform_(torch.empty(40, 6, 5, 5), generator=torch.Generator().manual_seed(0))
    assert 0.99 * 2.4 / 150 < weight.abs().max() <= 2.4 / 150
    assert abs(weight.mean()) < 0.001
    linear = torch.nn.Linear(120, 84)
    assert fan_in_uniform_(linear.weight) is linear.weight
    assert linear.weight.abs().max() <= 0.02


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ([], "connections is empty"),
        ([(0,), ()], r"connections\[1\] is empty"),
        ([(0, 1, 0)], r"connections\[0\] = \(0, 1, 0\) names an input channel twice"),
        ([(0, 3)], r"connections\[0\] = \(0, 3\) must name input channels 0 to 2"),
        ([(-1,)], "must name input channels 0 to 2"),
        ([(0.5,)], "must name input channels 0 to 2"),
    ],
)
def test_bad_tables_are_refused(table, match):
    with pytest.raises(ArgumentError, match=match):
        PartialConv2d(table, 3, 2)


def test_images_that_do_not_fit_are_refused():
    layer = PartialConv2d([(0,)], 2, 3)
    with pytest.raises(ShapeError, match="PartialConv2d takes 2 channels, received 3"):
        layer(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ShapeError, match="a window of 3 cells does not fit an axis of 2"):
        layer(torch.zeros(1, 2, 2, 4))
    with pytest.raises(ShapeError, match="Subsampling2d takes 2 channels, received 1"):
        Subsampling2d(2)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ShapeError, match="a window of 2 cells does not fit an axis of 1"):
        Subsampling2d(2)(torch.zeros(1, 2, 4, 1))


def test_scaled_tanh_has_the_papers_fixed_points():
    f = ScaledTanh()
    ends = torch.tensor([1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(f(ends), ends, rtol=0, atol=1e-5)
    assert f(torch.tensor(100.0)).item() == pytest.approx(1.7159)
    x = torch.linspace(0.5, 1.5, 1001, dtype=torch.float64)
    bend = f(x).diff(n=2).abs()
    assert x[bend.argmax() + 1].item() == pytest.approx(1, abs=0.02)


@quick
@given(st.data(), st.integers(2, 7), st.integers(3, 7))
def test_subsampling_agrees_with_the_definition(data, height, width):
    layer = Subsampling2d(2, (2, 3)).double()
    layer.weight.data, layer.bias.data = torch.tensor([0.5, -3.0]).double(), torch.tensor([1.0, -2.0]).double()
    x = data.draw(images(2, 2, height, width))
    average = pool2d(x.numpy(), mean, (2, 3), (2, 3), "valid")
    expected = average * np.array([0.5, -3])[:, None, None] + np.array([1, -2])[:, None, None]
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_subsampling_starts_as_averaging_with_two_parameters_a_map():
    layer = Subsampling2d(6)
    assert sum(p.numel() for p in layer.parameters()) == 12
    x = torch.rand(1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x), torch.nn.functional.avg_pool2d(x, 2))


def test_prototypes_are_the_papers():
    codes = digit_prototypes()
    assert codes.shape == (10, 84)
    assert codes.abs().eq(1).all()
    distances = (codes[:, None] - codes).square().sum(-1)
    pairs = {(i, j): int(distances[i, j]) for i in range(10) for j in range(i)}
    assert min(pairs.values()) == pairs[8, 6] == 48
    assert {pair for pair, distance in pairs.items() if distance == max(pairs.values()) == 200} == {
        (4, 1),
        (8, 1),
        (7, 4),
    }
    assert ["".join("01"[int(cell > 0)] for cell in code) for code in codes] == [f"{code:084b}" for code in FIGURE_3]
    assert codes[9].view(12, 7)[3, 4] == -1  # the cell in which transcriptions differ


@quick
@given(seeds)
def test_rbf_agrees_with_the_definition(seed):
    x = np.random.default_rng(seed).normal(size=(3, 84))
    prototypes = digit_prototypes().double()
    distances = RBFOutput(prototypes)(torch.from_numpy(x))
    np.testing.assert_allclose(distances.numpy(), reference.rbf(x, prototypes.numpy()), rtol=1e-12)


def test_rbf_keeps_small_distances_in_float32():
    x = digit_prototypes() + 1e-3
    torch.testing.assert_close(RBFOutput(digit_prototypes())(x).diag(), torch.full((10,), 84e-6), rtol=1e-3, atol=0)
    assert (RBFOutput(digit_prototypes())(digit_prototypes()).diag() == 0).all()


def test_rbf_stays_float32_under_autocast():
    rbf = RBFOutput(digit_prototypes())
    with torch.autocast("cpu", torch.bfloat16):
        distances = rbf(torch.full((1, 84), 0.25).bfloat16())
    assert distances.dtype == torch.float32
    torch.testing.assert_close(distances, rbf(torch.full((1, 84), 0.25)))


def test_rbf_prototypes_are_saved_and_not_trained():
    rbf = RBFOutput(digit_prototypes())
    assert list(rbf.parameters()) == []
    assert torch.equal(rbf.state_dict()["prototypes"], digit_prototypes())


def test_rbf_refusals():
    with pytest.raises(ShapeError, match=r"prototypes must be \(classes, features\), received a shape of \(3,\)"):
        RBFOutput(torch.zeros(3))
    with pytest.raises(ArgumentError, match=r"prototypes must be floating, received torch\.int64"):
        RBFOutput(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ShapeError, match=r"RBFOutput takes \(\.\.\., 3\), received a tensor of shape \(2, 1\)"):
        RBFOutput(torch.zeros(2, 3))(torch.zeros(2, 1))
