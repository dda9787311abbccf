"""A predictor says what the model says, in whatever batches, with a program and where it gets none."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.augmentation import views
from striate.data import Split
from striate.errors import ArgumentError
from striate.models import Outputs, create
from striate.preprocess import Preprocess
from striate.training import Predictor, logits_of, score, score_of
from striate.training.inference import MOST_PROGRAMS, PATIENCE

PREPROCESS = Preprocess(4, 5, 1, mean=(0.5,), std=(0.25,))
DIGITS = Preprocess(28, 28, 1, mean=(0.1,), std=(0.8,))


class Watched(nn.Module):
    """A dropout and a linear layer, and a note of the batches they see."""

    def __init__(self):
        super().__init__()
        self.dropout, self.linear, self.seen = nn.Dropout(0.5), nn.Linear(20, 3), []
        weights = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
        self.linear.weight.data, self.linear.bias.data = weights, torch.zeros(3)

    def forward(self, x):
        self.seen.append((len(x), self.training, torch.is_grad_enabled()))
        return self.linear(self.dropout(x.flatten(1)))


def split(count):
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 256, (count, 4, 5, 1), dtype=np.uint8))
    return Split(images, torch.from_numpy(rng.integers(0, 3, count)))


def test_logits_are_the_models_in_evaluation_whatever_the_batch_size():
    model, data = Watched(), split(7)
    pixels = (data.images.numpy().reshape(7, 20) / 255 - 0.5) / 0.25
    expected = pixels @ model.linear.weight.detach().numpy().T
    for batch_size, lengths in ((3, [3, 3, 1]), (7, [7]), (100, [7])):
        model.seen.clear()
        logits = logits_of(model, data.images, PREPROCESS, batch_size=batch_size)
        np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-4)
        assert logits.dtype == torch.float32
        assert model.seen == [(length, False, False) for length in lengths]
    assert score(model, data, PREPROCESS) == score_of(logits, data.labels)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_given_back_even_after_a_failure(training):
    model = Watched().train(training)
    logits_of(model, split(3).images, PREPROCESS)
    assert all(module.training == training for module in model.modules())
    with pytest.raises(RuntimeError):
        logits_of(model, torch.zeros(2, 9, 9, 1, dtype=torch.uint8), PREPROCESS)
    assert all(module.training == training for module in model.modules())


@pytest.mark.parametrize("tta", ["flip", "flip,shifts"])
def test_probabilities_of_all_views_are_averaged(tta):
    model, data = Watched(), split(7)
    averaged = logits_of(model, data.images, PREPROCESS, batch_size=3, tta=tta)
    expected = 0
    for weight, view in views(tta)(data.images):
        expected = expected + weight * logits_of(model, view, PREPROCESS).double().softmax(dim=1)
    np.testing.assert_allclose(averaged.exp().numpy(), expected.numpy(), atol=1e-6)
    assert averaged.dtype == torch.float32
    assert averaged.device.type == "cpu"
    np.testing.assert_allclose(averaged.softmax(dim=1).sum(dim=1), 1, atol=1e-6)


def test_without_views_logits_are_untouched_and_an_impossible_class_stays_finite():
    model, data = Watched(), split(3)
    assert torch.equal(logits_of(model, data.images, PREPROCESS, tta="none"), logits_of(model, data.images, PREPROCESS))
    model.linear.bias.data = torch.tensor([0.0, 1000.0, -1000.0])
    averaged = logits_of(model, data.images, PREPROCESS, tta="flip")
    assert averaged.isfinite().all()
    with pytest.raises(ArgumentError, match="unknown test-time augmentation 'flips'"):
        logits_of(model, data.images, PREPROCESS, tta="flips")
    assert model.training


class Busy(nn.Module):
    """Batch normalisation behind a convolution and behind a pooling, in-place parts, dropout and an auxiliary head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding="same"), nn.BatchNorm2d(4)
        self.relu, self.pool, self.dropout = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.5)
        self.auxiliary, self.output = nn.Linear(4, 10), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor | Outputs:
        x = self.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.pool(self.conv2(x)))
        y += self.pool(x)
        logits = self.output(self.dropout(y.mul_(2).mean((2, 3))))
        return Outputs(logits, (self.auxiliary(y.mean((2, 3))),), 0.3) if self.training else logits


def lively(model):
    """The model with statistics and weights of which none is 0 or 1, and a list that grows when its Python runs."""
    generator, calls = torch.Generator().manual_seed(0), []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                tensor.uniform_(0.5, 1.5, generator=generator)
    model.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    return model, calls


def pixels(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8))


def as_written(model, images):
    with torch.no_grad():
        return model.eval()(DIGITS.normalize(images))


@pytest.mark.parametrize("name", ["busy", "mlp", "lenet5", "lenet5_modern", "quicknet_s", "resnet20"])
def test_a_program_says_what_the_model_says(name):
    model, calls = lively(Busy() if name == "busy" else create(name))
    model.train()
    predictor = Predictor(model, DIGITS)
    for seed in range(PATIENCE):
        predictor(pixels(2, seed))
    assert model.training
    expected = [as_written(model, pixels(2, seed)) for seed in range(20, 24)]
    calls.clear()
    for seed, logits in zip(range(20, 24), expected, strict=True):
        torch.testing.assert_close(predictor(pixels(2, seed)), logits, rtol=0, atol=1e-5 * float(logits.abs().max()))
    assert calls == []


def test_batches_of_every_size_have_their_own_program_up_to_a_number():
    model, calls = lively(Busy())
    predictor, images = Predictor(model, DIGITS), pixels(MOST_PROGRAMS + 2)
    expected = as_written(model, images)
    for _ in range(PATIENCE + 1):
        calls.clear()
        for count in range(1, len(images) + 1):
            torch.testing.assert_close(predictor(images[:count]), expected[:count], rtol=0, atol=1e-5)
    assert calls == [MOST_PROGRAMS + 1, MOST_PROGRAMS + 2]


class Moody(nn.Module):
    """Logits whose sign the image decides."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(28 * 28, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x.flatten(1))
        return logits if x.mean() > 0 else -logits


class Counting(Moody):
    """Logits that grow with each call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x.flatten(1)) * self.calls


class Shy(Moody):
    """A module that can't be traced."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise TypeError("not like this")
        return self.linear(x.flatten(1))


@pytest.mark.parametrize("module", [Moody, Counting, Shy])
def test_a_model_that_no_program_can_stand_for_is_called_itself(module):
    model, calls = lively(module())
    predictor = Predictor(model, DIGITS)
    for _ in range(PATIENCE + 2):
        predictor(torch.full((1, 28, 28, 1), 255, dtype=torch.uint8))
    calls.clear()
    dark = torch.zeros(1, 28, 28, 1, dtype=torch.uint8)
    said, times = predictor(dark), model.calls if module is Counting else 0
    assert calls == [1]
    if module is Counting:
        model.calls = times - 1
    torch.testing.assert_close(said, as_written(model, dark))
