"""Attributions against their definitions: sums over pixels, known maps, and what random weights do to them."""

from collections.abc import Callable

import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small_run import dataset
from strategies import quick, seeds
from torch import Tensor, nn

import striate
from striate import seeding
from striate.errors import ArgumentError, ShapeError
from striate.inspection import grad_cam, integrated_gradients, randomised, rank_correlation
from striate.preprocess import Preprocess
from striate.training import Recipe


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """A small network on 8×8 images; with `in_place` its activations overwrite what they take."""

    def __init__(self, in_place: bool = False):
        super().__init__()
        with seeding.scoped(0, "weights"):
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.dense = nn.Linear(6 * 16, 3)
        self.relu1, self.relu2 = nn.ReLU(inplace=in_place), nn.ReLU(inplace=in_place)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        return self.dense(self.pool(self.relu2(self.conv2(x))).flatten(1))


# ---------------------------------------------------------------- Grad-CAM


def test_grad_cam_is_its_formula() -> None:
    model, x = Net(), noise(4, 1, 8, 8)
    maps = model.relu2(model.conv2(model.relu1(model.conv1(x)))).detach().requires_grad_()
    logits = model.dense(model.pool(maps).flatten(1))
    for row in range(4):
        (gradient,) = torch.autograd.grad(logits[row, 2], maps, retain_graph=True)
        alpha = gradient[row].mean((1, 2))
        expected = F.relu(sum(alpha[k] * maps[row, k] for k in range(6)))
        found = grad_cam(model, x[row : row + 1], classes=2, layer="relu2")[0]
        assert torch.allclose(found, expected, atol=1e-6)


def test_grad_cam_explains_the_predicted_class_at_the_last_maps() -> None:
    model, x = Net(), noise(3, 1, 8, 8)
    predicted = model(x).argmax(1)
    assert torch.equal(grad_cam(model, x), grad_cam(model, x, predicted, "pool"))
    found = grad_cam(model, x)
    assert found.shape == (3, 8, 8)
    assert float(found.min()) >= 0
    assert not torch.equal(found, grad_cam(model, x, 1 - predicted.clamp(0, 1)))


def test_a_map_that_votes_for_a_class_is_where_the_class_is() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    model[0] = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 2, 1, bias=False))
    nn.init.constant_(model[0][1].weight, 1.0)
    model[3].weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, :4, 4:] = 1
    cam = grad_cam(model, x, classes=0)[0]
    assert int(cam.argmax()) // 8 < 4
    assert int(cam.argmax()) % 8 >= 4
    assert float(cam[4 + 1 :, :3].abs().max()) == 0
    assert float(grad_cam(model, x, classes=1).abs().max()) == 0  # it only votes against


def test_grad_cam_lies_where_the_units_look() -> None:
    """3×3 units whose fields have their centres at 6, 9 and 12 of 20 pixels: scaling up would not put them there."""
    model = nn.Sequential(nn.Conv2d(1, 1, 13, stride=3), nn.Flatten(), nn.Linear(9, 2))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    model[0].weight.data[0, 0, 6, 6] = 1  # each unit hands on the pixel in the middle of what it sees
    nn.init.ones_(model[2].weight)
    x = torch.arange(400.0).view(1, 1, 20, 20)
    found = grad_cam(model, x, 0, "0")[0]
    assert torch.allclose(found[6:13, 6:13], x[0, 0, 6:13, 6:13], rtol=1e-4)
    assert torch.allclose(found[:6, :6], x[0, 0, 6, 6].expand(6, 6), rtol=1e-4)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "conv2", "relu2", "pool"])
def test_activations_in_place_make_no_difference(layer: str) -> None:
    x = noise(2, 1, 8, 8)
    assert torch.equal(grad_cam(Net(in_place=True), x, 1, layer), grad_cam(Net(), x, 1, layer))
    assert torch.equal(integrated_gradients(Net(in_place=True), x, steps=3), integrated_gradients(Net(), x, steps=3))


def test_frozen_models_and_a_surrounding_no_grad_don_t_matter() -> None:
    model, x = Net().requires_grad_(False).train(), noise(2, 1, 8, 8)
    expected = grad_cam(Net(), x), integrated_gradients(Net(), x, steps=2)
    with torch.no_grad():
        assert torch.equal(grad_cam(model, x), expected[0])
        assert torch.equal(integrated_gradients(model, x, steps=2), expected[1])
    trainable = Net()
    grad_cam(trainable, x)
    integrated_gradients(trainable, x, steps=2)
    assert all(parameter.grad is None for parameter in trainable.parameters())
    assert model.training


# ---------------------------------------------------------------- integrated gradients


@pytest.mark.slow
def test_what_pixels_add_comes_to_the_difference_of_the_logits() -> None:
    model, x = Net(), noise(5, 1, 8, 8)
    start = torch.full((1, 1, 8, 8), -1.0)
    for classes in (None, 0, torch.tensor([0, 1, 2, 0, 1])):
        wanted = model(x).argmax(1) if classes is None else torch.as_tensor(classes).expand(5)
        difference = (model(x) - model(start)).gather(1, wanted[:, None])[:, 0].detach()
        added = integrated_gradients(model, x, classes, start, steps=256).sum((1, 2, 3))
        assert torch.allclose(added, difference, atol=0.01 * float(difference.abs().max()))


