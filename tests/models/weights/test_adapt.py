"""Weights from files: what fits, what is adapted, what is refused, and what the errors say."""

import json
import os
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from striate import models
from striate.errors import ArgumentError, CheckpointError
from striate.models.weights.adapt import fits, intended
from striate.models.weights.file import WeightFile, read
from striate.models.weights.load import _Undrawn, likely, load
from striate.preprocess import Preprocess

CREATED = {"classes": 10, "channels": 3, "image_size": 32}


@pytest.fixture(scope="module")
def source():
    """A small network whose every number is its own."""
    model, draw = models.create("resnet20", **CREATED, seed=0), torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.1 * torch.rand(tensor.shape, generator=draw))
    return model.eval()


def saved(path, state):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def same(one, other):
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pt", "without-suffix"])
def test_a_file_is_read_as_it_was_written(tmp_path, source, name):
    made = models.create("resnet20", **CREATED, seed=5, weights=saved(tmp_path / name, source.state_dict()))
    assert same(source, made)
    assert made.notes == ()
    assert made.architecture == source.architecture, "the path is no part of it"
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(made.eval()(x), source(x))


def test_pytorchs_old_format_is_read(tmp_path, source):
    torch.save(source.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(source, models.create("resnet20", **CREATED, weights=tmp_path / "old.pth"))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 90, "best_acc1": torch.tensor(69.8), "optimizer": {"state": {}}},
        lambda state: {"model": state, "args": None},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"model_state_dict": state},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
    ],
)
def test_what_training_scripts_wrap_is_unwrapped(tmp_path, source, wrap):
    file = saved(tmp_path / "checkpoint.pth", wrap(source.state_dict()))
    assert same(source, models.create("resnet20", **CREATED, weights=file))


