"""Receptive fields against measured ones: the pixels at which a unit's gradient is not zero."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from reference.footprint import footprint, outputs, positive
from strategies import quick
from torch import Tensor, nn

import striate
from striate import layers
from striate.errors import ArgumentError, ShapeError
from striate.inspection import EffectiveField, Field, effective_field, receptive_fields

Cell = tuple[int, int, int, int]


def fields(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, Field]:
    """All of them, known."""
    found = receptive_fields(model, shape)
    assert None not in found.values()
    return {name: field for name, field in found.items() if field is not None}


def clipped(cell: Cell, field: Field) -> Cell:
    height, width = field.image
    return max(cell[0], 0), max(cell[1], 0), min(cell[2], height), min(cell[3], width)


# ---------------------------------------------------------------- the architectures

# On tall images the middle unit's field lies inside, so that nothing of its height is cut off. Sizes are known ones.
PUBLISHED = [
    ("alexnet", (419, 67), {"pool2": 19, "pool4": 67, "pool8": 195}),
    ("vgg16", (448, 32), {"features.4": 6, "features.16": 44, "features.30": 212}),
    ("googlenet", (1120, 32), {"pool2": 27, "inception3b": 91, "inception5b": 715}),
    ("resnet50", (864, 32), {"maxpool": 11, "layer1": 35, "layer2": 91, "layer3": 267, "layer4": 427}),
    ("resnet18", (896, 32), {"layer1": 43, "layer4": 435}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "published"), PUBLISHED, ids=[each[0] for each in PUBLISHED])
def test_architectures_see_what_their_gradients_show(
    name: str, size: tuple[int, int], published: dict[str, int]
) -> None:
    with torch.device("meta"):
        model = striate.create(name, 10, 3, size, stem="imagenet")
    for path, module in list(model.named_modules()):  # so large, and nothing is asked of them
        if isinstance(module, nn.Linear):
            model.set_submodule(path, nn.Identity())
    image, made = outputs(positive(model), (3, *size), list(published))
    found = fields(model, (3, *size))
    for layer, height in published.items():
        field = found[layer]
        middle = len(field.rows) // 2
        measured = footprint(image, made[layer], middle, 0)
        assert measured is not None
        top, _, bottom, _ = measured
        assert field.size == (height, height)
        assert (top, bottom) == field.rows[middle] == (top, top + height)
        assert field.rows[0][0] + middle * field.stride[0] == top


# ---------------------------------------------------------------- any network


class Sum(nn.Module):
    """x + branch(x), in the way that is asked for."""

    def __init__(self, branch: nn.Module, in_place: bool = False):
        super().__init__()
        self.branch = branch
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        if self.in_place:
            y += x
            return F.relu_(y)
        return F.relu(x + y)


class Stack(nn.Module):
    """The maps of branches, one behind the other, and then a convolution that keeps their halves apart."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def conv(kernel: int = 3, stride: int = 1, padding: int | str = 0, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(2, 2, kernel, stride, padding, dilation)


