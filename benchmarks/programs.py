"""Peers, and programs that train to an accuracy; a line here adds another."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """Library with an environment of its own.

    Args:
        name: of its environment and in keys; "striate" is ours.
        title: its name in tables.
        module: its worker.
        packages: the distributions whose versions are reported.
        imports: the import statement its users begin with.
        environment: environment variables of its processes.
    """

    name: str
    title: str
    module: str
    packages: tuple[str, ...]
    imports: str
    environment: dict[str, str] = field(default_factory=dict, hash=False)


OURS = Peer(
    "striate",
    "Striate",
    "benchmarks.workers.striate_peer",
    ("torch", "numpy", "pillow", "simplejpeg"),
    "import striate",
)
TENSORFLOW = Peer(
    "keras-tensorflow",
    "Keras on TensorFlow",
    "benchmarks.workers.keras_peer",
    ("keras", "tensorflow-cpu"),
    "import keras",
    {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
)
JAX = Peer(
    "keras-jax",
    "Keras on JAX",
    "benchmarks.workers.keras_peer",
    ("keras", "jax", "jaxlib"),
    "import keras",
    {"KERAS_BACKEND": "jax"},
)
PYTORCH = Peer(
    "pytorch", "plain PyTorch", "benchmarks.workers.pytorch_peer", ("torch", "numpy", "pillow"), "import torch"
)
FLAX = Peer(
    "flax", "Flax NNX", "benchmarks.workers.flax_peer", ("flax", "jax", "jaxlib", "optax"), "from flax import nnx"
)
SKLEARN = Peer(
    "scikit-learn",
    "scikit-learn's MLP",
    "benchmarks.workers.sklearn_peer",
    ("scikit-learn", "numpy"),
    "import sklearn.neural_network",
)
NETWORKED = (OURS, TENSORFLOW, JAX, PYTORCH, FLAX)  # those that can train our networks
PEERS = (*NETWORKED, SKLEARN)
LOADERS = (OURS, PYTORCH)  # those that load folders


@dataclass(frozen=True)
class Program:
    """Training program for a data set, run with the seeds 0, 1, …

    Args:
        peer: the library that runs it.
        data: "fashion-mnist" or "mnist".
        title: its name in tables, unique for a data set.
        seeds: their number.
        arguments: of its worker's `program`, besides the seed.
        quick: whether `make bench-quick` runs it.
    """

    peer: Peer
    data: str
    title: str
    seeds: int
    arguments: dict[str, Any] = field(hash=False)
    quick: bool = False


def by(peer: Peer, name: str, data: str, title: str, epochs: int, seeds: int = 5, quick: bool = False) -> Program:
    """Program of a peer; `name`: the program's name in its worker."""
    return Program(peer, data, f"{peer.title}, {title}", seeds, {"name": name, "epochs": epochs}, quick)


def ours(model: str, recipe: str, data: str, seeds: int = 5, quick: bool = False, **settings: Any) -> Program:
    """Program of Striate: training of a model with a recipe, which `settings` change."""
    changed = [f"{name}={value}" for name, value in settings.items()]
    title = ", ".join([f"Striate {model}", recipe, *changed])
    arguments = {"data": data, "model": model, "named": recipe, "settings": settings}
    return Program(OURS, data, title, seeds, arguments, quick)


FASHION, DIGITS = "fashion-mnist", "mnist"
PROGRAMS = (
    ours("quicknet_s", "fast", FASHION, seeds=10, epochs=1, quick=True),
    ours("quicknet_s", "fast", FASHION, seeds=10, epochs=2),
    ours("quicknet_s", "fast", FASHION, seeds=5, epochs=4),
    ours("quicknet_m", "fast", FASHION, seeds=3, epochs=6),
    ours("quicknet_l", "fast", FASHION, seeds=1, epochs=42, augment="flip,shift=0.08,erase=0.3"),
    ours("fashion_cnn", "modern", FASHION, seeds=3, epochs=2),
    by(TENSORFLOW, "textbook", FASHION, "the textbook's program", epochs=10, seeds=3),
    by(JAX, "textbook", FASHION, "the textbook's program", epochs=10, seeds=1),
    by(PYTORCH, "example", FASHION, "its MNIST example", epochs=14, seeds=3, quick=True),
    by(FLAX, "tutorial", FASHION, "its MNIST tutorial", epochs=10, seeds=3),
    by(SKLEARN, "mlp", FASHION, "as it comes", epochs=20, seeds=3, quick=True),
    ours("quicknet_s", "fast", DIGITS, steps="120"),
    ours("quicknet_s", "fast", DIGITS, epochs=2),
    ours("lenet5_modern", "modern", DIGITS, epochs=2),
    by(TENSORFLOW, "convnet", DIGITS, "keras.io's convnet", epochs=15),
    by(JAX, "convnet", DIGITS, "keras.io's convnet", epochs=15),
    by(PYTORCH, "example", DIGITS, "its MNIST example", epochs=14),
    by(FLAX, "tutorial", DIGITS, "its MNIST tutorial", epochs=10),
    by(SKLEARN, "mlp", DIGITS, "as it comes", epochs=20, seeds=3),
)
TARGETS = {FASHION: (0.90, 0.92, 0.93, 0.94, 0.95), DIGITS: (0.99, 0.995)}
TEXTBOOK = next(each for each in PROGRAMS if each.arguments.get("name") == "textbook")
