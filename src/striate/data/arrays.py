"""Conversion of arrays, tensors and PyTorch data sets to images and labels."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from striate.data.images.decode import upright
from striate.errors import ArgumentError, DataError, unknown
from striate.units import listed

Layout = Literal["NHW", "NHWC", "NCHW"]
_MOST_UNNAMED = 10_000  # classes that are numbered and not named, unless there are as many images
LAYOUTS: tuple[Layout, ...] = ("NHW", "NHWC", "NCHW")


def pixel_batch(images: Any, layout: Layout | None = None) -> Tensor:
    """Convert images of any common layout and type to pixel values.

    Args:
        images: an array, a tensor, or a sequence of arrays, tensors or PIL images of one size: (N, H, W),
            (N, H, W, C) or (N, C, H, W), with C 1 or 3. Integers are intensities in 0 … 255, floating-point
            numbers in 0 … 1, and booleans black and white.
        layout: which of the three; needed only where the shape could mean two of them.

    Returns:
        uint8 (N, H, W, C). The memory is shared with `images` where nothing has to be converted.

    Raises:
        ArgumentError: for an unknown layout, or a shape that could mean two and no layout given.
        DataError: for other shapes and types, or values out of range.
    """
    if layout is not None and layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    values = _tensor(images)
    if _layout(tuple(values.shape), layout) == "NCHW":
        values = values.permute(0, 2, 3, 1)
    elif values.ndim == 3:
        values = values[..., None]
    return _pixel_values(values).contiguous()


def label_batch(labels: Any, classes: Sequence[str] | None = None) -> tuple[Tensor, tuple[str, ...]]:
    """Convert labels to positions in the classes' names.

    Args:
        labels: N whole numbers from 0 on, or N names: an array, a tensor or a sequence.
        classes: the names, in the order of their positions. Without them, numbers are named "0", "1" and so on, and
            names are sorted.

    Returns:
        int64 (N,), and the classes.

    Raises:
        DataError: for anything else, or a label that is no class.
    """
    values = plain_labels(labels)
    classes = None if classes is None else tuple(map(str, classes))
    if values.dtype.kind == "U":
        names = values.tolist()
        known = classes if classes is not None else tuple(sorted(set(names)))
        if strange := sorted(set(names) - set(known)):
            raise DataError(f"labels that are none of the classes: {listed(strange)}.")
        positions = {name: position for position, name in enumerate(known)}
        return torch.tensor([positions[name] for name in names], dtype=torch.int64), known
    numbers = torch.from_numpy(values)
    lowest, highest = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, -1)
    if classes is None and highest >= max(len(numbers), _MOST_UNNAMED):
        raise DataError(f"labels up to {highest:,}: pass classes=, the names, in the order of the labels' numbers.")
    known = classes if classes is not None else tuple(str(number) for number in range(highest + 1))
    if lowest < 0 or highest >= len(known):
        raise DataError(f"labels from {lowest} to {highest}: expected 0 … {len(known) - 1}, positions in the classes.")
    return numbers, known


def plain_labels(labels: Any) -> np.ndarray:
    """Labels as an array: int64 (N,) for whole numbers, text (N,) for names.

    Raises:
        DataError: for anything else: other shapes, fractions, missing labels, numbers among names.
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu()
        values = labels.double().numpy() if labels.is_floating_point() else labels.numpy()
    else:
        try:
            values = np.asarray(labels)
            if values.dtype.kind == "U" and not all(isinstance(label, str) for label in labels):
                values = np.asarray(labels, dtype=object)  # numbers among names are not names
        except (TypeError, ValueError) as error:  # of several lengths
            raise DataError("labels of different shapes: expected N whole numbers or names.") from error
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "O":
        kinds = {"number" if isinstance(value, int | np.integer) else type(value).__name__ for value in values.flat}
        values = values.astype(np.int64) if kinds == {"number"} else values
        values = values.astype(str) if kinds <= {"str", "str_"} else values
    if not values.size:
        values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iubU":
        raise DataError(f"labels of shape {values.shape} and type {values.dtype}: expected N whole numbers or names.")
    return values if values.dtype.kind == "U" else values.astype(np.int64)


