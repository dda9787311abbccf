"""Features of training images, computed once and kept in Striate's cache."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from striate.data import Dataset
from striate.data.lazy import Images, LazyImages, applied, joined
from striate.errors import StorageError
from striate.files import CHECKSUM, cache_folder, read_regular, write_atomic
from striate.hardware import processor
from striate.inference import features_of
from striate.models import head
from striate.preprocess import Preprocess
from striate.processes import world

MOST = 10**9  # bytes of all files; the ones used longest ago go first
ENOUGH = 100  # images a class; from there on mirror images add nothing that could be told, and cost as much again
_FORMAT = 3


def cached_features(module: nn.Module, data: Dataset, preprocess: Preprocess, device: torch.device) -> list[Tensor]:
    """Features of the training images, and of their mirror images where those keep their label.

    Args:
        module: on `device`.
        data: the training data; with 100 images a class or more, mirror images are left out.
        preprocess: how images become input.
        device: where features are computed.

    Returns:
        float32 (N, features) for each view.
    """
    mirrored = data.mirror and len(data.train) < ENOUGH * len(data.classes)
    path = cache_folder() / "features" / f"{_key(module, data, preprocess, device, mirrored)}.safetensors"
    kept = _read(path)
    if all(world().gathered(kept is not None)):
        return kept or []
    images = data.train.images
    views = [images, _mirrored(images)] if mirrored else [images]
    features = features_of(module, joined(views), preprocess, device).split(len(images))
    with suppress(OSError, StorageError):  # a cache that can't be written is one that is not there
        kept = [view.contiguous() for view in features]
        tensors = {str(number): view for number, view in enumerate(kept)} | {CHECKSUM: _checksum(kept)}
        write_atomic(path, safetensors.torch.save(tensors))
        _trim(path.parent)
    return list(features)


def _read(path: Path) -> list[Tensor] | None:
    """The features in a file; `None` if there is none, or it is damaged."""
    with suppress(OSError, SafetensorError):
        found = safetensors.torch.load(read_regular(path))
        kept = [found[name] for name in sorted(found.keys() - {CHECKSUM})]
        if CHECKSUM in found and torch.equal(found[CHECKSUM], _checksum(kept)):
            path.touch()
            return kept
    return None


def _checksum(views: list[Tensor]) -> Tensor:
    """The SHA-256 of all values: uint8 (32,)."""
    digest = hashlib.sha256()
    for view in views:
        digest.update(view.contiguous().numpy().data)
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def _mirrored(images: Images) -> Images:
    if isinstance(images, LazyImages):
        return applied(lambda batch: batch.flip(2), images, images.shape[1:])
    return images.flip(2)


def _key(module: nn.Module, data: Dataset, preprocess: Preprocess, device: torch.device, mirrored: bool) -> str:
    """Digest of all that decides the features: images, weights, preprocessing, and what computes them."""
    made = [
        _FORMAT, data.fingerprint(), preprocess.to_dict(), mirrored, str(device), processor(), torch.__version__,
        torch.get_num_threads(),
    ]  # fmt: skip
    digest = hashlib.blake2b(json.dumps(made).encode(), digest_size=16)
    last = {id(parameter) for parameter in head(module).parameters()}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) in last:  # drawn anew for each data set
            continue
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digest.update(repr(module).encode())
    return digest.hexdigest()


def _trim(folder: Path) -> None:
    """Remove the files used longest ago, so that all together keep to the limit."""
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    size = 0
    for path in files:
        size += path.stat().st_size
        if size > MOST:
            path.unlink(missing_ok=True)