def test_a_prefix_that_is_the_models_own_stays(tmp_path):
    class Owner(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Linear(3, 2)

    one, other = Owner(), Owner()
    assert load(other, saved(tmp_path / "a.pth", one.state_dict())) == ()
    assert same(one, other)
    bare = nn.Linear(3, 2)
    load(bare, tmp_path / "a.pth")
    assert torch.equal(bare.weight, one.model.weight)


def test_half_precision_becomes_the_models(tmp_path, source):
    half = {name: value.half() if value.is_floating_point() else value for name, value in source.state_dict().items()}
    made = models.create("resnet20", **CREATED, weights=saved(tmp_path / "half.safetensors", half))
    assert made.fc.weight.dtype == torch.float32
    assert torch.equal(made.fc.weight, source.fc.weight.half().float())


def test_old_files_that_count_no_batches_are_read(tmp_path, source):
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    assert same(source, models.create("resnet20", **CREATED, weights=saved(tmp_path / "old.pth", state)))


# ---------------------------------------------------------------- what is refused


class Hostile:
    """Unpickling it runs a command."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_asks_for_more_is_refused_and_not_run(tmp_path, source, zipped):
    mark, file = tmp_path / "ran", tmp_path / "hostile.pth"
    torch.save({**source.state_dict(), "x": Hostile(mark)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match=r"hostile\.pth is rejected: it contains more than tensors \(\w+\.system\)"
    ):
        models.create("resnet20", **CREATED, weights=file)
    assert not mark.exists()
    torch.load(file, weights_only=False)  # the file is what it claims to be
    assert mark.exists()


def test_a_refusal_says_what_was_asked_for_and_what_to_do(tmp_path):
    torch.save({"model": {"a": torch.zeros(2)}, "more": nn.Linear(2, 2)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"Linear\).*save the tensors alone: torch.save\(model.state_dict"):
        read(tmp_path / "a.pth")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "old.pth"])
def test_a_file_cut_short_is_said_to_be(tmp_path, source, name, share):
    file = tmp_path / name
    if name == "old.pth":
        torch.save(source.state_dict(), file, _use_new_zipfile_serialization=False)
    else:
        saved(file, source.state_dict())
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=rf"{name} (is damaged|holds no weights)"):
        read(file)


def test_other_things_are_no_files_of_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"can't read the weights .*none\.pth: No such file"):
        read(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder and no run: name a file of weights in it"):
        read(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is not finished; finish it first: striate train --resume"):
        read(tmp_path)
    (tmp_path / "a.txt").write_text("some text, and longer than a few bytes")
    with pytest.raises(CheckpointError, match="neither a safetensors file nor one of PyTorch's"):
        read(tmp_path / "a.txt")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("hello", "world")
    with pytest.raises(
        CheckpointError, match=r"a\.zip holds no weights: it is a zip file, but not one that torch.save"
    ):
        read(tmp_path / "a.zip")
    for value in ([torch.zeros(2)], {"epoch": 3}, {}, {"state_dict": {}}):
        torch.save(value, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match="holds no weights: expected a state dict"):
            read(tmp_path / "a.pth")


# ---------------------------------------------------------------- what does not fit


@pytest.mark.slow
def test_all_that_does_not_fit_is_named_together(tmp_path, source):
    state = source.state_dict()
    del state["bn1.weight"], state["layer1.0.conv1.weight"], state["layer1.0.conv2.weight"], state["layer1.0.bn1.bias"]
    state |= {"extra": torch.zeros(1), "layer2.0.conv1.weight": torch.zeros(3)}
    made = models.create("resnet20", **CREATED, seed=1)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load(made, saved(tmp_path / "a.pth", state))
    assert str(caught.value) == (
        f"the weights in {tmp_path / 'a.pth'} don't fit resnet20: "
        "missing: 4 (bn1.weight, layer1.0.conv1.weight, layer1.0.bn1.bias, …); "
        "surplus: 1 (extra); "
        "of another shape: 1 (layer2.0.conv1.weight is (3,) and should be (32, 16, 3, 3)). "
        "They fit none of Striate's models."
    )
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@pytest.mark.slow
def test_another_architecture_is_recognised(tmp_path, source):
    file = saved(tmp_path / "a.pth", source.state_dict())
    for name in ("resnet32", "mlp"):
        with pytest.raises(CheckpointError, match=rf"don't fit {name}: .*They fit resnet20: create that\."):
            models.create(name, **CREATED, weights=file, adapt=True)
    with pytest.raises(CheckpointError, match=r"don't fit Linear: .*They fit resnet20: create that\."):
        load(nn.Linear(2, 2), file)


@pytest.mark.slow
def test_another_stem_is_recognised_even_where_the_image_is_too_small_for_it(tmp_path):
    state = models.create("resnet18", stem="imagenet").state_dict()
    file = saved(tmp_path / "a.safetensors", state)
    with pytest.raises(CheckpointError, match=r"conv1.weight is .*They fit resnet18:stem=imagenet: create that\."):
        models.create("resnet18:stem=small", image_size=28, weights=file)
    with pytest.raises(CheckpointError, match=r"conv1.weight is .*They fit none of Striate's models\."):
        models.create("resnet18", image_size=16, weights=file)


@pytest.mark.slow
def test_recognition_draws_nothing(source):
    before = torch.get_rng_state()
    assert likely(WeightFile("a.pth", source.state_dict(), {}), (32, 32)) == "resnet20"
    assert torch.equal(torch.get_rng_state(), before)


def test_channels_and_classes_are_adapted_only_when_asked(tmp_path, source):
    file = saved(tmp_path / "a.pth", source.state_dict())
    for given in ({"classes": 7}, {"channels": 1}, {"classes": 7, "channels": 1}):
        with pytest.raises(CheckpointError, match=r"They can be adapted to it: pass adapt=True\."):
            models.create("resnet20", **{**CREATED, **given}, weights=file)
    with pytest.raises(ArgumentError, match="adapt=True is about weights from a file"):
        models.create("resnet20", adapt=True)


# ---------------------------------------------------------------- what is adapted


@torch.no_grad()
def test_grey_images_give_what_they_give_in_three_channels(tmp_path, source):
    file = saved(tmp_path / "a.pth", source.state_dict())
    made = models.create("resnet20", 10, 1, 32, weights=file, adapt=True).eval()
    assert made.notes == ("The first convolution, conv1, takes grey images: its weights were summed over 3 channels.",)
    x = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(made(x), source(x.expand(3, 3, 32, 32)), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_colour_images_without_colour_give_what_grey_ones_give(tmp_path):
    grey = models.create("resnet20", 4, 1, 20, seed=0).eval()
    made = models.create("resnet20", 4, 3, 20, weights=saved(tmp_path / "a.pth", grey.state_dict()), adapt=True).eval()
    assert made.notes == ("The first convolution, conv1, takes 3 channels: each has 1/3 of the grey weights.",)
    x = torch.randn(3, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(made(x.expand(3, 3, 20, 20)), grey(x), rtol=1e-5, atol=1e-5)
    made.conv1.weight.mul_(2)  # its own memory, and not one channel three times
    assert not torch.equal(made.conv1.weight, grey.conv1.weight)


def test_the_head_begins_afresh_where_the_classes_differ_and_only_there(tmp_path, source):
    file = saved(tmp_path / "a.pth", source.state_dict())
    fresh = models.create("resnet20", 7, 3, 32, seed=3)
    made = models.create("resnet20", 7, 3, 32, seed=3, weights=file, adapt=True)
    assert made.notes == (
        "The last layer, fc, has fresh weights: the file is for 10 classes, the model for 7.",
    )  # fmt: skip
    assert torch.equal(made.fc.weight, fresh.fc.weight)
    assert torch.equal(made.fc.bias, fresh.fc.bias)
    other = {name: value for name, value in made.state_dict().items() if not name.startswith("fc.")}
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in other.items())
    kept = models.create("resnet20", 10, 3, 32, seed=3, weights=file, adapt=True)
    assert kept.notes == ()
    assert same(source, kept)


@pytest.mark.slow
def test_a_head_of_other_features_is_no_matter_of_classes(tmp_path):
    state = models.create("fashion_cnn").state_dict()
    state["output.weight"] = torch.zeros(10, 32)
    with pytest.raises(CheckpointError, match=r"output.weight is \(10, 32\) and should be \(5, 64\)"):
        models.create("fashion_cnn", 5, weights=saved(tmp_path / "a.pth", state), adapt=True)


def test_lenet5_keeps_the_prototypes_of_its_own_classes(tmp_path):
    file = saved(tmp_path / "a.pth", models.create("lenet5", seed=0).state_dict())
    made = models.create("lenet5", 3, weights=file, adapt=True)
    assert made.output.prototypes.shape == (3, 84)
    assert made.notes == ("The last layer, output, has fresh weights: the file is for 10 classes, the model for 3.",)


class WithAuxiliary(nn.Module):
    """The parts of GoogLeNet that matter here, by torchvision's names."""

    def __init__(self, classes, heads=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        if heads:
            self.aux1 = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, classes))
            self.aux2 = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, classes))
        self.fc = nn.Linear(4, classes)


