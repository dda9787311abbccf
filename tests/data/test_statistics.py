"""What is gathered of images as they pass."""

import hashlib

import numpy as np
import pytest
import torch

from striate.data import Dataset, LazyImages, Split, statistics
from striate.data.statistics import (
    ImageStatistics,
    RunningStatistics,
    fingerprint_of,
    metadata_digest,
    power_sums_of,
    statistics_of,
)

CLASSES = ("a", "ß")
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (11, 3, 4, 3), dtype=np.uint8))
LABELS = torch.arange(11) % 2


def by_hand(classes: tuple[str, ...], images: torch.Tensor, labels: torch.Tensor) -> str:
    """What runs have been filed under since the first version."""
    content = repr((classes, tuple(images.shape))).encode() + images.numpy().tobytes() + labels.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("chunk", [1, 36, 100, 10**6])
@pytest.mark.parametrize("lazy", [False, True])
def test_fingerprint_and_power_sums_are_the_same_in_chunks_of_any_size(
    lazy: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_CHUNK_BYTES", chunk)
    images = LazyImages(IMAGES.shape, lambda at: IMAGES[torch.from_numpy(at)]) if lazy else IMAGES
    expected = by_hand(CLASSES, IMAGES, LABELS)
    assert fingerprint_of(CLASSES, images, LABELS) == expected
    assert Dataset("here", CLASSES, Split(images, LABELS)).fingerprint() == expected
    assert statistics_of(CLASSES, images, LABELS).fingerprint == expected
    levels = IMAGES.reshape(-1, 3).long()
    sums = torch.stack([levels**power for power in range(3)]).sum(dim=1)
    assert np.array_equal(power_sums_of(images), sums)
    assert np.array_equal(Split(images, LABELS).power_sums(), sums)


def test_what_is_known_is_used_only_of_the_same_classes_and_labels() -> None:
    gathered = RunningStatistics(CLASSES, IMAGES.shape, LABELS)
    for chunk in IMAGES.split(4):
        gathered.add(chunk.numpy())
    stats = ImageStatistics.from_dict(gathered.statistics().to_dict())
    assert stats.fingerprint == by_hand(CLASSES, IMAGES, LABELS)
    assert np.array_equal(stats.sums, power_sums_of(IMAGES))
    other = ImageStatistics(stats.sums, "what was gathered", stats.metadata)
    for classes, labels, is_used in [
        (CLASSES, LABELS, True),
        (("b", "ß"), LABELS, False),
        (CLASSES, 1 - LABELS, False),
    ]:
        found = Dataset("here", classes, Split(IMAGES, labels, stats=other)).fingerprint()
        assert found == ("what was gathered" if is_used else by_hand(classes, IMAGES, labels))


def test_names_differ_with_all_they_stand_for() -> None:
    shape = IMAGES.shape
    names = {
        metadata_digest(CLASSES, shape, LABELS),
        metadata_digest(("a", "b"), shape, LABELS),
        metadata_digest(CLASSES, (11, 4, 3, 3), LABELS),
        metadata_digest(CLASSES, shape, 1 - LABELS),
    }
    assert len(names) == 4
