"""Folders for the Hugging Face hub: timm's names and shapes, the same weights, and a card that tells what they are."""

import hashlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from trained import digits_run

import striate
from striate.errors import ArgumentError, StorageError
from striate.exporting.timm_names import for_timm, from_timm, timm_model

__all__ = ["digits_run"]

pytestmark = pytest.mark.slow

# The beginning of the SHA-256 of timm 1.0.31's `timm.create_model(name, num_classes=7).state_dict()`: a line "name
# shape" for each tensor, sorted. Logits by timm's own modules were equal to 1e-6 of the largest.
TIMM = {
    "mobilenet_v2": ("mobilenetv2_100", "c3a89e70d51a9ecf"),
    "mobilenet_v3_large": ("mobilenetv3_large_100", "eb134c4fbd97558c"),
    "efficientnet_b0": ("efficientnet_b0", "0b7aedd0a651dd51"),
    "convnext_tiny": ("convnext_tiny", "a7c5d09fe3589dcc"),
    "vgg16": ("vgg16", "5fd41a64cbdeffb1"),
    "resnet18": ("resnet18", "aa2d6b9cd72e2150"),
    "seresnet50": ("seresnet50", "fb67f3c5c9720646"),
    "efficientnet_lite0": ("tf_efficientnet_lite0", "9d16f7495def4f5c"),
}


@pytest.mark.parametrize("name", TIMM)
def test_names_and_shapes_are_timms(name: str) -> None:
    with torch.device("meta"):
        module = striate.create(name, 7, 3, 224)
    known = timm_model(module.architecture)
    assert known is not None
    theirs = for_timm(known, module.state_dict())
    lines = "\n".join(sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in theirs.items()))
    assert (known.name, hashlib.sha256(lines.encode()).hexdigest()[:16]) == TIMM[name]
    paths = {key.rpartition(".")[0] for key in theirs}
    assert {known.first_conv, known.classifier} <= paths
    ours = from_timm(known, theirs, module.state_dict())
    assert {key: each.shape for key, each in ours.items()} == {
        key: each.shape for key, each in module.state_dict().items()
    }


@pytest.mark.parametrize("name", ["resnet18:stem=small", "resnet50:downsample=v1", "resnet18:antialias=true", "lenet5"])
def test_what_timm_does_not_have_is_not_called_so(name: str) -> None:
    size = 32 if "small" in name or name == "lenet5" else 224
    with torch.device("meta"):
        assert timm_model(striate.create(name, 7, 1, size).architecture) is None


def test_the_folder_has_the_weights_and_what_they_need(tmp_path: Path) -> None:
    module = striate.create("resnet18:stem=imagenet", 3, 1, 64).eval()
    preprocess = striate.Preprocess(64, 48, 1, "stretch", (0.3,), (0.2,), interpolation="bicubic")
    made = striate.export(module, "hf", out=tmp_path / "hub", preprocess=preprocess, classes=("ant", "bee", "cat"))
    assert (made.format, made.agreement, made.max_difference, made.opset) == ("hf", 1, 0, None)
    assert made.bytes == sum(file.stat().st_size for file in made.path.iterdir())
    config = json.loads((made.path / "config.json").read_text())
    assert config["architecture"] == "resnet18"
    assert (config["num_features"], config["num_classes"]) == (512, 3)
    assert config["label_names"] == ["ant", "bee", "cat"]
    assert config["model_args"] == {"in_chans": 1}
    images = {key: config["pretrained_cfg"][key] for key in ("input_size", "interpolation", "crop_mode", "mean")}
    assert images == {"input_size": [1, 64, 48], "interpolation": "bicubic", "crop_mode": "squash", "mean": [0.3]}
    kept = safetensors.torch.load_file(made.path / "model.safetensors")
    for name, tensor in module.state_dict().items():
        assert torch.equal(kept[name], tensor)


def test_the_card_tells_what_a_reader_asks(digits_run: striate.Run) -> None:
    made = striate.export(digits_run, "hf")
    assert made.path == digits_run.path / "hf"
    text = (made.path / "README.md").read_text()
    result = digits_run.result or {}
    for told in (
        f"{100 * result['accuracy']:.2f} % of {result['n']:,} test images (95 % interval",
        "Trained on digits, recipe",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        "8×8 pixels, grey.",
        "library_name: striate",
        "No licence was chosen",
        f"Divide logits by {digits_run.calibrations()['none'].temperature:.4g}",
    ):
        assert told in text
    assert str(digits_run.path) not in text
    config = json.loads((made.path / "config.json").read_text())
    assert "architecture" not in config
    assert config["striate"]["model"] == "mlp"
    module = striate.create("mlp", 10, 1, 8, weights=made.path / "model.safetensors")
    pixels = digits_run.preprocess.normalize(torch.zeros(1, 8, 8, 1, dtype=torch.uint8))
    with torch.inference_mode():
        assert torch.equal(module.eval()(pixels), digits_run.model()(pixels))


def test_weights_that_began_as_published_ones_keep_their_licence() -> None:
    from striate.exporting import hugging_face
    from striate.runs import Trained

    module = striate.create("efficientnet_lite0", 2, 3, 64)
    module.normalization = ((0.5,) * 3, (0.5,) * 3)
    trained = Trained.of(
        module, preprocess=striate.Preprocess(64, 64, 3, mean=(0.5,) * 3, std=(0.5,) * 3), classes=("a", "b")
    )
    licence, origin = hugging_face._licence(trained)
    assert licence == "apache-2.0"
    assert "efficientnet" in origin


def test_what_does_not_fit_is_said(digits_run: striate.Run, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="leave out int8 and input"):
        striate.export(digits_run, "hf", int8=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't write"):
        striate.export(digits_run, "hf", out=tmp_path / "file" / "hub")
