"""Sizes of a benchmark run: full, quick (ten minutes), smoke (checks only that everything runs)."""

import math
from dataclasses import dataclass, field

NETWORKS = ("fashion_cnn", "lenet5_modern", "resnet18:stem=small")
BATCHES = (32, 128)


@dataclass(frozen=True)
class Size:
    """Size of a benchmark run.

    Args:
        rounds: number of rounds.
        networks, batches: networks and batch sizes of the throughput measurements.
        train_seconds, infer_seconds: least time of a throughput measurement.
        untimed: steps before the clock starts, in each measurement.
        classified: images that a network classifies in one call, by its name; `usual` for the others.
        latencies: repetitions of the classification of one image.
        side, products: side of the matrices of the reference matmul rate, and products in one measurement of it.
        quick_programs: run only the programs marked `quick`.
        seeds: the most seeds of a program.
        limit: seconds of training after which a peer's program ends at its next check.
        images: the most training and test images of a program.
        pictures, picture_epochs: JPEGs in the folder, and epochs over it.
        startups: repetitions of each start, and of each whole command.
        command_data: what the whole commands train on.
        patience: goals of whole trainings that may take longer are left out, seconds.
        memory_seconds: training time before the peak memory is read.
    """

    rounds: int = 5
    networks: tuple[str, ...] = NETWORKS
    batches: tuple[int, ...] = BATCHES
    train_seconds: float = 8.0
    infer_seconds: float = 4.0
    untimed: int = 3
    classified: dict[str, int] = field(default_factory=lambda: {"lenet5_modern": 10_000, "resnet18:stem=small": 512})
    usual: int = 2048
    latencies: int = 200
    side: int = 2048
    products: int = 10
    quick_programs: bool = False
    seeds: int = 10
    limit: float | None = None
    images: int | None = None
    pictures: int = 3000
    picture_epochs: int = 3
    startups: int = 7
    command_data: str = "fashion-mnist"
    patience: float = math.inf
    memory_seconds: float = 20.0


SIZES = {
    "full": Size(),
    "quick": Size(
        rounds=1,
        networks=("fashion_cnn", "lenet5_modern"),
        batches=(128,),
        train_seconds=2,
        infer_seconds=1,
        untimed=1,
        usual=512,
        latencies=50,
        products=3,
        quick_programs=True,
        seeds=1,
        limit=10,
        images=20_000,
        pictures=400,
        startups=1,
        patience=25.0,
        memory_seconds=2,
    ),
    "smoke": Size(
        rounds=1,
        networks=("lenet5_modern",),
        batches=(32,),
        train_seconds=0.1,
        infer_seconds=0.1,
        untimed=1,
        classified={},
        usual=64,
        latencies=2,
        side=256,
        products=2,
        seeds=1,
        limit=0.1,
        images=640,
        pictures=20,
        picture_epochs=2,
        startups=1,
        command_data="digits",
        patience=10.0,
        memory_seconds=0.1,
    ),
}