@st.composite
def parts(draw: st.DrawFn) -> nn.Module:
    """A layer or a block on 2 maps."""
    kernel, stride, padding = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    odd = 2 * draw(st.integers(0, 2)) + 1
    return draw(
        st.sampled_from(
            [
                lambda: conv(kernel, stride, padding),
                lambda: conv(kernel, 1, "same", dilation=stride),
                lambda: nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(inplace=True)),
                lambda: nn.MaxPool2d(kernel, stride, min(padding, kernel // 2), ceil_mode=True),
                lambda: layers.MaxPool2d(kernel, stride, "same"),
                lambda: layers.AvgPool2d((kernel, odd), stride, "same"),
                lambda: layers.Subsampling2d(2, 2),
                lambda: nn.ZeroPad2d((padding, 1, 0, kernel)),
                lambda: Sum(conv(odd, 1, "same"), in_place=stride > 1),
                lambda: Sum(nn.Sequential(conv(odd, 1, odd // 2), conv(3, 1, 1))),
                lambda: nn.Sequential(Stack(conv(1), conv(odd, 1, odd // 2)), nn.Conv2d(4, 2, kernel, groups=2)),
            ]
        )
    )()


@pytest.mark.slow
@quick
@given(st.lists(parts(), min_size=1, max_size=4))
def test_any_network_sees_what_its_gradients_show(blocks: list[nn.Module]) -> None:
    model, shape = positive(nn.Sequential(*blocks)), (2, 33, 30)
    last = str(len(blocks) - 1)
    try:
        field = fields(model, shape)[last]
    except ShapeError:
        assume(False)
    image, made = outputs(model, shape, [last])
    assert (len(field.rows), len(field.columns)) == made[last].shape[2:]
    assert field.stride[0] == field.stride[1]
    for row, column in {(0, 0), (len(field.rows) // 2, len(field.columns) // 2), (-1, -1)}:
        cell = field.of(row, column)
        inside = clipped(cell, field)
        measured = footprint(image, made[last], row % len(field.rows), column % len(field.columns))
        if inside == cell:  # no window on the way lies over padding
            assert measured == cell
        elif measured is not None:
            top, left, bottom, right = measured
            assert inside[0] <= top < bottom <= inside[2]
            assert inside[1] <= left < right <= inside[3]


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def framed(x: Tensor) -> Tensor:
    """Zeros around, written by hand."""
    y = x.new_zeros(1, 2, 14, 12)
    y[:, :, 1:13, 1:11] = x
    return y


def two_scales(x: Tensor) -> Tensor:
    """Two maps that see one pixel, and two that see nine."""
    return torch.cat([x[:, :, 1:-1, 1:-1], F.avg_pool2d(x, 3, 1)], dim=1)


def on_channels_last(x: Tensor) -> Tensor:
    """A dense layer on every pixel's maps, as ConvNeXt has it."""
    return (x.permute(0, 2, 3, 1) @ torch.ones(2, 3)).permute(0, 3, 1, 2)


# No padding lies in their windows, so that what the gradient shows is exactly the field, for every unit.
UNPADDED = {
    "dilated": conv(3, 2, 0, dilation=2),
    "transposed": nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1),
    "transposed with holes": nn.Sequential(nn.ConvTranspose2d(2, 2, 1, stride=2), conv(2)),
    "upsampled": nn.Sequential(nn.Upsample(scale_factor=2), conv(3)),
    "unevenly adapted": nn.Sequential(nn.AdaptiveAvgPool2d((5, 4)), conv(2)),
    "shuffled pixels": nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(8, 4, 2), nn.PixelShuffle(2)),
    "groups of branches": nn.Sequential(Stack(conv(1), nn.ZeroPad2d(0)), nn.Conv2d(4, 4, 3, groups=2)),
    "groups kept apart": nn.Sequential(Call(two_scales), nn.Conv2d(4, 6, 1, groups=2), Call(lambda x: x[:, :3])),
    "sliced": nn.Sequential(Call(lambda x: x[:, :, 1::3, :-1]), conv(2)),
    "rolled": Call(lambda x: torch.roll(x, (2, 1), (2, 3)) + x),
    "channels last": nn.Sequential(conv(3), Call(on_channels_last)),
    "stacked by hand": Call(lambda x: torch.stack([x[..., :6], x[..., 4:]], 0).mean(0)),
    "written by hand": nn.Sequential(Call(framed), Call(lambda x: x[:, :, 1:-1, 1:-1]), conv(3)),
    "einsum": Call(lambda x: torch.einsum("nchw,co->nohw", x, torch.ones(2, 5))),
}


@pytest.mark.parametrize("model", UNPADDED.values(), ids=list(UNPADDED))
def test_whatever_it_is_written_with(model: nn.Module) -> None:
    model = positive(nn.Sequential(model))
    field = fields(model, (2, 12, 10))["0"]
    image, made = outputs(model, (2, 12, 10), ["0"])
    assert (len(field.rows), len(field.columns)) == made["0"].shape[2:]
    measured = {
        (row, column): footprint(image, made["0"], row, column)
        for row in range(len(field.rows))
        for column in range(len(field.columns))
    }
    assert measured == {unit: field.of(*unit) for unit in measured}
    sizes = [(bottom - top, right - left) for top, left, bottom, right in measured.values()]
    assert field.size == (max(height for height, _ in sizes), max(width for _, width in sizes))


def test_a_grid_that_is_not_even_has_no_stride() -> None:
    found = fields(nn.Sequential(nn.AdaptiveAvgPool2d((5, 6))), (1, 12, 12))["0"]
    assert found.rows == ((0, 3), (2, 5), (4, 8), (7, 10), (9, 12))
    assert found.stride == (None, 2)
    assert found.text == "4×2"


def test_one_unit_has_a_stride_too() -> None:
    shrinks = nn.Sequential(nn.Conv2d(1, 1, 2, 2), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, padding=1))
    found = fields(shrinks, (1, 4, 4))
    assert (found["1"].stride, found["1"].text) == ((4, 4), "4×4")
    assert (found["2"].size, found["2"].start, found["2"].centre) == ((12, 12), (-4, -4), (1.5, 1.5))
    sliced = nn.Sequential(Call(lambda x: x[:, :, ::2, ::2]), nn.Conv2d(1, 1, 3, padding=1))
    assert fields(sliced, (1, 2, 2))["1"].size == (5, 5)


def turned(x: Tensor) -> Tensor:
    """Channels last and back, by another way each time; in between each pixel's channels are normalised."""
    y = F.layer_norm(x.movedim(1, -1), x.shape[1:2])
    return F.linear(y, torch.ones(2, 2)).transpose(-1, -2).transpose(1, 2)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 1), (9, 8)])
def test_norms_and_dense_layers_on_pixels_leave_the_grid_as_it_is(size: tuple[int, int]) -> None:
    """The padding of the layers behind them continues the image, also where there is one cell only."""
    first, last = nn.Conv2d(2, 2, 3, stride=(3, 2), padding=1), nn.Conv2d(2, 2, 5, padding=2)
    with_norms = (nn.Sequential(first, Call(turned), last), nn.Sequential(first, layers.LayerNorm2d(2), last))
    expected = fields(nn.Sequential(first, last), (2, *size))["1"]
    for model in with_norms:
        assert fields(model, (2, *size))["2"] == expected
        assert fields(model, (2, *size))["1"].stride == (3, 2)


def test_on_channels_last_rows_and_columns_are_the_middle_axes() -> None:
    turning = nn.Sequential(nn.Conv2d(2, 3, 3, stride=(3, 2), padding=1), Call(lambda x: x.permute(0, 2, 3, 1)))
    found = fields(turning, (2, 2, 2))
    assert (found["1"].stride, found["1"].start) == (found["0"].stride, found["0"].start) == ((3, 2), (-1, -1))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = conv(3, 1, 1), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]


def test_what_ranges_over_all_of_the_image_sees_all() -> None:
    attention = nn.TransformerEncoderLayer(2, 1, 4, batch_first=True)
    tokens = nn.Sequential(nn.Flatten(2), Call(lambda x: x.transpose(1, 2)), attention)
    for last in (nn.AdaptiveMaxPool2d(1), layers.GlobalAvgPool2d(keepdim=True), SqueezeExcite(), tokens):
        found = fields(nn.Sequential(conv(3, 1, 1), last), (2, 6, 6))
        assert (found["0"].text, found["1"].text) == ("3×3", "all")
    for norm in (nn.GroupNorm(1, 2), nn.InstanceNorm2d(2), nn.LayerNorm([2, 6, 6])):
        assert fields(nn.Sequential(norm), (2, 6, 6))["0"].text == "all"
    for norm in (nn.BatchNorm2d(2), nn.LocalResponseNorm(3), nn.Softmax(dim=1), nn.LayerNorm(6)):
        assert fields(nn.Sequential(norm), (2, 6, 6))["0"].text == ("1×6" if isinstance(norm, nn.LayerNorm) else "1×1")


def test_units_without_a_place_keep_what_each_of_them_sees() -> None:
    found = fields(nn.Sequential(nn.Conv2d(1, 1, 2, 2), nn.Flatten(), nn.Linear(9, 2)), (1, 7, 7))
    assert (found["1"].text, found["1"].stride, found["1"].rows) == ("2×2", (None, None), ((0, 2), (2, 4), (4, 6)))
    assert (found["2"].text, found["2"].whole) == ("6×6", False)  # the last row and column are never looked at


def test_torchvision_s_way_of_writing_a_resnet() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(2, 2, 3, 2, 1, bias=False), nn.BatchNorm2d(2)
            self.relu = nn.ReLU(inplace=True)
            self.conv2, self.bn2 = nn.Conv2d(2, 2, 3, 1, 1, bias=False), nn.BatchNorm2d(2)
            self.downsample = nn.Sequential(nn.Conv2d(2, 2, 1, 2), nn.BatchNorm2d(2))

        def forward(self, x: Tensor) -> Tensor:
            out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            out += self.downsample(x)
            return self.relu(out)

    found = fields(nn.Sequential(Block(), Block()), (2, 64, 64))
    assert list(found)[:2] == ["0.conv1", "0.bn1"]
    assert list(found)[-2:] == ["1.relu", "1"]  # each behind its last call
    assert (found["0.downsample.0"].size, found["0"].size, found["1"].size) == ((1, 1), (7, 7), (19, 19))
    assert (found["0"].start, found["0"].stride, found["0"].centre) == ((-3, -3), (2, 2), (0, 0))


def test_compiled_parts_are_followed_too() -> None:
    compiled = torch.compile(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), backend="eager")
    found = fields(nn.Sequential(compiled, nn.MaxPool2d(2)), (1, 8, 8))
    assert (found["0"].text, found["1"].text) == ("3×3", "4×4")


def test_padding_on_one_side_only_depends_on_the_image_s_size() -> None:
    even, odd = (fields(layers.MaxPool2d(3, 2, "same"), (1, side, side))[""] for side in (8, 9))
    assert (even.start, even.centre, odd.start, odd.centre) == ((0, 0), (1, 1), (-1, -1), (0, 0))


def test_what_is_not_known_is_said() -> None:
    model = nn.Sequential(conv(3), Call(lambda x: x.cumsum(2)), conv(3))
    found = receptive_fields(model, (2, 9, 9))
    assert [name for name, field in found.items() if field is None] == ["1", "2"]
    text = striate.describe(model, (2, 9, 9)).text()
    assert text.splitlines()[-1] == "field ?: behind an operation whose receptive field is unknown."


UNUSUAL = {
    "recurrent": nn.Sequential(nn.Flatten(2), nn.GRU(64, 3)),
    "complex": Call(lambda x: torch.fft.rfft2(x).abs()),
    "real and imaginary": Call(lambda x: torch.view_as_real(torch.fft.fft2(x)).sum(-1)),
    "fractional": nn.FractionalMaxPool2d(2, output_size=3),
    "unfolded": nn.Sequential(nn.Unfold(2), nn.Fold((8, 8), 2)),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "indices": nn.MaxPool2d(2, return_indices=True),
    "unpooled": Call(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
    "sorted": Call(lambda x: x.sort(dim=1).values.topk(1, dim=1).values),
    "scattered": Call(lambda x: x.clone().index_put_((torch.tensor([0]),), x[0])),
    "indexed": Call(lambda x: x[:, :, torch.tensor([3, 1])][..., torch.arange(8) % 2 == 0]),
    "strided": Call(lambda x: torch.as_strided(x, (1, 2, 4, 4), (128, 64, 16, 2))),
    "one axis": nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 3, 3, padding=1), nn.MaxPool1d(2), nn.AdaptiveAvgPool1d(4)),
    "three axes": nn.Sequential(nn.Unflatten(1, (1, 2)), nn.Conv3d(1, 2, (1, 3, 3)), nn.MaxPool3d(2, padding=1)),
    "no batch": Call(lambda x: nn.Conv2d(2, 3, 3)(x[0])),
    "masked": Call(lambda x: x.masked_fill(x > 0, 1.0).where(x < 1, x.new_zeros(()))),
    "in parts": Call(lambda x: torch.cat([part.relu_() for part in x.clone().chunk(2, dim=2)], dim=2)),
    "squeezed": Call(lambda x: (x[:1, :1].squeeze() @ x[0, 0]).unsqueeze(0)),
    "circular": nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
    "reflected": nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
    "normalised": nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), Call(lambda x: F.normalize(x, dim=1))),
    "numbers": Call(lambda x: x * float(x.sum()) + x.shape[0]),
}


