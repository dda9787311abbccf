"""Features: the input of the last layer, of networks of all kinds."""

import pytest
import torch
from torch import nn

from striate import models
from striate.inference import features_of, logits_of
from striate.inference.features import backbone
from striate.models import head
from striate.preprocess import Preprocess


@pytest.mark.parametrize("name", ["fashion_cnn", "resnet20", "quicknet_s", "mlp", "mobilenet_v3_large"])
def test_the_head_makes_logits_of_them(name: str):
    made = models.create(name, 3, 1, 28, seed=1).train()
    nn.init.normal_(head(made).weight)  # some begin with zeros
    images = torch.randint(0, 256, (5, 28, 28, 1), dtype=torch.uint8)
    preprocess = Preprocess.resizing((28, 28), 1)
    features = features_of(made, images, preprocess)
    assert features.shape == (5, head(made).in_features)
    with torch.no_grad():
        logits = head(made)(features)
    expected = logits_of(made, images, preprocess)  # quicknet's are the last layer's, times a constant
    factor = (expected * logits).sum() / (logits * logits).sum()
    assert name.startswith("quicknet") or factor == pytest.approx(1, abs=1e-4)
    assert torch.allclose(logits * factor, expected, atol=1e-4)
    assert made.training, "modes are as they were"


def test_the_network_stays_as_it_was():
    made = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    before = {name: value.clone() for name, value in made.state_dict().items()}
    without = backbone(made)
    assert without(torch.zeros(1, 4)).shape == (1, 3)
    assert made(torch.zeros(1, 4)).shape == (1, 2)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    without[1].weight.data.zero_()
    assert not torch.equal(made[1].weight, without[1].weight), "it is a copy"
