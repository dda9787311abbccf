"""The loop: a step against NumPy, what it counts and reports, where it stops, and going on from the middle."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from striate.augmentation import parse
from striate.data import Split
from striate.data.loader import Batch, Loader
from striate.errors import DivergedError
from striate.inference import score
from striate.layers import StochasticDepth
from striate.models import Outputs
from striate.preprocess import Preprocess
from striate.training import Recipe, Training
from striate.training.plan import learning_rate_factor

PREPROCESS = Preprocess(4, 5, 1, mean=(0.5,), std=(0.25,))
PLAIN = {
    "momentum": 0,
    "weight_decay": 0,
    "clip_norm": 0,
    "schedule": "constant",
    "warmup": 0,
    "loss": "cross-entropy",
    "augment": "none",
}


def separable(count=40):
    """Two classes: the left or the right half is the brighter one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 100, (count, 4, 5, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 2 + 3 * label] += 150
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def linear():
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    model[1].weight.data = 0.3 * torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    model[1].bias.data = torch.tensor([0.1, -0.2])
    return model


def network():
    """With what makes resuming hard: a convolution, batch norm's running means, dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(80, 2)
        )


def training(model, data=None, augment=None, **settings):
    recipe = Recipe(**{"batch_size": 8, "epochs": 2, **PLAIN, **settings})
    policy = parse(recipe.augment)
    batches = Loader(
        data or separable(), PREPROCESS, recipe.batch_size, recipe.seed, augment=policy if policy.steps else None
    )
    return Training(model, batches, recipe)


def run(model, **settings):
    made = training(model, **settings)
    return made, list(made)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_a_step_is_gradient_descent_on_the_mean_loss(smoothing):
    """Softmax regression, whose gradient one can write down: (p − t) xᵀ / B."""
    model = linear()
    w, b = model[1].weight.detach().numpy().copy(), model[1].bias.detach().numpy().copy()
    made = training(model, label_smoothing=smoothing, learning_rate=0.1)
    inputs, targets = (part.numpy() for part in made.batches[0])
    x = inputs.reshape(8, 20)
    logits = x @ w.T + b
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    t = np.eye(2)[targets] * (1 - smoothing) + smoothing / 2
    step = next(iter(made))
    np.testing.assert_allclose(model[1].weight.detach(), w - 0.1 * (p - t).T @ x / 8, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model[1].bias.detach(), b - 0.1 * (p - t).mean(0), rtol=1e-4, atol=1e-5)
    assert step.loss == pytest.approx(-(t * np.log(p)).sum(1).mean(), rel=1e-4)
    assert step.correct == (p.argmax(1) == targets).sum()
    assert (step.samples, step.step, step.epoch, step.learning_rate) == (8, 1, 0, 0.1)
    assert 0 <= step.waiting <= step.seconds


def test_a_separable_problem_is_learnt():
    model = linear()
    before = score(model, separable(), PREPROCESS)
    _, steps = run(model, epochs=8, learning_rate=0.05)
    after = score(model, separable(), PREPROCESS)
    assert before.accuracy < 0.9
    assert after.accuracy == 1
    assert after.loss < before.loss / 4
    assert steps[-1].loss < steps[0].loss


def test_every_batch_is_one_update_at_the_schedules_rate():
    made = training(linear(), separable(20), epochs=3, schedule="linear", warmup=0.3, learning_rate=0.1)
    rates = []
    made.optimizer.register_step_post_hook(
        lambda optimizer, *_: rates.append([g["lr"] for g in optimizer.param_groups])
    )
    steps = list(made)
    assert made.steps == len(steps) == made.step == 9
    assert [step.step for step in steps] == list(range(1, 10))
    assert [step.epoch for step in steps] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [step.last_of_epoch for step in steps] == [False, False, True] * 3
    assert [step.samples for step in steps] == [8, 8, 4] * 3
    expected = [
        0.1 * learning_rate_factor(made.recipe.schedule, made.recipe.warmup, (step + 1) / 10) for step in range(9)
    ]
    assert [step.learning_rate for step in steps] == expected
    assert rates == [[rate, rate] for rate in expected]
    assert list(made) == []


@pytest.mark.parametrize("clip_norm", [0, 0.01, 1e6])
def test_the_gradients_norm_is_limited(clip_norm):
    model = linear()
    before = weights(model)
    free = nn.utils.get_total_norm([p.grad for p in gradient_of(linear())]).item()
    next(iter(training(model, learning_rate=0.5, clip_norm=clip_norm)))
    moved = math.sqrt(sum((value - before[name]).square().sum().item() for name, value in weights(model).items()))
    assert free > 0.1
    assert moved == pytest.approx(0.5 * (0.01 if clip_norm == 0.01 else free), rel=1e-3)


def gradient_of(model):
    inputs, targets = training(model).batches[0]
    nn.functional.cross_entropy(model(inputs), targets).backward()
    return list(model.parameters())


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_before_its_update(poison):
    model = linear()
    made = training(model, learning_rate=0.05, momentum=0.9)
    steps = iter(made)
    next(steps), next(steps)
    good, state = weights(model), copy.deepcopy(made.optimizer.state_dict())
    made.loss = lambda logits, targets: logits.sum() * poison
    with pytest.raises(
        DivergedError, match=r"the loss became (nan|-?inf) at step 3, learning rate 0\.05\. Try"
    ) as raised:
        next(steps)
    assert "--set learning_rate=0.01" in str(raised.value)
    assert "clip_norm" in str(raised.value)
    assert same(good, weights(model))
    assert made.step == 2
    assert str(made.optimizer.state_dict()) == str(state)


def test_a_rate_far_too_high_is_noticed():
    with pytest.raises(DivergedError, match="at step"):
        run(network(), learning_rate=1e30, epochs=20)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadam", "muon"])
@pytest.mark.parametrize("stop", [3, 5, 7])
def test_going_on_from_the_middle_gives_the_same_weights(optimizer, stop):
    """The model, the optimiser and the number of steps are the whole state: 5 steps an epoch, so 3 and 7 are inside."""
    settings = {
        "optimizer": optimizer,
        "momentum": 0.9,
        "weight_decay": 0.01,
        "schedule": "linear",
        "warmup": 0.2,
        "augment": "flip,shift=0.3,rotate=20",
        "clip_norm": 1,
    }
    straight, _ = run(network(), **settings)
    first = training(network(), **settings)
    for step in first:
        if step.step == stop:
            break
    model = network()
    model.load_state_dict(copy.deepcopy(first.model.state_dict()))
    second = training(model, **settings)
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    second.step = stop
    with torch.random.fork_rng():
        torch.manual_seed(12345)  # another process has another default generator
        steps = list(second)
    assert [step.step for step in steps] == list(range(stop + 1, 11))
    assert same(weights(straight.model), weights(model))


def test_runs_with_one_seed_are_equal_and_with_another_are_not():
    settings = {"augment": "shift=0.3", "learning_rate": 0.05}
    (one, first), (two, second) = run(network(), **settings), run(network(), **settings)
    assert same(weights(one.model), weights(two.model))
    assert [step.loss for step in first] == [step.loss for step in second]
    other, _ = run(network(), seed=1, **settings)
    assert not same(weights(one.model), weights(other.model))


@pytest.mark.parametrize("kind", [nn.Dropout, StochasticDepth])
def test_dropout_is_drawn_anew_each_step_from_the_seed_alone(kind):
    def masks(seed, default):
        model, seen = nn.Sequential(nn.Flatten(), kind(0.5), nn.Linear(20, 2)), []
        model[1].register_forward_hook(lambda module, inputs, output: seen.append(output == 0))
        with torch.random.fork_rng():
            torch.manual_seed(default)
            run(model, seed=seed, epochs=2, batch_size=40)
        return seen

    first, second = masks(seed=0, default=1)
    assert 0.4 < first.float().mean() < 0.6
    assert not torch.equal(first, second)
    assert all(torch.equal(*pair) for pair in zip(masks(seed=0, default=2), (first, second), strict=True))
    assert not torch.equal(masks(seed=1, default=1)[0], first)


def test_nothing_global_changes():
    before = torch.get_rng_state(), torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    made = training(network(), augment="shift")
    for _ in made:
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == before[1:]


def test_each_step_trains_whatever_mode_was_left():
    model = network()
    made = training(model)
    for _ in made:
        assert model.training
        model.eval()
    assert model[1].num_batches_tracked == made.steps


def test_five_images_and_batches_of_128_train():
    _, steps = run(network(), data=separable(5), batch_size=128, epochs=3)
    assert [(step.samples, step.last_of_epoch) for step in steps] == [(5, True)] * 3


@pytest.mark.parametrize(("share", "with_dropout"), [(0.0, 0), (0.3, 3), (0.5, 5), (1.0, 10)])
@pytest.mark.parametrize("kind", [nn.Dropout, StochasticDepth])
def test_early_dropout_acts_in_the_first_share_of_the_steps(share, with_dropout, kind):
    model = network()
    model[3] = kind(0.5)
    acted = []
    model[3].register_forward_hook(lambda module, inputs, output: acted.append(module.training))
    run(model, early_dropout=share)
    assert acted == [True] * with_dropout + [False] * (10 - with_dropout)
    assert model[1].training


class _TwoHeads(nn.Module):
    """A linear classifier, and in training the same answer again from an auxiliary head."""

    def __init__(self, weight):
        super().__init__()
        self.main, self.extra, self.weight = linear(), linear(), weight

    def forward(self, x):
        return Outputs(self.main(x), (self.extra(x),), self.weight) if self.training else self.main(x)


def test_auxiliary_classifiers_count_by_their_weight():
    alone, both = training(linear()), training(_TwoHeads(0.3))
    one, two = next(iter(alone)), next(iter(both))
    assert two.loss == pytest.approx(1.3 * one.loss)
    assert two.correct == one.correct
    step = alone.model[1].weight - linear()[1].weight
    torch.testing.assert_close(both.model.main[1].weight - linear()[1].weight, step)
    torch.testing.assert_close(both.model.extra[1].weight - linear()[1].weight, 0.3 * step)


def test_mixed_targets_count_by_their_largest_share():
    plain, soft = training(linear()), training(linear())
    answers = soft.batches
    soft.batches = _Softened(answers)
    one, two = next(iter(plain)), next(iter(soft))
    assert two.correct == one.correct
    assert two.loss != one.loss


class _Softened:
    """Loader whose targets are shares: 0.9 of the right class."""

    def __init__(self, batches):
        self._batches, self.steps_per_epoch, self.device = batches, batches.steps_per_epoch, batches.device
        self.batch_length = batches.batch_length

    def parts(self, step):
        (batch,) = self._batches.parts(step)
        return (Batch(batch.inputs, 0.1 + 0.8 * torch.eye(2)[batch.targets]),)
