"""Names that timm gives to architectures and to their weights.

timm builds the same networks: of most the weights have the same names, of torchvision's mobile networks, ConvNeXt and
VGG others. The numbers of blocks are those of the papers' tables, which both follow.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from striate.models import Architecture

Renaming = Callable[[str], str]


@dataclass(frozen=True)
class TimmModel:
    """An architecture as timm knows it.

    Args:
        name: for `timm.create_model`.
        first_conv, classifier: the paths of its first and last layer.
        renamed: a weight's name there, from ours.
        arguments: of `timm.create_model`, where its default is another network.
    """

    name: str
    first_conv: str
    classifier: str
    renamed: Renaming = str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def timm_model(architecture: Architecture) -> TimmModel | None:
    """The architecture in timm; `None` if timm does not have it, or not with these options."""
    plain = {"stem": "imagenet", "downsample": "v1.5", "antialias": False}
    own = {key: architecture.options[key] for key in plain if key in architecture.options}
    return _MODELS.get(architecture.name) if all(plain[key] == value for key, value in own.items()) else None


def for_timm(model: TimmModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by timm's names and in its shapes."""
    return {name: _shaped(model, name, tensor) for name, tensor in ((model.renamed(n), t) for n, t in tensors.items())}


def from_timm(model: TimmModel, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by our names and in our shapes, those of `own`, from what `for_timm` gave."""
    return {name: tensors[model.renamed(name)].reshape(like.shape) for name, like in own.items()}


def _shaped(model: TimmModel, name: str, tensor: Tensor) -> Tensor:
    """The tensor as timm's layer has it: some dense layers are convolutions there, and scales have no sides."""
    if name.endswith(".gamma"):
        return tensor.flatten()
    if name == "pre_logits.fc1.weight":  # VGG: over the last 7×7 maps
        return tensor.reshape(len(tensor), -1, 7, 7)
    if name in ("pre_logits.fc2.weight", "conv_head.weight") and tensor.ndim == 2:
        return tensor[:, :, None, None]
    return tensor


_EXPANDED = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
_FIRST = ("conv_dw", "bn1", "conv_pw", "bn2")


def _mobilenet_v2(name: str) -> str:
    stages = _places((1, 2, 3, 4, 3, 3, 1))
    if block := re.fullmatch(r"features\.(\d+)\.conv\.(\d)(?:\.(\d))?\.(\w+)", name):
        number, part, inner, leaf = int(block[1]), int(block[2]), block[3], block[4]
        layers = _FIRST if number == 1 else _EXPANDED
        # The projection is a bare convolution, with its normalisation beside it.
        place = part + len(layers) // 2 - 1 if inner is None else 2 * part + int(inner)
        return f"blocks.{stages[number - 1]}.{layers[place]}.{leaf}"
    return _ends(name, last=18, classifier="classifier.1")


def _mobilenet_v3(name: str) -> str:
    stages = _places((1, 2, 3, 4, 2, 3))
    if block := re.fullmatch(r"features\.(\d+)\.block\.(.+)", name):
        number = int(block[1])
        squeezed = number in (4, 5, 6, 11, 12, 13, 14, 15)
        return f"blocks.{stages[number - 1]}.{_in_block(block[2], number == 1, squeezed)}"
    name = name.replace("features.16.0.", "blocks.6.0.conv.").replace("features.16.1.", "blocks.6.0.bn1.")
    return _ends(name.replace("classifier.0.", "conv_head."), last=None, classifier="classifier.3")


def _efficientnet_b0(name: str) -> str:
    if block := re.fullmatch(r"features\.(\d+)\.(\d+)\.block\.(.+)", name):
        stage = int(block[1]) - 1
        return f"blocks.{stage}.{block[2]}.{_in_block(block[3], stage == 0, squeezed=True)}"
    return _ends(name, last=8, classifier="classifier.1")


def _in_block(rest: str, first: bool, squeezed: bool) -> str:
    """The name within a block: convolutions with their normalisation, and the squeeze before the last of them."""
    part, inner, *leaf = rest.split(".")
    if inner in ("fc1", "fc2"):
        return ".".join(("se", {"fc1": "conv_reduce", "fc2": "conv_expand"}[inner], *leaf))
    layers = _FIRST if first else _EXPANDED
    before = int(part) - (squeezed and int(part) == len(layers) // 2)
    return ".".join((layers[2 * before + int(inner)], *leaf))


def _ends(name: str, last: int | None, classifier: str) -> str:
    """The names of the first convolution, of the last one, which has number `last`, and of the classifier."""
    ends = {"features.0.0": "conv_stem", "features.0.1": "bn1", classifier: "classifier"}
    if last is not None:
        ends |= {f"features.{last}.0": "conv_head", f"features.{last}.1": "bn2"}
    path, _, leaf = name.rpartition(".")
    return f"{ends.get(path, path)}.{leaf}"


def _places(repeats: tuple[int, ...]) -> list[str]:
    """Stage and place of each block, counted through the stages."""
    return [f"{stage}.{place}" for stage, count in enumerate(repeats) for place in range(count)]


def _convnext(name: str) -> str:
    name = re.sub(r"^features\.0\.", "stem.", name)
    if block := re.fullmatch(r"features\.(\d)\.(\d+)\.(?:block\.(\d)\.)?(\w+)", name):
        group, number, part, leaf = int(block[1]), block[2], block[3], block[4]
        stage = (group - 1) // 2
        if group % 2 == 0:
            return f"stages.{group // 2}.downsample.{number}.{leaf}"
        layer = {"0": "conv_dw", "2": "norm", "3": "mlp.fc1", "5": "mlp.fc2"}.get(part or "", "")
        return f"stages.{stage}.blocks.{number}.{f'{layer}.{leaf}' if layer else 'gamma'}"
    return name.replace("classifier.0.", "head.norm.").replace("classifier.2.", "head.fc.")


def _vgg(name: str) -> str:
    dense = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    path, _, leaf = name.rpartition(".")
    return f"{dense.get(path, path)}.{leaf}"


_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "seresnet50")
_MODELS = {
    **{name: TimmModel(name, "conv1", "fc") for name in _RESNETS},
    "senet154": TimmModel("senet154", "conv1.0", "fc"),
    **{
        f"efficientnet_lite{number}": TimmModel(f"tf_efficientnet_lite{number}", "conv_stem", "classifier")
        for number in range(5)
    },
    "mobilenet_v2": TimmModel("mobilenetv2_100", "conv_stem", "classifier", _mobilenet_v2),
    "mobilenet_v3_large": TimmModel(
        "mobilenetv3_large_100", "conv_stem", "classifier", _mobilenet_v3, {"bn_eps": 0.001}
    ),
    "efficientnet_b0": TimmModel("efficientnet_b0", "conv_stem", "classifier", _efficientnet_b0),
    "convnext_tiny": TimmModel("convnext_tiny", "stem.0", "head.fc", _convnext),
    "vgg16": TimmModel("vgg16", "features.0", "head.fc", _vgg),
}
