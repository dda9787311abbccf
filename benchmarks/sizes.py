"""How much of everything is measured: all of it, what fits into ten minutes, or just enough to see that it runs."""

from dataclasses import dataclass, field

NETWORKS = ("fashion_cnn", "lenet5_modern", "resnet18:stem=small")
BATCHES = (32, 128)


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        rounds: in how many rounds the peers take turns.
        networks, batches: what throughput is measured of.
        train_seconds, infer_seconds: how long a measurement of throughput takes at least.
        untimed: steps before the clock starts, in each measurement.
        classified: images that a network classifies in one go, by its name; what is not named takes `usual`.
        latencies: how often one image is classified.
        side, products: the matrices of the yardstick, and how many products make one measurement of it.
        quick_programs: whether only the programs that are marked so train to an accuracy.
        seeds: the most seeds a program is run with.
        limit: after how many seconds of training a peer's program ends at its next check.
        images: how many images programs are trained and tested with at most.
        pictures, picture_epochs: how many JPEGs the folder holds, and how often it is passed over.
        startups: how often a program is started.
        memory_seconds: how long a network is trained until the memory is asked for.
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
        memory_seconds=0.1,
    ),
}
