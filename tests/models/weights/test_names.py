"""Weights as training scripts save them: which of a file's tensors are a model's, and what is said of the others."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from striate import models
from striate.errors import CheckpointError
from striate.models.weights.file import read
from striate.models.weights.load import load
from striate.models.weights.names import find

MADE = ("resnet20", 3, 3, 32)


def numbered(seed=0):
    """A small network whose numbers are its seed's."""
    model, draw = models.create(*MADE, seed=seed), torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.1 * torch.rand(tensor.shape, generator=draw))
    return model


@pytest.fixture(scope="module")
def own():
    return numbered().state_dict()


def loaded(tmp_path, value, adapt=False):
    """The weights that `load` takes from a file, and its notes."""
    torch.save(value, tmp_path / "w.pth")
    model = models.create(*MADE, seed=9)
    return model.state_dict(), load(model, tmp_path / "w.pth", adapt)


@pytest.fixture
def unrecognised(monkeypatch):
    """No search for the model that a file fits, which takes seconds."""
    monkeypatch.setattr("striate.models.weights.load.likely", lambda *_: None)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def below(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "left_out"),
    [
        (lambda own: {"net": below("module.", own), "acc": 91.0, "epoch": 3}, None),
        (lambda own: {"state_dict": below("net.", own), "pytorch-lightning_version": "2.5"}, None),
        (lambda own: below("backbone.", own), None),
        (lambda own: below("encoder._orig_mod.module.", own), None),
        (lambda own: {"a": {"b": {"c": below("x.y.z.", own)}}}, None),
        (lambda own: {name.replace("layer1.", "layer1._orig_mod."): value for name, value in own.items()}, None),
        (
            lambda own: {"state_dict": {**below("model.", own), "criterion.weight": torch.ones(3)}},
            "state_dict/criterion.weight",
        ),
        (lambda own: {**below("model.", own), "head.0.weight": torch.ones(3), "head.0.bias": torch.ones(3)}, "head"),
        (lambda own: {"model": own, "optimizer": {"exp_avg": torch.ones(3), "exp_avg_sq": torch.ones(3)}}, "optimizer"),
        (lambda own: {"model": own, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}, None),
        (lambda own: {**own, "optimizer": {"exp_avg": torch.ones(3)}}, "optimizer/exp_avg"),
        (lambda own: {"model": own, 3: torch.ones(3)}, None),
    ],
)
def test_weights_are_found_under_their_prefix_and_the_rest_is_named(tmp_path, own, wrap, left_out):
    found, notes = loaded(tmp_path, wrap(own))
    assert equal(found, own)
    assert notes == ((f"Left out of the file: {left_out}.",) if left_out else ())


