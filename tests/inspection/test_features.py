"""What is captured is what the layer made, whatever is done to it afterwards."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate.errors import ArgumentError, ShapeError
from striate.inspection import Excitation, features, top_images
from striate.inspection.features import last_feature_maps, last_weighted
from striate.inspection.structure.trace import trace


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


class InPlace(nn.Module):
    """Everything that overwrites what a hook has seen: activations, sums and scalings in place, a reused ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu, self.same = nn.ReLU(inplace=True), nn.Identity()
        self.dense = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        x = self.relu(self.conv1(x))
        y = self.conv2(x)
        handed_on = self.same(y)  # the same tensor
        x.mul_(2)
        y += x
        y = self.relu(handed_on)
        return self.dense(y.mean((2, 3))).mul_(3)

    def by_hand(self, x: Tensor) -> dict[str, Tensor]:
        """The same with nothing overwritten."""
        made = {"conv1": self.conv1(x - 0.5)}
        shortcut = made["conv1"].relu()
        made["conv2"] = made["same"] = self.conv2(shortcut)
        made["relu"] = (made["conv2"] + 2 * shortcut).relu()  # called twice: the last counts
        made["dense"] = self.dense(made["relu"].mean((2, 3)))
        return made


@pytest.mark.parametrize("layer", ["conv1", "conv2", "same", "relu", "dense"])
def test_activations_in_place_don_t_change_what_was_captured(layer: str) -> None:
    model, x = InPlace(), images(5, 1, 6, 6)
    expected = model.by_hand(x)[layer]
    assert torch.allclose(features(model, x, layer, batch_size=2), expected, atol=1e-6)
    assert torch.equal(x, images(5, 1, 6, 6))


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern", "fashion_cnn", "resnet18", "googlenet"])
def test_every_layer_of_our_models_gives_what_the_next_one_takes(name: str) -> None:
    model = striate.create(name, image_size=28, seed=0).eval()
    x = images(2, 1, 28, 28)
    taken: dict[str, Tensor] = {}
    modules = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for path, module in modules:
        module.register_forward_hook(lambda module, args, output, path=path: taken.update({path: output.clone()}))
    with torch.no_grad():
        model(x)
    for path in (modules[0][0], modules[len(modules) // 2][0], list(taken)[-1]):
        if path in taken:  # auxiliary heads are not called
            assert torch.equal(features(model, x, path), taken[path])


def test_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    features(model, images(2, 1, 5, 5), "1")
    with pytest.raises(ShapeError):
        features(model, images(2, 3, 5, 5), "1")
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_top_images_are_those_with_the_largest_value_anywhere_on_the_map() -> None:
    class Maps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, -x], dim=1)

    x = torch.zeros(70, 1, 3, 4)
    x[4, 0, 2, 1], x[69, 0, 0, 3], x[7, 0, 1, 1] = 2.0, 3.0, -5.0
    model = nn.Sequential(Maps(), nn.Flatten(), nn.Linear(24, 1))
    assert top_images(model, x, "0", unit=0, k=2) == [Excitation(69, 3.0, (0, 3)), Excitation(4, 2.0, (2, 1))]
    assert top_images(model, x, "0", unit=1, k=1) == [Excitation(7, 5.0, (1, 1))]
    assert top_images(model, x, "1", unit=9, k=1) == [Excitation(4, 2.0, None)]
    with pytest.raises(ArgumentError, match="unit=2: the layer has 2 units, counted from 0"):
        top_images(model, x, "0", unit=2)


@pytest.mark.slow
def test_where_maps_and_weights_end() -> None:
    inception = striate.create("googlenet", image_size=64, seed=0)
    assert last_feature_maps(inception, (1, 64, 64)) == "inception5b"  # the block, not one of its branches
    assert last_feature_maps(striate.create("fashion_cnn"), (1, 28, 28)) == "relu7"
    assert last_weighted(striate.create("lenet5"), (1, 28, 28)) == "output"
    assert last_weighted(striate.create("resnet18", image_size=32), (1, 32, 32)) == "fc"


def test_errors_name_what_there_is() -> None:
    model = striate.create("fashion_cnn")
    with pytest.raises(ArgumentError, match=r"FashionCNN has no layer 'conv9'\. It has conv\d.*, .*output"):
        features(model, images(1, 1, 28, 28), "conv9")
    with pytest.raises(ArgumentError, match=r"^[^\n]{1,900} and \d+ more\.$"):
        features(striate.create("resnet18", image_size=32), images(1, 1, 32, 32), "layer9")
    with pytest.raises(ShapeError, match=r"FashionCNN can't take an image of 3×28×28 .*It is made for 1×28×28\.$"):
        features(model, images(1, 3, 28, 28), "conv1")
    with pytest.raises(ShapeError, match=r"FashionCNN can't take an image of 1×20×20 .*It is made for 1×28×28\.$"):
        features(model, images(1, 1, 20, 20), "conv1")
    with pytest.raises(ShapeError, match=r"images of shape \(28, 28\) .*\(N, channels, height, width\)"):
        features(model, images(28, 28), "conv1")
    with pytest.raises(ArgumentError, match=r"MLP has no feature maps .*, but flatten, hidden1, "):
        last_feature_maps(striate.create("mlp"), (1, 28, 28))
    with pytest.raises(ArgumentError, match=r"layer 'aux1' of GoogLeNet returned no tensor"):
        features(striate.create("googlenet", image_size=32), images(1, 1, 32, 32), "aux1")


def test_functions_need_no_module() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(F.relu(self.conv(x), inplace=True), 2).flatten(1)

    model, x = Functional(), images(1, 1, 6, 6)
    assert torch.equal(features(model, x, "conv"), model.conv(x))
    assert float(features(model, x, "conv").min()) < 0


# The deepest networks are more of the same blocks.
DEEPEST = {
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "senet154",
    *(f"efficientnet_lite{n}" for n in (1, 2, 3, 4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*striate.models.names()} - DEEPEST))
def test_no_layer_of_our_models_overwrites_or_is_called_twice(name: str) -> None:
    with torch.device("meta"):  # no weights are needed to see who is called
        model = striate.create(name, channels=3, image_size=striate.models.facts(name).image_size or 80)
    architecture = model.architecture
    calls = trace(model, (architecture.channels, *architecture.image_size))
    names = [call.name for call in calls]
    assert len(names) == len(set(names)) > 3
    assert not any(getattr(call.module, "inplace", False) for call in calls)
    assert all(call.field is not None for call in calls)
