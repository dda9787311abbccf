"""What a run was made with: versions, machine, threads."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.hardware import cores
from striate.version import __version__


def environment(device: torch.device) -> dict[str, Any]:
    """Plain values that name the software and the machine."""
    return {
        "striate": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


def processor() -> str:
    """The processor's name, with the vector instructions PyTorch uses on it."""
    name = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        lines = [line for line in listing.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
