"""The chapter's network: its table, and the same function with ReLU before each pooling, as the chapter writes it."""

import pytest
import torch
import torch.nn.functional as F

from striate import models
from striate.errors import ShapeError

# Layer, maps and size after it, parameters: 64·(49+1), 128·(9·64+1), …
TABLE = [
    ("conv1", (64, 28, 28), 3_200),
    ("pool2", (64, 14, 14), 0),
    ("conv3", (128, 14, 14), 73_856),
    ("conv4", (128, 14, 14), 147_584),
    ("pool5", (128, 7, 7), 0),
    ("conv6", (256, 7, 7), 295_168),
    ("conv7", (256, 7, 7), 590_080),
    ("pool8", (256, 3, 3), 0),
    ("dense9", (128,), 295_040),
    ("dense10", (64,), 8_256),
    ("output", (10,), 650),
]
LEARNED = [name for name, _, parameters in TABLE if parameters]


def images(count, height=28, width=28):
    return torch.randn(count, 1, height, width, generator=torch.Generator().manual_seed(0))


def test_each_layer_is_the_tables():
    model, shapes = models.create("fashion_cnn", seed=0), {}
    for name, _, _ in TABLE:
        hook = lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})  # noqa: E731
        getattr(model, name).register_forward_hook(hook)
    model(images(1))
    counts = {name: sum(p.numel() for p in getattr(model, name).parameters()) for name, _, _ in TABLE}
    assert [(name, shapes[name], counts[name]) for name, _, _ in TABLE] == TABLE
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters()) == 1_413_834


def test_pooling_before_relu_is_pooling_after_it():
    model = models.create("fashion_cnn", seed=0).eval()
    for name in LEARNED:  # biases of both signs, or the order would hardly matter; the last layer starts at 0
        getattr(model, name).bias.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    model.output.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    w = model.state_dict()

    def conv(x, name, padding):
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding).relu()

    x = F.max_pool2d(conv(images(2, 17, 30), "conv1", 3), 2)
    x = F.max_pool2d(conv(conv(x, "conv3", 1), "conv4", 1), 2)
    x = F.max_pool2d(conv(conv(x, "conv6", 1), "conv7", 1), 2)
    other = models.create("fashion_cnn", image_size=(17, 30), seed=1).eval()
    other.load_state_dict({k: v for k, v in w.items() if not k.startswith("dense9")}, strict=False)
    w = other.state_dict()
    x = F.linear(x.flatten(1), w["dense9.weight"], w["dense9.bias"]).relu()
    x = F.linear(x, w["dense10.weight"], w["dense10.bias"]).relu()
    torch.testing.assert_close(other(images(2, 17, 30)), F.linear(x, w["output.weight"], w["output.bias"]))


def test_half_of_the_dense_units_are_dropped_in_training_only():
    model, seen = models.create("fashion_cnn", seed=0), {}
    for name in ("dropout9", "dropout10"):
        hook = lambda module, inputs, output, name=name: seen.update({name: (inputs[0], output)})  # noqa: E731
        getattr(model, name).register_forward_hook(hook)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(images(64))
        for before, after in seen.values():
            alive = before > 0
            assert 0.4 < (after[alive] == 0).float().mean() < 0.6
            torch.testing.assert_close(after[after != 0], 2 * before[after != 0])
    model.eval()(images(2))
    assert all(torch.equal(*pair) for pair in seen.values())


def test_weights_start_as_he_draws_them_and_the_first_guess_is_even():
    model = models.create("fashion_cnn", seed=0)
    assert (model(images(2)) == 0).all()
    w = model.state_dict()
    for name in ("conv4", "conv7", "dense9"):
        weight = w[f"{name}.weight"]
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.02)
        assert (w[f"{name}.bias"] == 0).all()


@pytest.mark.parametrize("size", [7, (8, 7), (1, 28)])
def test_three_poolings_need_eight_pixels(size):
    with pytest.raises(ShapeError, match=r"at least 8×8 pixels, got .*: pass a larger --image-size"):
        models.create("fashion_cnn", image_size=size)
    assert models.create("fashion_cnn", image_size=8, seed=0)(images(2, 8, 8)).shape == (2, 10)


def test_names_of_weights_are_stable():
    """Files of weights are read by these names."""
    names = [f"{layer}.{kind}" for layer in LEARNED for kind in ("weight", "bias")]
    assert list(models.create("fashion_cnn").state_dict()) == names