def test_pytorchs_own_averages_are_read(tmp_path, own):
    """Of torch.optim.swa_utils, for EMA and SWA."""
    trained = numbered()
    average = AveragedModel(trained, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(trained)
    found, notes = loaded(tmp_path, average.state_dict())
    assert equal(found, own)
    assert notes == ("Left out of the file: n_averaged.",)


@pytest.mark.parametrize(
    ("key", "wrap"),
    [
        ("state_dict_ema", lambda state: state),  # timm
        ("ema_state_dict", lambda state: below("module.", state)),
        ("model_ema", lambda state: {"n_averaged": torch.tensor(7), **below("module.", state)}),  # torchvision
        ("averaged", lambda state: state),
        ("copy", lambda state: {"n_averaged": torch.tensor(7), **below("module.", state)}),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_averages_are_preferred_and_this_is_said(tmp_path, own, key, wrap, first):
    raw, average = ("state_dict", numbered(1).state_dict()), (key, wrap(own))
    found, notes = loaded(tmp_path, dict([average, raw] if first else [raw, average]))
    assert equal(found, own)
    assert f"the averaged one was loaded: {key}" in notes[0]
    assert "Left out of the file: " in notes[1]
    assert "state_dict" in notes[1]


def test_of_two_sets_that_fit_equally_none_is_guessed(tmp_path, own):
    twice = {**below("encoder_q.", own), **below("encoder_k.", numbered(1).state_dict())}
    with pytest.raises(
        CheckpointError, match=r"several sets of weights that fit resnet20: encoder_q, encoder_k\. Save"
    ):
        loaded(tmp_path, twice)
    found, notes = loaded(tmp_path, {**below("net.", own), **below("ema_of.", own)})
    assert equal(found, own)
    found, notes = loaded(tmp_path, {**below("net.", own), **below("loss.net.", own)})
    assert equal(found, own), "the same weights, by two names"
    assert notes == ("Left out of the file: loss.",)


def test_a_set_of_another_size_is_passed_over(tmp_path, own):
    """A student and its larger teacher have the same names."""
    teacher = models.create("resnet20", 3, 3, 32).state_dict()
    teacher = {name: torch.cat([value, value]) if value.ndim else value for name, value in teacher.items()}
    found, _ = loaded(tmp_path, {"teacher_ema": teacher, "student": own})
    assert equal(found, own)


@pytest.mark.parametrize("other", [{}, {"fc.0.weight": torch.ones(4, 64)}, {"projector.weight": torch.ones(4, 64)}])
def test_a_missing_head_begins_afresh_where_adapting_is_asked_for(tmp_path, own, other):
    """As in files of self-supervised training, some of which have another head."""
    body = {name: value for name, value in own.items() if not name.startswith("fc.")}
    fresh = models.create(*MADE, seed=9).state_dict()
    found, notes = loaded(tmp_path, body | other, adapt=True)
    assert equal(found, own | {name: value for name, value in fresh.items() if name.startswith("fc.")})
    instead = f" but {next(iter(other)).removesuffix('.weight')}, left out" if other else ""
    assert notes == (f"The last layer, fc, has fresh weights: the file has none{instead}.",)
    with pytest.raises(CheckpointError, match=r"missing: 2 \(fc\.weight, fc\.bias\).*They can be adapted"):
        loaded(tmp_path, body | other)


def test_a_network_that_lacks_more_than_its_head_is_refused(tmp_path, own, unrecognised):
    with pytest.raises(CheckpointError, match="missing: 1"):
        loaded(tmp_path, {name: value for name, value in own.items() if name != "conv1.weight"}, adapt=True)
    torch.save({"other.weight": torch.ones(4, 4, 3)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"missing: 1 \(bias\)"):
        load(nn.Linear(2, 2), tmp_path / "w.pth", adapt=True)


def test_an_error_names_the_prefix(tmp_path, own, unrecognised):
    state = below("net.", own)
    del state["net.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"w\.pth under 'state_dict/net' don't fit resnet20: missing: 1 \(conv1"):
        loaded(tmp_path, {"state_dict": state})


def test_a_compiled_model_takes_the_files_of_one_that_is_not(tmp_path, own):
    class Compiled(nn.Module):
        """As `torch.compile` names the weights of what it wraps."""

        def __init__(self):
            super().__init__()
            self._orig_mod = models.create(*MADE, seed=9)

    model = Compiled()
    torch.save(own, tmp_path / "w.pth")
    load(model, tmp_path / "w.pth")
    assert equal(model._orig_mod.state_dict(), own)


def test_another_programs_names_are_found_under_a_prefix(tmp_path):
    model = models.create("efficientnet_lite0", 3, 3, 64, seed=0)
    theirs = {ours: path for path, ours in model.aliases.items()}
    parts = {name: name.rpartition(".") for name in model.state_dict()}
    state = {
        f"model.{theirs.get(path, path)}{dot}{leaf}": model.state_dict()[name]
        for name, (path, dot, leaf) in parts.items()
    }
    assert any(name.startswith("model._conv_stem") for name in state), "they are the package's"
    torch.save({"state_dict_ema": state, "epoch": 3}, tmp_path / "w.pth")
    other = models.create("efficientnet_lite0", 3, 3, 64, seed=1)
    assert load(other, tmp_path / "w.pth") == ()
    assert equal(other.state_dict(), model.state_dict())


def test_long_names_take_no_time(own):
    """The names of a hostile file may have a million dots."""
    tensors = {"." * 10**6 + "conv1.weight": own["conv1.weight"]}
    assert find(models.create(*MADE), tensors).tensors.keys() == {"conv1.weight"}


def test_a_dictionary_that_holds_itself_is_read_once(tmp_path, own):
    knot: dict = {"model": own}
    knot["again"] = knot
    torch.save(knot, tmp_path / "w.pth")
    assert len(read(tmp_path / "w.pth").tensors) == len(own)
