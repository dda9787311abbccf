"""Loading a folder of JPEGs as in PyTorch's data tutorial: a Dataset that opens files with Pillow, a DataLoader."""

import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.workers import serving

MEAN = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
STD = torch.tensor((0.229, 0.224, 0.225))[:, None, None]


class Folder(Dataset):
    """Images with one folder a class: float32 (3, side, side), resized by Pillow's bilinear filter, normalised."""

    def __init__(self, root: str, side: int):
        classes = sorted(path for path in Path(root).iterdir() if path.is_dir())
        self.samples = [(path, label) for label, folder in enumerate(classes) for path in sorted(folder.iterdir())]
        self.side = side

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        image = Image.open(path).convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
        return (pixels - MEAN) / STD, label


def folder(path: str, side: int, batch: int, epochs: int, processes: int, memory: int) -> dict[str, object]:
    """Seconds of each epoch; the first includes listing the folder, and each the start of the worker processes."""
    serving.take_memory(memory)
    times: list[float] = []
    loader = None
    for _ in range(epochs):
        began = time.perf_counter()
        if loader is None:
            loader = DataLoader(Folder(path, side), batch_size=batch, shuffle=True, num_workers=processes)
        seen = sum(len(images) for images, _ in loader)
        times.append(time.perf_counter() - began)
    return {"seconds": times, "images": seen}
