"""Architecture tables against the published ones, to the unit."""

import pytest
import torch
from torch import Tensor, nn

import striate
from striate import layers
from striate.errors import ArgumentError, ShapeError
from striate.inspection import ArchitectureTable, LayerRow, describe

# layer, type, maps, size, kernel, stride, padding, activation, parameters, connections, multiply-adds
LENET5 = """
input   input         1    28×28  -    -  -      -            0       0        0
field   Padding       1    32×32  -    -  -      -            0       0        0
c1      conv          6    28×28  5×5  1  valid  scaled_tanh  156     122304   117600
s2      subsample     6    14×14  2×2  2  valid  scaled_tanh  12      5880     1176
c3      partial_conv  16   10×10  5×5  1  valid  scaled_tanh  1516    151600   150000
s4      subsample     16   5×5    2×2  2  valid  scaled_tanh  32      2000     400
c5      conv          120  1×1    5×5  1  valid  scaled_tanh  48120   48120    48000
flatten flatten       120  -      -    -  -      -            0       0        0
f6      dense         84   -      -    -  -      scaled_tanh  10164   10164    10080
output  RBF           10   -      -    -  -      -            0       840      840
"""

# The chapter's table. Multiply-adds: output cells × the inputs of one; parameters: a filter's inputs and its bias.
FASHION_CNN = f"""
input   input     1    28×28 -   - -     -                0               0                  0
conv1   conv      64   28×28 7×7 1 same  ReLU             {64 * 50}       {784 * 64 * 50}    {784 * 64 * 49}
pool2   max_pool  64   14×14 2×2 2 valid -                0               {196 * 64 * 4}     0
conv3   conv      128  14×14 3×3 1 same  ReLU             {128 * 577}     {196 * 128 * 577}  {196 * 128 * 576}
conv4   conv      128  14×14 3×3 1 same  ReLU             {128 * 1153}    {196 * 128 * 1153} {196 * 128 * 1152}
pool5   max_pool  128  7×7   2×2 2 valid -                0               {49 * 128 * 4}     0
conv6   conv      256  7×7   3×3 1 same  ReLU             {256 * 1153}    {49 * 256 * 1153}  {49 * 256 * 1152}
conv7   conv      256  7×7   3×3 1 same  ReLU             {256 * 2305}    {49 * 256 * 2305}  {49 * 256 * 2304}
pool8   max_pool  256  3×3   2×2 2 valid -                0               {9 * 256 * 4}      0
flatten flatten   2304 -     -   - -     -                0               0                  0
dense9  dense     128  -     -   - -     ReLU,_dropout_0.5 {128 * 2305}   {128 * 2305}       {128 * 2304}
dense10 dense     64   -     -   - -     ReLU,_dropout_0.5 {64 * 129}     {64 * 129}         {64 * 128}
output  dense     10   -     -   - -     -                {10 * 65}       {10 * 65}          {10 * 64}
"""


def cells(row: LayerRow) -> list[str]:
    """A row in the notation of the tables above."""
    across = ["-" if axes is None else "×".join(map(str, axes)) for axes in (row.size, row.kernel)]
    stride = str(row.stride[0]) if row.stride else "-"
    words = [row.layer, row.type, str(row.channels), *across, stride, row.padding or "-", row.activation or "-"]
    numbers = [row.parameters, row.connections, row.multiply_adds]
    return [word.replace(" ", "_") for word in words] + [str(number) for number in numbers]


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def row(described: ArchitectureTable, layer: str) -> LayerRow:
    return next(each for each in described.rows if each.layer == layer)


@pytest.mark.parametrize(("name", "published"), [("lenet5", LENET5), ("fashion_cnn", FASHION_CNN)])
def test_tables_are_the_published_ones(name: str, published: str) -> None:
    assert [cells(row) for row in describe(striate.create(name)).rows] == table(published)


def test_fields_stand_in_their_column() -> None:
    found = [each.field for each in describe(striate.create("fashion_cnn")).rows]
    assert found == ["", "7×7", "8×8", "12×12", "16×16", "18×18", "26×26", "34×34", "38×38", "38×38", *["all"] * 3]
    assert [each.field for each in describe(Odd(), (1, 2, 3)).rows][-2:] == ["", ""]  # nothing calls them