def test_auxiliary_classifiers_may_be_left_out_and_begin_afresh(tmp_path):
    file = saved(tmp_path / "a.pth", WithAuxiliary(10).state_dict())
    notes = load(WithAuxiliary(10, heads=False), file)
    assert [note[:50] for note in notes] == [f"The auxiliary classifier aux{i} of the file was left" for i in (1, 2)]
    made = WithAuxiliary(7)
    kept = made.aux1[1].weight.clone()
    assert [note.split(",")[1] for note in load(made, file, adapt=True)] == [" aux1.1", " aux2.1", " fc"]
    assert torch.equal(made.aux1[1].weight, kept)
    assert torch.equal(made.aux1[0].weight, read(file).tensors["aux1.0.weight"])
    plain = saved(tmp_path / "b.pth", WithAuxiliary(10, heads=False).state_dict())
    with pytest.raises(CheckpointError, match=r"missing: 8 \(aux1\.0\.weight"):
        load(WithAuxiliary(10), plain)
    notes = load(WithAuxiliary(10), plain, adapt=True)
    assert notes == tuple(f"The auxiliary classifier aux{i} has fresh weights: the file has none." for i in (1, 2))


# ---------------------------------------------------------------- stems, runs and normalisation


@pytest.mark.slow
def test_the_stem_is_the_files(tmp_path):
    file = saved(tmp_path / "a.pth", models.create("resnet18", 10, 3, 64, seed=0).state_dict())
    made = models.create("resnet18", 10, 3, 28, weights=file)
    assert made.architecture.options["stem"] == "imagenet"
    assert made.architecture.text == "resnet18:stem=imagenet"
    adapted = models.create("resnet18", 5, 1, 28, weights=file, adapt=True)
    assert adapted.architecture.options["stem"] == "imagenet"
    assert len(adapted.notes) == 2


def run_of(folder, model, preprocess=None):
    """What a finished run leaves of a model."""
    header = {"architecture": model.architecture.to_dict(), "classes": ["a", "b"], "preprocess": preprocess}
    folder.mkdir()
    metadata = {"striate": json.dumps(header)}
    safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors", metadata)
    return folder


