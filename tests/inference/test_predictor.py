"""A predictor says what the model says, in whatever batches, with a program and where it gets none."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.acceleration import convolutions, precision
from striate.acceleration.sharding import LEAST
from striate.augmentation import views
from striate.data import Split
from striate.data.lazy import LazyImages
from striate.errors import ArgumentError
from striate.inference import Predictor, logits_of, score, score_of
from striate.inference import predictor as inference
from striate.inference.predictor import MOST_PROGRAMS, PATIENCE
from striate.models import Outputs, create
from striate.preprocess import Preprocess

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


def of_every_view(model, images, tta):
    """Weighted sums of probabilities, one after another view: float64 (views, N, classes)."""
    seen = [(weight, logits_of(model, view, PREPROCESS)) for weight, view in views(tta)(images)]
    return torch.stack([weight * logits.double().softmax(dim=1) for weight, logits in seen]).cumsum(dim=0)


@pytest.mark.parametrize(("tta", "least"), [("flip", 2), ("shifts", 2), ("flip,shifts", 3), ("ten-crop", 6)])
@pytest.mark.parametrize("sure", [0.0, 3.0])
@pytest.mark.parametrize("lazy", [False, True])
def test_views_are_averaged_until_the_others_can_not_change_the_class(tta, least, sure, lazy):
    model, data = Watched(), split(40)
    model.linear.weight.data *= sure
    images = data.images
    if lazy:
        images = LazyImages(images.shape, lambda places: data.images[torch.from_numpy(places)])
    averaged = logits_of(model, images, PREPROCESS, batch_size=3, tta=tta)
    sums = of_every_view(model, data.images, tta)
    first, second = sums[least - 1].topk(2).values.T
    decided = first - second > 1 - sums[least - 1].sum(dim=1) + 1e-6
    expected = torch.where(decided[:, None], sums[least - 1] / sums[least - 1].sum(dim=1, keepdim=True), sums[-1])
    np.testing.assert_allclose(averaged.exp().numpy(), expected.numpy(), atol=1e-5)
    assert torch.equal(averaged.argmax(dim=1), sums[-1].argmax(dim=1)), "the class is that of all views"
    assert averaged.dtype == torch.float32
    assert averaged.device.type == "cpu"
    if least < len(sums):
        assert bool(decided.any()) == (sure > 0)
        assert not decided.all()


def test_a_network_that_answers_with_nan_is_asked_for_every_view():
    model, data = Watched(), split(5)
    model.linear.bias.data[0] = torch.nan
    assert logits_of(model, data.images, PREPROCESS, tta="flip,shifts").isnan().all()


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
    """The model with statistics and weights of which none is 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model


@pytest.fixture
def python(monkeypatch):
    """A list that gets the length of every batch that a predictor computes as its model is written."""
    lengths, forward = [], inference._Written.forward
    monkeypatch.setattr(inference._Written, "forward", lambda *a: lengths.append(int(a[1].shape[0])) or forward(*a))
    return lengths


def pixels(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8))


def as_written(model, images):
    return logits_of(model, images, DIGITS)


def close(logits, expected):
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def asked_often(model, images):
    predictor = Predictor(model, DIGITS)
    for _ in range(PATIENCE):
        predictor(images)
    return predictor


FAMILIES = ["mlp", "fashion_cnn", "lenet5", "lenet5_modern", "quicknet_s", "resnet20", "resnet18:stem=small"]
LARGE = ["alexnet", "googlenet", "resnet50"]


@pytest.mark.parametrize("name", ["busy", *FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_a_program_says_what_the_model_says(name, python):
    side = 96 if name in LARGE else 28
    model = lively(Busy() if name == "busy" else create(name, image_size=(side, side))).train()
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (4, side, side, 1), dtype=np.uint8))
    expected = as_written(model, images)
    predictor = asked_often(model, images[:2])
    python.clear()
    close(predictor(images, batch_size=2), expected)
    assert python == []


def test_in_a_program_filters_that_cover_the_image_are_a_matrix_product():
    predictor = Predictor(create("lenet5_modern"), DIGITS)
    predictor.prepare(pixels(2))
    (program,) = predictor._programs.values()
    assert str(program.graph).count("aten::linear(") == 3  # C5, F6 and the output


def test_a_predictor_leaves_its_model_alone_and_keeps_the_weights_it_began_with(python):
    model, images = lively(Busy()).train(), pixels(2)
    model.norm2.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    state = {name: (tensor.data_ptr(), tensor.stride(), tensor.clone()) for name, tensor in model.state_dict().items()}
    first = as_written(model, images)
    predictor = asked_often(model, images)
    assert {name: module.training for name, module in model.named_modules()} == modes
    for name, tensor in model.state_dict().items():
        assert (tensor.data_ptr(), tensor.stride()) == state[name][:2]
        assert torch.equal(tensor, state[name][2])
    with torch.no_grad():
        model.output.weight.data.mul_(3)
    assert (as_written(model, images) - first).abs().max() > 0.01
    close(predictor(images), first)
    close(Predictor(model, DIGITS)(images), as_written(model, images))