def test_lenet5_totals_are_the_paper_s() -> None:
    described = describe(striate.create("lenet5", image_size=32))
    assert (described.name, described.input_shape) == ("lenet5", (1, 32, 32))
    assert (described.parameters, described.connections, described.frozen) == (60_000, 340_908, 0)
    assert [each.layer for each in described.rows][:2] == ["input", "c1"]  # nothing to fill: the field has no row


@pytest.mark.parametrize(
    ("name", "parameters"), [("fashion_cnn", 1_413_834), ("mlp", 266_610), ("lenet5_modern", 61_706)]
)
def test_totals(name: str, parameters: int) -> None:
    described = describe(striate.create(name))
    assert described.parameters == parameters
    assert described.multiply_adds == sum(each.multiply_adds or 0 for each in described.rows)
    assert described.unknown == ()


class Residual(nn.Module):
    """Two branches, their sum, and a ReLU; with `in_place`, as torchvision writes it."""

    def __init__(self, in_place: bool):
        super().__init__()
        self.in_place = in_place
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=in_place)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.relu(self.conv(x)))
        if self.in_place:
            y += x
        else:
            y = y + x
        return self.relu(y)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_relu_behind_a_sum_has_its_own_row(in_place: bool) -> None:
    described = describe(Residual(in_place), (2, 6, 5))
    assert [(each.layer, each.type, each.activation) for each in described.rows[1:]] == [
        ("conv", "conv", "ReLU"),
        ("norm", "batch norm", ""),
        ("relu", "ReLU", ""),
    ]
    assert [each.connections for each in described.rows[1:]] == [60 * 18, 60 * 2, 0]
    assert described.parameters == 2 * 2 * 9 + 4


def activations(*modules: nn.Module) -> list[str]:
    return [f"{each.type}: {each.activation}" for each in describe(nn.Sequential(*modules), (4, 8, 8)).rows]


def test_where_activations_stand() -> None:
    conv, pool = nn.Conv2d(4, 4, 3), nn.MaxPool2d(2)
    commuting = activations(conv, pool, nn.Flatten(), nn.Tanh())
    assert commuting == ["input: ", "conv: tanh", "max pool: ", "flatten: "]
    assert activations(conv, pool, nn.GELU()) == ["input: ", "conv: ", "max pool: GELU"]
    assert activations(conv, nn.AvgPool2d(2), nn.ReLU()) == ["input: ", "conv: ", "avg pool: ReLU"]
    assert activations(conv, nn.ReLU(), pool, nn.Sigmoid()) == ["input: ", "conv: ReLU", "max pool: sigmoid"]
    assert activations(nn.MaxPool2d(2), nn.ReLU()) == ["input: ", "max pool: ReLU"]
    dropped = activations(nn.Dropout(0.2), conv, nn.Identity(), nn.ReLU(inplace=True), nn.Dropout2d(0.25))
    assert dropped == ["input: dropout 0.2", "conv: ReLU, channel dropout 0.25"]
    assert activations(conv, nn.PReLU()) == ["input: ", "conv: ", "PReLU: "]  # it has a parameter: it is a layer


def test_stochastic_depth_stands_with_dropout() -> None:
    found = activations(nn.Conv2d(4, 4, 3), layers.StochasticDepth(0.2 / 17), nn.ReLU())
    assert found == ["input: ", "conv: stochastic depth 0.0118, ReLU"]


def test_channels_are_counted_where_they_are() -> None:
    """Norms and dense layers on pixels, as we and as others write them; also where a side is as long."""

    class Turned(nn.LayerNorm):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    first = nn.Conv2d(4, 6, 1)
    for layer in (layers.LayerNorm2d(6), Turned(6), nn.BatchNorm2d(6), layers.PixelLinear(6, 6)):
        sides = (6, 5) if isinstance(layer, Turned) else (5, 6)
        row = describe(nn.Sequential(first, layer), (4, *sides)).rows[-1]
        assert (row.channels, row.size) == (6, sides)
        assert row.parameters == (42 if isinstance(layer, layers.PixelLinear) else 12)
        assert row.multiply_adds == (30 * 36 if isinstance(layer, layers.PixelLinear) else 0)
    row = describe(nn.Sequential(first, nn.Flatten(2), nn.LayerNorm(20)), (4, 4, 5)).rows[-1]
    assert (row.channels, row.size) == (20, (6,))


