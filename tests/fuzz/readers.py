"""Fuzz targets: the readers of files that come from elsewhere."""

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import safetensors.torch
import torch
from fuzz.harness import Target
from fuzz.mutations import mutated
from hypothesis import strategies as st
from PIL import Image, features
from torch import Tensor, nn

from striate import models
from striate.data.images.decode import decode, header
from striate.data.images.prepare import prepare
from striate.data.sources import mnist
from striate.data.sources.tar_samples import Shard, read_shard
from striate.models.weights.load import load
from striate.preprocess import Preprocess

# ---------------------------------------------------------------- images


def _image(kind: str, mode: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    deep = mode in ("I;16", "F")
    values = (
        (noise[:, :, 0].astype(np.uint16) * 257 if mode == "I;16" else noise[:, :, 0] / np.float32(255))
        if deep
        else noise
    )
    file = io.BytesIO()
    (Image.fromarray(values) if deep else Image.fromarray(values).convert(mode)).save(file, kind, **options)
    return file.getvalue()


_EXIF = Image.Exif()
_EXIF[0x0112] = 6
IMAGES: dict[str, list[bytes]] = {
    "PNG": [_image("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    + [_image("PNG", "RGB", exif=_EXIF, icc_profile=bytes(300)), _image("PNG", "L", transparency=7)],
    "JPEG": [_image("JPEG", mode) for mode in ("L", "RGB", "CMYK")]
    + [_image("JPEG", "RGB", progressive=True), _image("JPEG", "RGB", exif=_EXIF)],
    "GIF": [_image("GIF", "P"), _image("GIF", "L", transparency=3)],
    "BMP": [_image("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")] + [_image("DIB", "RGB")],
    "PNM": [_image("PPM", mode) for mode in ("1", "L", "RGB", "I;16", "F")],
    "TIFF": [_image("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F")]
    + [_image("TIFF", "RGB", compression=kind) for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")],
    "WebP": [_image("WEBP", "RGB"), _image("WEBP", "RGBA", lossless=True), _image("WEBP", "RGB", exif=_EXIF)],
}
if features.check("avif"):
    IMAGES["AVIF"] = [_image("AVIF", "RGB"), _image("AVIF", "RGBA", exif=_EXIF)]

_INPUT = Preprocess(8, 8, 3, mean=(0.0,) * 3, std=(1.0,) * 3)


def _read_image(content: bytes, folder: Path) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    path = folder / "image"
    path.write_bytes(content)
    pixels = decode(path)
    return header(path), pixels, prepare(path, _INPUT)


def _wrong_image(content: bytes, result: tuple[tuple[int, ...], np.ndarray, np.ndarray]) -> str:
    (width, height, channels, _), pixels, prepared = result
    if pixels.dtype != np.uint8 or prepared.shape != (8, 8, 3):
        return f"{pixels.dtype}, {prepared.shape}"
    late = content.startswith(b"\x89PNG") and b"eXIf" in content  # an orientation that comes after the pixels
    if pixels.shape != (height, width, channels) and not (late and pixels.shape == (width, height, channels)):
        return f"the header says {(height, width, channels)}, the pixels are {pixels.shape}"
    return ""


def _wrong_png(content: bytes, result: tuple[tuple[int, ...], np.ndarray, np.ndarray]) -> str:
    """Every chunk of a PNG has its checksum, so that all pixels are those of one of the valid files."""
    known = any(np.array_equal(result[1], pixels) for pixels in _PIXELS)
    return _wrong_image(content, result) or ("" if known else "changed pixels")


_PIXELS = [turned for valid in IMAGES["PNG"] for turned in (decode(valid), np.rot90(decode(valid)))]


# ---------------------------------------------------------------- data sets


def _idx(shape: tuple[int, ...]) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()


_IDX = [_idx((5, 4, 3)), gzip.compress(_idx((5, 4, 3)), mtime=0), gzip.compress(_idx((0, 4, 3)), mtime=0)]


def _read_idx(content: bytes, folder: Path) -> Tensor:
    (folder / "images").write_bytes(content)
    return mnist.read(folder / "images", 3, size=len(_idx((5, 4, 3))))


def _wrong_idx(content: bytes, result: Tensor) -> str:
    whole = gzip.GzipFile(fileobj=io.BytesIO(content)).read() if content.startswith(b"\x1f\x8b") else content
    same = result.numpy().tobytes() == whole[16:] and whole[4:16] == struct.pack(">3I", *result.shape)
    return "" if same else f"shape {tuple(result.shape)} of {len(whole)} bytes"


def _tar(form: int, *, packed: bool = False) -> bytes:
    stream = io.BytesIO()
    about = {"version": 1, "classes": ["cats", "dogs"], "split": "train", "shards": 1}
    members = {"__striate__": json.dumps(about).encode()} if packed else {}
    for number in range(3):
        members[f"cats/{number}.png"] = IMAGES["PNG"][4]
        members[f"cats/{number}.cls" if number else "cats/0.json"] = b"1" if number else b'{"label": 1}'
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if packed and name.endswith(".png"):
                member.pax_headers = {"comment": "a/b.png"}
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


_TARS = [
    _tar(tarfile.PAX_FORMAT),
    _tar(tarfile.GNU_FORMAT),
    _tar(tarfile.USTAR_FORMAT),
    _tar(tarfile.PAX_FORMAT, packed=True),
]


def _read_shard(content: bytes, folder: Path) -> Shard:
    (folder / "train-0.tar").write_bytes(content)
    return read_shard(folder / "train-0.tar")


def _wrong_shard(content: bytes, result: Shard) -> str:
    image_refs, _, labels = result.samples
    for place, label in zip(image_refs, labels, strict=True):
        if place.length is None or place.offset < 0 or place.offset + place.length > len(content):
            return f"{place.name} lies outside the file"
        if not (isinstance(label, str) or label >= 0):
            return f"label {label}"
    return ""


# ---------------------------------------------------------------- weights


def _network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    return network.eval()


_WEIGHTS = _network().state_dict()


def _pickled(value: Any, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


# An error names the model that the weights may be for; looking for it makes all models, which takes seconds.
_UNRECOGNISED = mock.patch("striate.models.weights.load.likely", return_value=None)
_CHECKPOINT = {"state_dict": {f"module.{name}": tensor for name, tensor in _WEIGHTS.items()}, "epoch": 3}
_HEADER = json.dumps({"architecture": None, "classes": ["a", "b"], "preprocess": _INPUT.to_dict()})
_SAFE = [safetensors.torch.save(_WEIGHTS), safetensors.torch.save(_WEIGHTS, {"striate": _HEADER})]


def _load(content: bytes, folder: Path) -> nn.Module:
    (folder / "weights").write_bytes(content)
    network = _network()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    with _UNRECOGNISED:
        load(network, folder / "weights", adapt=True)
    return network


def _wrong_network(content: bytes, network: nn.Module) -> str:
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        return "weights that are no numbers"
    return "" if (network[1].running_var >= 0).all() else "negative variances"


def _wrong_checked_network(content: bytes, network: nn.Module) -> str:
    """A zip file has a checksum, so that all weights are those that were saved."""
    fresh = {"3.weight", "3.bias"}  # of a head that is missing
    changed = [
        name
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, _WEIGHTS[name]) and not (name in fresh and not tensor.any())
    ]
    return f"changed: {', '.join(changed)}" if changed else ""


_NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none()
_JSON = st.recursive(_NUMBERS | st.text(max_size=8), lambda inner: st.lists(inner, max_size=4), max_leaves=8)
_ARCHITECTURE = {"name": "mlp", "classes": 2, "channels": 1, "image_size": [8, 8], "options": {}}


@st.composite
def _headers(draw: st.DrawFn) -> str:
    """Striate's metadata with some of their values replaced, or text that is no JSON."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(["[" * 10**5, '{"a":' * 10**5, "", "null", "1e999"]) | st.text(max_size=20))
    header: dict[str, Any] = {
        "architecture": dict(_ARCHITECTURE), "classes": ["a", "b"], "preprocess": _INPUT.to_dict()
    }  # fmt: skip
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.sampled_from([header, header["architecture"], header["preprocess"]]))
        if isinstance(part, dict):
            key = draw(st.sampled_from(sorted(part)))
            part[key] = draw(_JSON)
    return json.dumps(header)


def _create(header: str, folder: Path) -> nn.Module:
    path = folder / "weights"
    state = models.create("mlp", 2, 1, 8, seed=0).state_dict()
    path.write_bytes(safetensors.torch.save(state, {"striate": header}))
    with _UNRECOGNISED:
        return models.create("mlp", weights=path)


def _wrong_model(header: str, model: nn.Module) -> str:
    mean, std = vars(model)["normalization"] or ((0.0,), (1.0,))
    return "" if np.isfinite([*mean, *std]).all() and min(std) > 0 else f"normalisation {mean}, {std}"


def _strange() -> list[Any]:
    return [
        torch.ones(2), torch.ones(2, 2).to_sparse(), torch.empty(2, device="meta"),
        torch.ones(2, dtype=torch.complex64), torch.tensor(torch.nan), torch.ones(1).expand(10**6, 10**6),
        torch.ones(0), torch.ones(2, dtype=torch.bool),
        torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.int64), 3, "text", None, [torch.ones(2)],
    ]  # fmt: skip


_KEYS = st.sampled_from(
    ["weight", "bias", "module.weight", "net.bias", "ema", "state_dict", "", ".", "/", 3, None, (1,)]
)
_VALUES = st.integers(0, len(_strange()) - 1)
_BOTH = st.fixed_dictionaries({"weight": _VALUES, "bias": st.just(0)})
_DICTIONARIES = st.recursive(_VALUES, lambda inner: st.dictionaries(_KEYS, inner, max_size=4), max_leaves=10)


def _realized(value: Any, leaves: list[Any]) -> Any:
    """Put values in the place of their numbers."""
    if isinstance(value, dict):
        return {key: _realized(inner, leaves) for key, inner in value.items()}
    return leaves[value]


def _load_strange(value: Any, folder: Path) -> nn.Module:
    torch.save(_realized(value, _strange()), folder / "weights")
    layer = nn.BatchNorm1d(2, track_running_stats=False)
    with _UNRECOGNISED:
        load(layer, folder / "weights", adapt=True)
    return layer


def _not_ones(value: Any, layer: nn.Module) -> str:
    return "" if all(torch.equal(each, torch.ones(2)) for each in layer.state_dict().values()) else "changed"


TARGETS = (
    *(
        Target(f"image {kind}", mutated(valid), _read_image, _wrong_png if kind == "PNG" else _wrong_image)
        for kind, valid in IMAGES.items()
    ),
    Target("IDX", mutated(_IDX), _read_idx, _wrong_idx),
    Target("tar shard", mutated(_TARS), _read_shard, _wrong_shard),
    Target("safetensors", mutated(_SAFE), _load, _wrong_network),
    Target("safetensors header", _headers(), _create, _wrong_model),
    Target("pth", mutated([_pickled(_CHECKPOINT, zipped=True)]), _load, _wrong_checked_network),
    Target("pth, old format", mutated([_pickled(_CHECKPOINT, zipped=False)]), _load, _wrong_network),
    Target("pth, strange content", _BOTH | _DICTIONARIES, _load_strange, _not_ones),
)