def torch_samples(dataset: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Read the images, labels and class names of a PyTorch data set, or of a `DataLoader`'s.

    Args:
        dataset: a `TensorDataset`, or any data set of (image, label) pairs, images of one size.

    Returns:
        images and labels as `pixel_batch` and `label_batch` take them, and the class names if it has any.

    Raises:
        DataError: for samples that are no pairs.
    """
    names = torch_classes(dataset)
    dataset = dataset.dataset if isinstance(dataset, DataLoader) else dataset
    if isinstance(dataset, TensorDataset):
        if len(dataset.tensors) != 2:
            raise DataError(f"a TensorDataset of {len(dataset.tensors)} tensors: expected two, images and labels.")
        return *dataset.tensors, names
    images, labels = [], []
    streamed = isinstance(dataset, IterableDataset)
    samples = iter(dataset) if streamed else (dataset[index] for index in range(len(dataset)))
    for sample in samples:
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise DataError(f"a sample of type {type(sample).__name__}: expected a pair, an image and its label.")
        images.append(sample[0])
        labels.append(sample[1])
    return images, [label.tolist() if isinstance(label, Tensor) else label for label in labels], names


def torch_classes(dataset: Any) -> tuple[str, ...] | None:
    """The attribute `classes` of a PyTorch data set, or of what its `DataLoader` or `Subset` takes images from."""
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, list | tuple):
        return tuple(map(str, classes))
    return torch_classes(dataset.dataset) if isinstance(dataset, DataLoader | Subset) else None


def is_torch_data(data: Any) -> bool:
    """True for PyTorch data sets and `DataLoader`s."""
    return isinstance(data, TorchDataset | DataLoader)


def _tensor(images: Any) -> Tensor:
    """A tensor on the CPU, over the same memory where that is possible."""
    if isinstance(images, Tensor):
        return images.detach().cpu()
    if isinstance(images, np.ndarray):
        return _of_array(images)
    if not isinstance(images, Sequence) or isinstance(images, str | bytes) or not len(images):
        raise DataError(f"images of type {type(images).__name__}: expected an array or a tensor, N images.")
    each = [image if isinstance(image, Tensor) else _of_image(image) for image in images]
    if all(isinstance(image, Image.Image) for image in images):  # grey ones among coloured ones become coloured
        channels = max(image.shape[2] for image in each)
        each = [image.expand(-1, -1, channels) for image in each]
    if len({image.shape for image in each}) > 1:
        sizes = sorted({"×".join(map(str, image.shape)) for image in each})
        raise DataError(f"images of different shapes, {listed(sizes, 4)}: bring them to one size first.")
    return torch.stack(each)


def _of_array(values: np.ndarray) -> Tensor:
    """A tensor over the same memory where PyTorch has the type, and the byte order is the machine's."""
    if values.dtype.kind not in "uifb":
        raise DataError(f"images of type {values.dtype}: expected intensities in 0 … 255 or in 0 … 1.")
    kind = values.dtype.newbyteorder("=")
    kind = np.dtype(np.float64) if kind.kind == "f" and kind.itemsize > 8 else kind
    values = values.astype(kind, copy=False)
    return torch.from_numpy(values if values.flags.writeable and min(values.strides, default=0) >= 0 else values.copy())


def _of_image(image: Any) -> Tensor:
    """An array or a PIL image as a tensor; a PIL image is converted as the images of files are."""
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if not isinstance(image, Image.Image):
        raise DataError(f"an image of type {type(image).__name__}: expected an array, a tensor or a PIL image.")
    return torch.from_numpy(upright(image))


def _layout(shape: tuple[int, ...], given: Layout | None) -> Layout:
    """The layout of images of this shape."""
    possible: list[Layout] = ["NHW"] if len(shape) == 3 else []
    if len(shape) == 4:
        possible += ["NHWC"] if shape[3] in (1, 3) else []
        possible += ["NCHW"] if shape[1] in (1, 3) else []
    if given is not None:
        if given not in possible:
            raise DataError(f"images of shape {shape} are not {given} with 1 or 3 channels.")
        return given
    if len(possible) > 1:
        raise ArgumentError(
            f"images of shape {shape} may be N, H, W, C or N, C, H, W: say which, with layout='NHWC' or layout='NCHW'."
        )
    if not possible:
        raise DataError(
            f"images of shape {shape}: expected (N, H, W), (N, H, W, C) or (N, C, H, W), with 1 or 3 channels."
        )
    return possible[0]


def _pixel_values(values: Tensor) -> Tensor:
    """Values as uint8 in 0 … 255."""
    if values.dtype == torch.uint8:
        return values
    if values.dtype == torch.bool:
        return values.to(torch.uint8) * 255
    if values.is_complex():
        raise DataError(f"images of type {values.dtype}: expected intensities in 0 … 255 or in 0 … 1.")
    if not values.numel():
        return values.to(torch.uint8)
    if values.dtype in (torch.uint16, torch.uint32, torch.uint64):
        values = values.to(torch.float64).clamp(max=2**32).to(torch.int64)  # exact where it matters, up to 255
    low, high = float(values.min()), float(values.max())
    most = 1 if values.is_floating_point() else 255
    if not 0 <= low <= high <= most:  # false for NaN, too
        kind = str(values.dtype).removeprefix("torch.")
        raise DataError(
            f"images of type {kind} with values from {low:g} to {high:g}: expected 0 … {most}. "
            "If they were normalised, undo that: Striate normalises by itself."
        )
    return (values * 255).round().to(torch.uint8) if most == 1 else values.to(torch.uint8)
