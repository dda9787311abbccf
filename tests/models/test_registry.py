"""Models by name: what is published, what is refused, and weights as a function of the seed."""

import json

import pytest
import torch
from torch import nn

from striate import models
from striate.errors import ArgumentError, ShapeError
from striate.models import Architecture, Facts, Option, Outputs, registry

PARAMETERS = {  # for 28×28 grey images and 10 classes
    "alexnet": 5_824_202,
    "alexnet_grouped": 4_411_082,
    "alexnet_torchvision": 4_557_514,
    "efficientnet_b0": 4_019_782,
    "efficientnet_lite0": 3_383_242,
    "fashion_cnn": 1_413_834,
    "googlenet": 6_393_038,
    "googlenet_torchvision": 9_951_806,
    "lenet5": 60_000,
    "lenet5_modern": 61_706,
    "mlp": 266_610,
    "mobilenet_v2": 2_236_106,
    "mobilenet_v3_large": 4_214_554,
    "quicknet_l": 1_069_152,
    "quicknet_m": 599_232,
    "quicknet_s": 270_464,
    "resnet18": 11_172_810,
    "resnet20": 269_434,
    "vgg16": 15_243_978,
}
every = pytest.mark.parametrize("name", PARAMETERS)


def stirred(name, **settings):
    """A model none of whose parameters is 0, as some are at the start."""
    model, draw = models.create(name, seed=0, **settings), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=draw)
    return model


def test_these_are_the_models():
    assert models.names() == sorted(models.names())
    assert set(PARAMETERS) <= set(models.names())


@every
def test_parameters_are_the_published_count(name):
    with torch.device("meta"):
        model = models.create(name)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == PARAMETERS[name]


@every
def test_facts_say_what_training_needs(name):
    facts = models.facts(name)
    assert facts.name == name
    assert facts.title
    assert facts.source
    assert facts.loss == ("map" if name == "lenet5" else "cross-entropy")
    assert (facts.mean is None) == (facts.std is None)
    lenet = name.startswith("lenet5")
    assert facts.image_size == (28 if lenet else None)
    if lenet:  # section II.B: background −0.1, foreground 1.175
        assert (0 - facts.mean) / facts.std == pytest.approx(-0.1)
        assert (1 - facts.mean) / facts.std == pytest.approx(1.175)


@pytest.mark.slow
@every
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, (17, 30)), (3, (31, 15))])
def test_images_become_logits(name, channels, size):
    model = stirred(name, classes=7, channels=channels, image_size=size)
    height, width = (size, size) if isinstance(size, int) else size
    made = model(torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(0)))
    answers = (made.logits, *made.auxiliary) if isinstance(made, Outputs) else (made,)
    for logits in answers:
        assert logits.shape == (3, 7)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()
        assert logits.std(dim=0).min() > 0, "the image matters"
    torch.cat(answers).sum().backward()
    learned = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learned)
    assert sum(p.numel() for p in learned) > 0.9 * sum(p.numel() for p in model.parameters())


@pytest.mark.slow
@every
def test_an_image_does_not_depend_on_its_batch(name):
    model = stirred(name).eval()
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    together = model(x)
    near = {"rtol": 0, "atol": 1e-4 * max(1.0, together.abs().max().item())}
    torch.testing.assert_close(torch.cat([model(x[:1]), model(x[1:])]), together, **near)
    torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), together, **near)


@pytest.mark.slow
@every
def test_the_seed_makes_the_weights_and_nothing_else_changes(name):
    before = torch.get_rng_state()
    made = [models.create(name, seed=seed) for seed in (1, 1, 2)]
    (one, same, other), learned = (model.state_dict() for model in made), dict(made[0].named_parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], same[key]) for key in one)
    changed = {key for key in one if not torch.equal(one[key], other[key])}
    drawn = {key for key in one if key.endswith("weight") and one[key].ndim > 1 and one[key].any()}
    assert changed >= {key for key in drawn if learned[key].requires_grad}
    assert len(changed) >= 3