@quick
@given(seeds, st.integers(1, 4))
def test_of_a_linear_model_each_pixel_adds_its_weight_times_its_change(seed: int, steps: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x, start = noise(2, 1, 3, 4, seed=seed), noise(2, 1, 3, 4, seed=seed + 1)
    expected = (x - start) * model[1].weight[1].view(1, 1, 3, 4)
    assert torch.allclose(integrated_gradients(model, x, 1, start, steps), expected, atol=1e-5)


def test_a_pixel_that_is_as_in_the_baseline_adds_nothing() -> None:
    x = noise(1, 1, 8, 8)
    x[0, 0, :, 3] = 0
    found = integrated_gradients(Net(), x, steps=4)
    assert float(found[0, 0, :, 3].abs().max()) == 0
    assert float(found.abs().max()) > 0


def test_batches_make_no_difference() -> None:
    x = noise(5, 1, 8, 8)
    whole = integrated_gradients(Net(), x, steps=4)
    assert torch.allclose(integrated_gradients(Net(), x, steps=4, batch_size=2), whole, atol=1e-6)


# ---------------------------------------------------------------- the check of Adebayo et al.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """A network that has learned to tell three shapes apart."""
    recipe = Recipe(epochs=15, batch_size=16, augment="none", learning_rate=0.01)
    run = striate.train(Net(), dataset(), recipe, out=tmp_path_factory.mktemp("runs") / "shapes")
    assert run.result is not None
    assert run.result["accuracy"] > 0.9
    return run.model(Net())


@pytest.fixture(scope="module")
def shapes() -> Tensor:
    data = dataset()
    assert data.test is not None
    return Preprocess(8, 8, 1).with_statistics(data.train.images).normalize(data.test.images)


# Grad-CAM of so shallow a network keeps much of the image's own shape: 0.73 of these. That is what the check is for.
@pytest.mark.slow
@pytest.mark.parametrize(("attribute", "most"), [(grad_cam, 0.85), (integrated_gradients, 0.3)])
def test_attributions_change_when_weights_are_drawn_anew(
    attribute: Callable[..., Tensor], most: float, trained: nn.Module, shapes: Tensor
) -> None:
    learned = attribute(trained, shapes, 0)
    assert rank_correlation(learned, attribute(trained, shapes, 0)).nanmean() > 0.999
    drawn = [rank_correlation(learned, attribute(randomised(trained, seed), shapes, 0)) for seed in range(3)]
    assert torch.stack(drawn).nanmean() < most


def test_what_does_not_look_at_the_weights_fails_the_check(trained: nn.Module, shapes: Tensor) -> None:
    edges = shapes.diff(dim=3).abs()  # an edge detector looks like an attribution, whatever the model
    assert rank_correlation(edges, edges).min() > 0.999
    assert randomised(trained) is not trained


def test_randomised_weights_keep_their_size_and_the_model_stays() -> None:
    model = Net()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    copied = randomised(model, seed=1)
    for name, weight in copied.named_parameters():
        assert torch.equal(before[name], model.get_parameter(name))
        assert not torch.equal(before[name], weight)
    assert copied.dense.weight.std().item() == pytest.approx(model.dense.weight.std().item(), rel=0.2)
    again, other = randomised(model, seed=1), randomised(model, seed=2)
    assert torch.equal(again.conv1.weight, copied.conv1.weight)
    assert not torch.equal(other.conv1.weight, copied.conv1.weight)


@quick
@given(seeds)
def test_rank_correlation_is_spearman_s(seed: int) -> None:
    first, second = (noise(2, 3, 4, seed=seed + k).mul(2).round() for k in (0, 1))  # with ties
    found = rank_correlation(first, second)
    for row in range(2):
        expected = scipy.stats.spearmanr(first[row].flatten(), second[row].flatten()).statistic
        assert float(found[row]) == pytest.approx(expected, nan_ok=True)


# ---------------------------------------------------------------- errors


def test_errors_name_what_there_is() -> None:
    x = noise(1, 1, 28, 28)
    with pytest.raises(ArgumentError, match=r"MLP has no feature maps to lay over the image: no conv.*hidden1"):
        grad_cam(striate.create("mlp"), x)
    cnn = striate.create("fashion_cnn")
    with pytest.raises(ArgumentError, match=r"layer 'dense9' of FashionCNN has no feature maps.*for example 'relu7'"):
        grad_cam(cnn, x, layer="dense9")
    with pytest.raises(ArgumentError, match=r"FashionCNN has no layer 'relu0'"):
        grad_cam(cnn, x, layer="relu0")
    with pytest.raises(ArgumentError, match=r"classes=10: the model has 10, counted from 0"):
        grad_cam(cnn, x, classes=10)
    with pytest.raises(ShapeError, match=r"can't take an image of 1×9×28"):
        integrated_gradients(cnn, x[:, :, :9])
    with pytest.raises(ArgumentError, match="steps=0: at least 1"):
        integrated_gradients(cnn, x, steps=0)
    with pytest.raises(ArgumentError, match="Conv2d makes no logits"):
        integrated_gradients(nn.Conv2d(1, 1, 3), x)
    with pytest.raises(ShapeError, match="can't be compared"):
        rank_correlation(x, x[:, :, :9])
