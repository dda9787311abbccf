"""What fine-tuning needs to know of any network: its head, its depth, and which statistics must stay."""

import pytest
import torch
from models.published import sketch
from torch import nn

from striate import layers, models
from striate.errors import ArgumentError
from striate.training.optimizers import optimizer_of
from striate.training.settings import Recipe


class Auxiliary(nn.Module):
    """Two layers, an auxiliary classifier registered last, and a normalisation without parameters."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.plain = nn.BatchNorm2d(4, affine=False)
        self.fc = nn.Linear(4, 3)
        self.aux1 = nn.Linear(4, 3)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(("resnet20", "fc"), ("fashion_cnn", "output"), ("mlp", "output"), ("lenet5", "f6"), ("senet154", "fc")),
        *(("lenet5_modern", "output"), ("efficientnet_lite0", "classifier"), ("efficientnet_b0", "classifier.1")),
        *(("mobilenet_v2", "classifier.1"), ("mobilenet_v3_large", "classifier.3"), ("convnext_tiny", "classifier.2")),
    ],
)
def test_the_head_is_what_turns_features_into_classes(name, path):
    model = sketch(name, 28, 10, 1)
    assert models.head(model) is model.get_submodule(path)


def test_auxiliary_classifiers_are_no_head():
    model = Auxiliary()
    assert models.head(model) is model.fc
    assert models.depths(model) == {
        "conv.weight": 0, "conv.bias": 0, "fc.weight": 1, "fc.bias": 1, "aux1.weight": 1, "aux1.bias": 1
    }  # fmt: skip


def test_freezing_leaves_the_head_alone_trainable():
    model = models.create("resnet20", classes=10)
    models.freeze_backbone(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    model = models.create("resnet20")
    model.fc.requires_grad_(False)
    models.freeze_backbone(model)
    assert model.fc.weight.requires_grad


def test_frozen_normalisations_keep_their_statistics_in_evaluation_mode():
    model = models.create("resnet20", seed=0)
    assert models.frozen_norms(model) == []
    models.freeze_backbone(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert models.frozen_norms(model) == norms
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    for module in models.frozen_norms(model):
        module.eval()
    loss = model(torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))).square().sum()
    loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    model.bn1.weight.requires_grad_(True)
    assert models.frozen_norms(model) == norms[1:]


def test_a_normalisation_without_parameters_is_never_frozen():
    model = Auxiliary()
    models.freeze_backbone(model)
    assert models.frozen_norms(model) == []


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet18", "fashion_cnn", "lenet5", "mlp", "efficientnet_lite0", "mobilenet_v3_large"]
)
def test_depth_rises_from_0_to_1_in_equal_steps(name):
    model = sketch(name, 28, 10, 1)
    depths = models.depths(model)
    assert list(depths) == [key for key, _ in model.named_parameters()]
    values = list(depths.values())
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0, 1)
    steps = sorted(set(values))
    weights = [key for key, p in model.named_parameters() if p.ndim > 1]
    assert steps == pytest.approx([i / (len(steps) - 1) for i in range(len(steps))])
    assert len(steps) == len(weights)


def test_scales_and_biases_lie_where_their_layer_does():
    depths = models.depths(models.create("resnet18"))
    assert depths["layer2.0.conv1.weight"] == depths["layer2.0.bn1.weight"] == depths["layer2.0.bn1.bias"]
    assert depths["layer2.0.conv1.weight"] < depths["layer2.0.conv2.weight"] < depths["layer3.0.conv1.weight"]
    assert depths["conv1.weight"] == depths["bn1.bias"] == 0


def test_a_network_of_one_layer_is_all_head():
    assert models.depths(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) == {"1.weight": 1.0, "1.bias": 1.0}
    assert set(models.depths(nn.Linear(4, 2)).values()) == {1.0}


def test_layer_scale_is_no_weight_and_no_layer():
    model = nn.Sequential(layers.ScaledResidual(nn.Conv2d(3, 3, 1), 3), nn.Flatten(), nn.Linear(3, 2))
    assert [models.is_weight(p) for p in model.parameters()] == [False, True, False, True, False]
    assert sorted(set(models.depths(model).values())) == [0, 1]
    group = [g for g in optimizer_of(Recipe(optimizer="muon"), model).param_groups if g["orthogonal"]]
    assert [p.shape for p in group[0]["params"]] == [(3, 3, 1, 1)]


def test_without_weights_there_is_no_head():
    for ask in (models.head, models.depths, models.freeze_backbone):
        with pytest.raises(ArgumentError, match="ReLU has no layer with weights"):
            ask(nn.ReLU())
