"""The dense baseline: 300 and 100 units, in NumPy again."""

import numpy as np
import torch

from striate import models


def test_the_network_is_two_hidden_layers():
    model = models.create("mlp", classes=4, channels=3, image_size=(6, 5), seed=0)
    w = {name: value.numpy() for name, value in model.state_dict().items()}
    x = torch.randn(3, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    first = np.maximum(x.numpy().reshape(3, -1) @ w["hidden1.weight"].T + w["hidden1.bias"], 0)
    second = np.maximum(first @ w["hidden2.weight"].T + w["hidden2.bias"], 0)
    assert (first.shape, second.shape) == ((3, 300), (3, 100))
    expected = second @ w["output.weight"].T + w["output.bias"]
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_names_of_weights_are_stable():
    """Files of weights are read by these names."""
    names = [f"{layer}.{kind}" for layer in ("hidden1", "hidden2", "output") for kind in ("weight", "bias")]
    assert list(models.create("mlp").state_dict()) == names