def test_layer_scale_has_a_row_and_no_unknown_cost() -> None:
    described = describe(nn.Sequential(layers.ScaledResidual(nn.Conv2d(4, 4, 1), 4)), (4, 3, 3))
    assert [(row.layer, row.type, row.parameters) for row in described.rows[1:]] == [
        ("0.block", "conv", 20), ("0.add", "add", 0), ("0", "layer scale", 4)
    ]  # fmt: skip
    assert described.unknown == ()


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.tanh, self.gate = nn.Conv2d(1, 2, 1), nn.Tanh(), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.tanh(x) * self.gate(x)


def test_two_activations_of_one_output_don_t_look_like_a_chain() -> None:
    described = describe(Gated(), (1, 2, 2))
    assert [(each.type, each.activation) for each in described.rows[1:]] == [("conv", "tanh"), ("sigmoid", "")]


class Odd(nn.Module):
    """A shared layer, a tied one, parameters of its own, an idle and a frozen layer, a tuple, and a stranger."""

    class _Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(5))

        def forward(self, x: Tensor) -> tuple[dict[str, Tensor], int]:
            return {"scaled": x * self.factor}, 7

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(5))
        self.shared = nn.Linear(5, 5)
        self.alias = self.shared
        self.tied = nn.Linear(5, 5)
        self.tied.weight = self.shared.weight
        self.idle = nn.Linear(5, 2)
        self.frozen = nn.Linear(5, 3).requires_grad_(False)
        self.scale = self._Scale()

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.alias(x.flatten(1)[:, :5] + self.offset))
        return self.frozen(self.scale(self.tied(x))[0]["scaled"])


def test_every_parameter_is_counted_once_wherever_it_lives() -> None:
    model = Odd()
    described = describe(model, (1, 2, 3))
    found = [(each.layer, each.type, each.channels, each.parameters, each.frozen) for each in described.rows[1:]]
    assert found == [
        ("shared", "dense", 5, 30, 0),
        ("shared", "dense", 5, 0, 0),
        ("tied", "dense", 5, 5, 0),
        ("scale", "Scale", 5, 5, 0),
        ("frozen", "dense", 3, 0, 18),
        ("(model)", "own parameters", None, 5, 0),
        ("idle", "dense, not called", None, 12, 0),
    ]
    assert described.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert described.unknown == ("scale", "(model)")
    assert described.connections == 30 * 3 + 18


def test_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).double().train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    describe(model, (1, 4, 4))
    with pytest.raises(ShapeError):
        describe(model, (3, 4, 4))
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.slow
def test_a_layer_alone_and_a_wrapped_layer_are_described() -> None:
    assert cells(describe(nn.Conv2d(1, 2, 3), (1, 5, 5)).rows[1])[:4] == ["(model)", "conv", "2", "3×3"]
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3))
    described = describe(nn.Sequential(normed), (1, 5, 5))
    assert [(each.type, each.parameters) for each in described.rows[1:]] == [("conv", 2 + 18 + 2)]
    compiled = torch.compile(striate.create("mlp"), backend="eager")
    assert describe(compiled) == describe(striate.create("mlp"))


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"Sequential .* pass input_shape=\(channels, height, width\)"):
        describe(nn.Sequential(nn.ReLU()))
    with pytest.raises(ShapeError, match=r"input_shape=\(1, 28\): expected \(channels, height, width\)"):
        describe(nn.ReLU(), (1, 28))  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError, match=r"FashionCNN can't take an image of 3×28×28 .*to have 1 channels.*It is made for 1×28×28"
    ):
        describe(striate.create("fashion_cnn"), (3, 28, 28))
    with pytest.raises(ArgumentError, match="lazy layers"):
        describe(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), (1, 2, 2))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused_because_its_layers_can_t_be_seen() -> None:
    traced = torch.jit.trace(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.zeros(1, 1, 5, 5))
    with pytest.raises(ArgumentError, match="TorchScript hides its layers"):
        describe(traced, (1, 5, 5))