def test_without_a_seed_the_weights_come_from_the_default_generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, two = models.create("mlp").state_dict(), models.create("mlp").state_dict()
        torch.manual_seed(0)
        again = models.create("mlp").state_dict()
    assert torch.equal(one["hidden1.weight"], again["hidden1.weight"])
    assert not torch.equal(one["hidden1.weight"], two["hidden1.weight"])


@pytest.mark.slow
@every
def test_the_architecture_makes_the_model_again(name):
    model = models.create(name, classes=3, channels=3, image_size=[20, 24])
    defaults = {key: option.default((20, 24)) for key, option in models.facts(name).options.items()}
    assert model.architecture == Architecture(name, 3, 3, (20, 24), defaults)
    read = Architecture.from_dict(json.loads(json.dumps(model.architecture.to_dict())))
    assert read == model.architecture
    read.make().load_state_dict(model.state_dict())
    assert models.create(name).architecture.image_size == (28, 28)


def test_unknown_names_are_answered_with_the_nearest():
    for ask in (models.create, models.facts):
        with pytest.raises(ArgumentError, match=r"unknown model 'lenet'\. Did you mean 'lenet5'\? Known: .*mlp"):
            ask("lenet")


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"classes": 1}, ArgumentError, "classes=1: a classifier needs at least 2"),
        ({"classes": 0}, ArgumentError, "classes=0"),
        ({"channels": 0}, ArgumentError, "channels=0: an image has at least 1"),
        ({"image_size": 0}, ShapeError, "image_size=0: both sides must be at least 1 pixel"),
        ({"image_size": (28, -3)}, ShapeError, "at least 1 pixel"),
    ],
)
@every
def test_impossible_numbers_are_refused(name, settings, error, match):
    with pytest.raises(error, match=match):
        models.create(name, **settings)


@pytest.fixture
def _choosy(monkeypatch):
    """A model with options, entered for one test."""

    def build(classes, channels, size, stem, gated):
        model = nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes, bias=gated))
        model.stem = stem
        return model

    options = {"stem": Option(("large", "small"), small="small"), "gated": Option((False, True))}
    monkeypatch.setitem(registry._MODELS, "choosy", (Facts("choosy", "t", "s", options=options), build))


@pytest.mark.usefixtures("_choosy")
def test_options_follow_a_colon_or_stand_by_name():
    assert models.parse("choosy: stem=large, gated=TRUE ") == ("choosy", {"stem": "large", "gated": True})
    assert models.parse("choosy") == models.parse("choosy:") == ("choosy", {})
    written = models.create("choosy:stem=large,gated=true")
    assert written.stem == "large"
    assert written[1].bias is not None
    assert written.architecture == models.create("choosy", stem="large", gated=True).architecture
    assert written.architecture.text == "choosy:stem=large,gated=true"
    assert models.facts("choosy:gated=true").name == "choosy"


@pytest.mark.usefixtures("_choosy")
def test_what_is_not_chosen_follows_the_image_and_is_kept():
    small, large = models.create("choosy", image_size=(63, 200)), models.create("choosy", image_size=64)
    assert (small.stem, large.stem) == ("small", "large")
    assert small.architecture.options == {"stem": "small", "gated": False}
    assert small.architecture.text == large.architecture.text == "choosy"
    again = Architecture.from_dict(json.loads(json.dumps(small.architecture.to_dict())))
    assert again.make().stem == "small"


@pytest.mark.usefixtures("_choosy")
@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        (
            "choosy:stm=small",
            {},
            r"unknown option of choosy 'stm'. Did you mean 'stem'\? Known: antialias, gated, stem",
        ),
        ("choosy:stem=huge", {}, r"choosy:stem=huge: choose one of large, small\."),
        ("choosy", {"gated": "maybe"}, r"choosy:gated=maybe: choose one of false, true\."),
        ("choosy:stem=small", {"stem": "small"}, "option stem of choosy is given twice"),
        ("mlp:stem=small", {}, r"unknown option of mlp 'stem'\. Known: antialias\."),
        ("chosy:stem=small", {}, r"unknown model 'chosy'\. Did you mean 'choosy'"),
    ],
)
def test_options_that_do_not_exist_are_refused(text, options, match):
    with pytest.raises(ArgumentError, match=match):
        models.create(text, **options)