@pytest.mark.slow
def test_what_is_not_given_is_what_the_file_is_for(tmp_path, source):
    file = saved(tmp_path / "a.pth", source.state_dict())
    made = models.create("resnet20", image_size=32, weights=file)
    assert (made.architecture, made.notes) == (source.architecture, ())
    assert same(source, made)
    assert models.create("resnet20", weights=file).architecture.image_size == (28, 28)
    grey = models.create("resnet20", channels=1, weights=file, adapt=True)
    assert (grey.architecture.classes, grey.architecture.channels) == (10, 1)
    published = saved(tmp_path / "b.pth", models.create("resnet18", 12, 3, 64).state_dict())
    made = models.create("resnet18", weights=published)
    assert made.architecture.to_dict() == {
        "name": "resnet18",
        "classes": 12,
        "channels": 3,
        "image_size": [224, 224],
        "options": {"stem": "imagenet", "downsample": "v1.5", "zero_gamma": False},
    }
    dense = saved(tmp_path / "c.pth", models.create("mlp", 7).state_dict())
    assert models.create("mlp", weights=dense).architecture.classes == 7


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet_torchvision", "vgg16", "googlenet_torchvision", "googlenet", "resnet50", "mobilenet_v2", "senet154"),
        *("mobilenet_v3_large", "efficientnet_b0", "efficientnet_lite0", "convnext_tiny"),
    ],
)
def test_classes_and_channels_of_the_published_networks_are_seen(name):
    with torch.device("meta"), _Undrawn():
        theirs = models.create(name, 1000, 3, 224)
        ours = models.create(name, 10, 1, 224)
    file = WeightFile("a.pth", theirs.state_dict(), {})
    assert fits(ours, file)
    assert intended(ours, file) == (1000, 3)
    if name == "vgg16":
        assert intended(ours, WeightFile("b.pth", {"bn.weight": torch.zeros(3)}, {})) == (None, None)


@pytest.mark.slow
def test_a_runs_weights_bring_their_options(tmp_path):
    one = models.create("resnet50", 2, 1, 20, downsample="v1", stem="imagenet", seed=0)
    run = run_of(tmp_path / "run", one)
    made = models.create("resnet50", weights=run)
    assert made.architecture == one.architecture
    assert same(one, made)
    chosen = models.create("resnet50", 2, 1, 20, weights=run / "model.safetensors", downsample="v1.5")
    assert chosen.architecture.options == {"stem": "imagenet", "downsample": "v1.5", "zero_gamma": False}


def test_a_run_of_another_model_says_so(tmp_path):
    run = run_of(tmp_path / "run", models.create("fashion_cnn", 2, 1, (28, 20)))
    for name, size in (("fashion_cnn", 32), ("resnet20", 28)):
        with pytest.raises(CheckpointError, match=r"belong to fashion_cnn for 2 classes and images of 1×28×20"):
            models.create(name, 2, 1, size, weights=run)


@pytest.mark.slow
def test_published_weights_are_for_images_normalised_as_imagenets(tmp_path):
    file = saved(tmp_path / "a.pth", models.create("resnet18", 2, 3, 32, seed=0).state_dict())
    made = models.create("resnet18", 2, 3, 32, weights=file)
    assert made.normalization == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    grey = models.create("resnet18", 2, 1, 32, weights=file, adapt=True)
    assert [list(map(pytest.approx, each)) for each in grey.normalization] == [[0.449], [0.226]]
    assert models.create("resnet18").normalization is None
    small = saved(tmp_path / "b.pth", models.create("resnet20", 2, 3, 32).state_dict())
    assert models.create("resnet20", 2, 3, 32, weights=small).normalization is None, "nothing is published"


def test_a_runs_weights_are_for_images_normalised_as_its_own(tmp_path):
    run = run_of(
        tmp_path / "run", models.create("resnet20", 2, 1, 32), Preprocess(32, 32, 1, mean=(0.3,), std=(0.2,)).to_dict()
    )
    assert models.create("resnet20", 2, 1, 32, weights=run).normalization == ((0.3,), (0.2,))
    made = models.create("resnet20", 2, 3, 32, weights=run, adapt=True)
    assert made.normalization == ((0.3,) * 3, (0.2,) * 3)


def test_fresh_models_have_nothing_to_note():
    for name in ("mlp", "resnet20"):
        assert models.create(name).notes == ()