def test_every_shape_has_its_own_program_up_to_a_number(python):
    model = lively(Busy())
    predictor, images = Predictor(model, DIGITS), pixels(MOST_PROGRAMS + 2)
    expected = as_written(model, images)
    for _ in range(PATIENCE + 1):
        python.clear()
        for count in range(1, len(images) + 1):
            close(predictor(images[:count]), expected[:count])
    assert python == [MOST_PROGRAMS + 1, MOST_PROGRAMS + 2]
    wide = torch.cat([images, images], dim=2)
    close(predictor(wide[:1]), as_written(model, wide[:1]))


def test_nothing_is_traced_for_one_call(monkeypatch):
    monkeypatch.setattr(torch.jit, "trace", None)
    model = Busy()
    assert len(logits_of(model, pixels(PATIENCE + 3), DIGITS, batch_size=1)) == PATIENCE + 3


def test_a_program_is_not_used_where_precision_is_mixed(python):
    predictor = asked_often(lively(Busy()), pixels(2))
    python.clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert predictor(pixels(2)).dtype == torch.float32
    assert python == [2]


class Typed(nn.Module):
    """A linear layer, and a note of the types that it gives."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(20, 3), []

    def forward(self, x):
        result = self.linear(x.flatten(1))
        self.seen.append(result.dtype)
        return result


def test_bfloat16_says_nearly_the_same():
    model, images = create("quicknet_s", seed=0), pixels(8)
    exact, near = (Predictor(model, DIGITS, precision=each)(images) for each in ("float32", "bfloat16"))
    assert near.dtype == torch.float32
    assert not torch.equal(near, exact)
    torch.testing.assert_close(near, exact, rtol=0, atol=0.03 * float(exact.abs().max()))


@pytest.mark.parametrize(
    ("has", "least", "expected"),
    [(True, 0, torch.bfloat16), (True, 10**9, torch.float32), (False, 0, torch.float32)],
)
def test_the_first_batch_chooses_the_precision(has, least, expected, monkeypatch):
    monkeypatch.setattr(precision, "supported", lambda device: has)
    monkeypatch.setitem(precision.LEAST_WORK, "cpu", least)
    predictor = Predictor(Typed(), PREPROCESS, precision="auto")
    seen = predictor._written.model.seen
    predictor(split(4).images)
    for count in (4, 5):
        seen.clear()
        predictor(split(count).images)
        assert seen == [expected]


def test_an_unknown_precision_is_refused():
    with pytest.raises(ArgumentError, match="'float61'"):
        Predictor(Busy(), DIGITS, precision="float61")


def test_threads_that_share_a_predictor_take_turns(monkeypatch):
    model, images, within, most = lively(Busy()).train(), pixels(8), [], []
    expected, predictor, forward = as_written(model, images), Predictor(model, DIGITS), Busy.forward

    def watched(self, x):
        within.append(x)
        most.append(len(within))
        time.sleep(0.005)
        within.pop()
        return forward(self, x)

    monkeypatch.setattr(Busy, "forward", watched)
    with ThreadPoolExecutor(4) as pool:
        for logits in pool.map(lambda _: predictor(images, batch_size=2), range(12)):
            close(logits, expected)
    assert max(most) == 1


@pytest.mark.slow
def test_a_predictor_that_is_let_go_takes_its_programs_with_it():
    predictor = asked_often(Busy(), pixels(2))
    kept = weakref.ref(predictor._written)
    del predictor
    gc.collect()
    assert kept() is None


@pytest.mark.slow
def test_where_both_pay_a_program_is_made_of_shares_with_fewer_products(monkeypatch, python):
    made, convolution = [], convolutions.convolution

    def noted(*args):
        made.append(threading.current_thread().name)
        return convolution(*args)

    monkeypatch.setattr(convolutions, "feature_maps_pay", lambda x, weight: True)
    monkeypatch.setattr(convolutions, "convolution", noted)
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model, images = lively(create("quicknet_s")), pixels(2 * LEAST)
        expected = as_written(model, images)
        predictor = asked_often(model, images)
        python.clear()
        close(predictor(images), expected)
        assert python == []
        assert any(name.startswith("striate-predicting") for name in made)
    finally:
        torch.set_num_threads(usual)


def test_what_a_device_has_no_memory_for_is_computed_in_parts():
    model, data, lengths = Watched(), split(11), []

    def small(module, args):
        lengths.append(len(args[0]))
        if len(args[0]) > 3:
            raise torch.OutOfMemoryError("a small card")

    model.register_forward_pre_hook(small)
    said = logits_of(model, data.images, PREPROCESS, batch_size=8)
    assert lengths == [8, 4, 2, 2, 4, 2, 2, 3]
    torch.testing.assert_close(said, logits_of(model, data.images, PREPROCESS, batch_size=1))
    data = split(1)
    model.register_forward_pre_hook(lambda module, args: small(module, (range(9),)))
    with pytest.raises(torch.OutOfMemoryError):
        logits_of(model, data.images, PREPROCESS)


class Moody(nn.Module):
    """Logits whose sign the image decides."""

    def __init__(self, pixels=28 * 28):
        super().__init__()
        self.linear = nn.Linear(pixels, 10)

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


class Choosy(Moody):
    """Logits whose sign the image decides by how much is taken of it."""

    taken = staticmethod(lambda x: x[x > 0])

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x.flatten(1))
        return logits if self.taken(x).shape[0] else -logits


class Selecting(Choosy):
    taken = staticmethod(lambda x: x.masked_select(x > 0))


class Finding(Choosy):
    taken = staticmethod(lambda x: torch.argwhere(x > 0))


class Hooked(Moody):
    """A module that others listen to."""

    def __init__(self, pixels=28 * 28):
        super().__init__(pixels)
        self.linear.register_forward_hook(lambda module, args, output: output + 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


@pytest.mark.parametrize("module", [Moody, Choosy, Selecting, Finding, Counting, Shy, Hooked])
def test_a_model_that_no_program_can_stand_for_is_called_itself(module, python):
    model = module()
    predictor = asked_often(model, torch.full((1, 28, 28, 1), 255, dtype=torch.uint8))
    python.clear()
    dark = torch.zeros(1, 28, 28, 1, dtype=torch.uint8)
    said = predictor(dark)
    assert python == [1]
    if module is Counting:
        model.calls = predictor._written.model.calls - 1
    torch.testing.assert_close(said, as_written(model, dark))


LARGE_IMAGES = Preprocess(96, 96, 3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def photographs(count):
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8))


@pytest.mark.parametrize("tta", ["none", "flip"])
@pytest.mark.parametrize("traced", [True, False])
def test_many_large_images_are_computed_by_a_program(traced, tta, python, monkeypatch):
    monkeypatch.setattr(inference, "MANY", 128 if traced else 1024)
    model, images = lively(create("mobilenet_v2", 5, 3, 96, seed=0)), photographs(129)
    found = logits_of(model, images, LARGE_IMAGES, tta=tta)
    assert not traced or sum(python) < 129, "the first ones, again to make the program, and the last ones"
    expected = torch.cat([logits_of(model, part, LARGE_IMAGES, tta=tta) for part in images.split(65)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert not torch.equal(found, expected), "or it was no program"


def test_the_logits_of_many_large_images_do_not_depend_on_the_number_of_threads():
    model, images, usual = lively(create("mobilenet_v2", 5, 3, 96, seed=0)), photographs(130), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(logits_of(model, images, LARGE_IMAGES))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("module", [Moody, Hooked])
@pytest.mark.parametrize("bounds", [(128, 128), (0, 1024)])
def test_many_large_images_of_a_model_that_no_program_can_stand_for(module, bounds, monkeypatch):
    for name, bound in zip(("FEW", "MANY"), bounds, strict=True):
        monkeypatch.setattr(inference, name, bound)
    monkeypatch.setattr(inference, "is_depthwise", lambda module: True)
    model, images = module(96 * 96), photographs(130)[..., :1]
    grey = Preprocess(96, 96, 1, mean=(0.4,), std=(0.2,))
    expected = torch.cat([logits_of(model, part, grey) for part in images.split(65)])
    torch.testing.assert_close(logits_of(model, images, grey), expected)


def test_an_error_in_a_thread_is_raised(monkeypatch):
    def refuse(*arguments):
        raise ValueError("no memory for this")

    monkeypatch.setattr(inference, "MANY", 128)
    monkeypatch.setattr(inference, "_program", lambda written, first: refuse)
    with pytest.raises(ValueError, match="no memory for this"):
        logits_of(nn.Flatten(), photographs(130), LARGE_IMAGES)


class Constant(nn.Module):
    """Gives its own memory as the logits."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.arange(6.0).view(2, 3))

    def forward(self, x):
        return self.logits


def test_the_logits_of_a_single_batch_may_be_changed():
    model, images = Constant(), torch.zeros(2, 4, 4, 1, dtype=torch.uint8)
    logits = logits_of(model, images, PREPROCESS)
    logits.add_(1).requires_grad_().sum().backward()
    assert torch.equal(model.logits, torch.arange(6.0).view(2, 3))