UNKNOWN = {"recurrent", "complex", "real and imaginary", "fractional", "unfolded", "bilinear", "unpooled", "sorted"}
UNKNOWN |= {"scattered", "strided"}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_operations_are_followed_or_said_not_to_be_known(name: str) -> None:
    found = receptive_fields(nn.Sequential(conv(1), UNUSUAL[name]), (2, 8, 8))
    assert (found["1"] is None) == (name in UNKNOWN)


def test_borders_of_other_kinds() -> None:
    circular = fields(UNUSUAL["circular"], (2, 8, 8))[""]
    assert (circular.rows[0], circular.rows[3], circular.rows[7]) == ((0, 8), (2, 5), (0, 8))  # around and back
    assert circular.stride == (None, None)
    reflected = fields(UNUSUAL["reflected"], (2, 8, 8))[""]
    assert (reflected.start, reflected.size, reflected.stride) == ((-1, -1), (3, 3), (1, 1))


def test_a_constant_sees_nothing() -> None:
    found = fields(nn.Sequential(Call(lambda x: torch.ones_like(x)), conv(3)), (2, 5, 5))
    assert (found["0"].text, found["1"].size) == ("0×0", (0, 0))


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"Conv2d has no known input shape: pass input_shape"):
        receptive_fields(conv(3))
    with pytest.raises(ShapeError, match=r"Conv2d can't take an image of 3×9×9 .*Pass the size"):
        receptive_fields(conv(3), (3, 9, 9))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_of_a_linear_layer_it_is_the_size_of_its_weights() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, bias=False))
    found = effective_field(model, noise(3, 1, 9, 9), "0", unit=(1, 2))
    expected = torch.zeros(9, 9)
    expected[2:5, 4:7] = model[0].weight[0, 0].abs().detach()
    assert torch.allclose(found.influence.float(), expected / expected.sum())
    assert (found.unit, found.layer) == ((1, 2), "0")


@pytest.mark.slow
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
    with pytest.raises(ArgumentError, match=r"layer 'output' of FashionCNN has no feature maps.*for example 'relu7'"):
        effective_field(model, x, "output")
    with pytest.raises(ArgumentError, match=r"unit=\(3, 0\): the feature maps of layer 'pool8' are 3×3"):
        effective_field(model, x, "pool8", unit=(3, 0))
