"""README.md says what is measured, and how: with the numbers that are really used."""

from pathlib import Path

import pytest

from benchmarks.parts import PARTS, folder
from benchmarks.parts.throughput import parameters
from benchmarks.programs import PROGRAMS, TARGETS
from benchmarks.sizes import NETWORKS, SIZES
from benchmarks.workers import serving

TEXT = " ".join((Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8").split())
FULL = SIZES["full"]


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_have_the_parameters_it_says(network: str) -> None:
    assert f"| `{network}` | {parameters(network):,} |" in TEXT


def test_sizes_are_those_it_says() -> None:
    assert f"first {serving.FULL_BATCHES:,} images" in TEXT
    assert f"until {FULL.train_seconds:g} seconds are over" in TEXT
    assert f"as often as {FULL.infer_seconds:g} seconds take" in TEXT
    assert f"({FULL.usual:,}; {FULL.classified['lenet5_modern']:,} for LeNet-5, " in TEXT
    assert f"{FULL.classified['resnet18:stem=small']} for the ResNet)" in TEXT
    assert f"median of {FULL.latencies};" in TEXT
    assert f"matrices of {FULL.side}×{FULL.side}" in TEXT
    assert f"{FULL.pictures:,} photograph-like JPEGs of {folder.WIDTH}×{folder.HEIGHT}" in TEXT
    assert f"batches of {folder.BATCH}." in TEXT
    assert "`DataLoader` with a worker process for each thread" in TEXT
    assert f"median of {FULL.startups}," in TEXT
    assert f"for {FULL.memory_seconds:g} seconds" in TEXT


def test_every_part_is_named() -> None:
    assert f"some of the parts: {', '.join(PARTS)}" in TEXT


def test_all_batches_are_full() -> None:
    assert serving.FULL_BATCHES <= 60_000
    assert not any(serving.FULL_BATCHES % batch for size in SIZES.values() for batch in size.batches)


def test_peers_programs_have_the_epochs_it_says() -> None:
    epochs = {each.arguments["name"]: each.arguments["epochs"] for each in PROGRAMS if "name" in each.arguments}
    assert epochs == {"textbook": 10, "example": 14, "tutorial": 10, "mlp": 20, "convnet": 15}
    for said in (
        "10 epochs, on 55,000",
        "15 epochs, on 54,000",
        "64, 14 epochs",
        "ten whole epochs",
        "comes, 20 epochs",
    ):
        assert said in TEXT
    assert all(each.data in TARGETS for each in PROGRAMS)
