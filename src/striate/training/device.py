"""Which device a model runs on."""

import torch

from striate.errors import ArgumentError

DEVICES = ("auto", "cpu", "cuda")


def pick(name: str = "auto") -> torch.device:
    """The device for "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        ArgumentError: for another name, or for "cuda" where PyTorch finds no GPU.
    """
    if name not in DEVICES:
        raise ArgumentError(f"device '{name}': use one of {', '.join(DEVICES)}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ArgumentError("device 'cuda': PyTorch finds no GPU here; use --device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
