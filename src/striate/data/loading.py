"""Loading data sets: by name, from folders, tar shards or Hugging Face, or from what is in memory."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from striate.data.arrays import is_torch_data, torch_classes
from striate.data.build import Options
from striate.data.dataset import Dataset, conformed
from striate.data.sources.digits import load_digits
from striate.data.sources.folder import load_folder
from striate.data.sources.huggingface import PREFIX, load_hugging_face
from striate.data.sources.mnist import SOURCES, load_mnist
from striate.data.sources.tar_shards import are_shards, load_shards
from striate.errors import ArgumentError, unknown
from striate.hardware import keep_memory
from striate.preprocess import Fit, Preprocess
from striate.resizing import Interpolation
from striate.types import Progress

NAMES = ("digits", *SOURCES)
_IN_MEMORY = "in memory: "


def load(
    source: str | os.PathLike[str] = "digits",
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fit: Fit = "letterbox",
    crop: float = 1.0,
    interpolation: Interpolation = "bilinear",
    skip_bad: bool = False,
    cache_size: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set: named ones and small folders into memory, large folders into a cache on disk.

    Args:
        source: "digits", "mnist", "fashion-mnist", or the path of a folder that has one folder of images a class, or
            train/ and val/ or test/ with such folders in each; or tar shards in the WebDataset convention: a pattern
            such as "shards-{000..063}.tar" or "{train-{00..07},val-00}.tar", one .tar file, or a folder of them; or a
            data set of Hugging Face: "hf:OWNER/NAME", "hf:OWNER/NAME/CONFIG" or "hf:FOLDER", with "#COLUMN" at the end
            to choose among labels. A folder that has one of the names is "./mnist".
        image_size: height and width in pixels, or one number for both; None keeps the images' own size. Images in a
            folder that differ in size, or are larger than 224 pixels, are brought to 64×64 then.
        channels: 1 (grey) or 3 (red, green, blue); None keeps what the images have.
        fit, crop, interpolation: how images of other sizes are brought to this one, see `Preprocess`.
        skip_bad: leave out files that can't be decoded, instead of raising for all of them together.
        cache_size: how many bytes of disk the decoded images of folders may take, those of all data sets together: a
            second start then decodes nothing. None means $STRIATE_CACHE_SIZE, or else 20 GB, but at most half of what
            the disk has free. What does not fit is decoded anew in every epoch; 0 keeps nothing.
        progress: called now and then with what is being done, how much of it is done, and how much there is (0 where
            that is unknown).

    Returns:
        images uint8 (N, H, W, C), a tensor or `LazyImages`, and labels int64 (N,) for each split; what was decided for
        the user is in `notes`.

    Raises:
        ArgumentError: for a name that is neither a data set nor a folder, or for a size or channels that can't be.
        DataError: if files are missing, damaged or laid out in another way.
        BadFilesError: naming all the images that can't be decoded, unless `skip_bad`.

    >>> digits = striate.load("digits", image_size=32)
    >>> digits.train.images.shape, digits.classes[:3]
    (torch.Size([1438, 32, 32, 1]), ('0', '1', '2'))
    """
    keep_memory()  # before the first thread, and before arrays of this size come and go
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    options = Options(size, channels, fit, crop, interpolation, skip_bad, cache_size, progress)
    options.preprocess(size or (1, 1), 1 if channels is None else channels)  # raise now, not after minutes of decoding
    name = os.fspath(source)
    if name in NAMES:
        loaded = load_digits() if name == "digits" else load_mnist(name, progress)
        _, height, width, native = loaded.train.images.shape
        preprocess = options.preprocess(size or (height, width), native if channels is None else channels)
        return replace(conformed(loaded, preprocess), sized=size is not None, loaded=True)
    if name.startswith(PREFIX):
        return replace(load_hugging_face(name, options), sized=size is not None, loaded=True)
    if are_shards(name):
        return replace(load_shards(name, options), sized=size is not None, loaded=True)
    if Path(name).name == name and not Path(name).exists():
        raise ArgumentError(
            f"{unknown('data set', name, NAMES)} The path of a folder of images works too, and so do tar shards "
            "(shards-{000..063}.tar) and data sets of Hugging Face (hf:NAME)."
        )
    return replace(load_folder(name, options), sized=size is not None, loaded=True)


def as_dataset(
    data: Any, preprocess: Preprocess | None = None, classes: Sequence[str] | None = None, **options: Any
) -> Dataset:
    """Make a data set of anything that can stand for one: a source, arrays, tensors, PyTorch's data sets.

    Args:
        data: a `Dataset`; a source for `load`, as text or a path; a pair (images, labels) of arrays or tensors, or two
            such pairs, for training and test; a PyTorch data set or `DataLoader`.
        preprocess: the size, channels and fit that something loaded is brought to.
        classes: the names for labels that come without them.
        options: arguments of `load`, used where something is loaded.

    Raises:
        ArgumentError: for anything else, listing what is taken.
        DataError: as `load`, `Dataset.from_arrays` and `Dataset.from_torch`.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | os.PathLike):
        if preprocess is not None:
            options |= preprocess.load_options
        return load(data, **options)
    if is_torch_data(data):
        return Dataset.from_torch(data, torch_classes(data) or classes)
    if isinstance(data, tuple) and len(data) == 2:
        if all(isinstance(part, tuple) and len(part) == 2 for part in data):
            (images, labels), test = data
            return Dataset.from_arrays(images, labels, classes, test=test)
        images, labels = data
        return Dataset.from_arrays(images, labels, classes)
    raise ArgumentError(
        f"data of type {type(data).__name__}: expected a name such as 'digits', a folder's path, a striate.Dataset, a "
        "pair (images, labels) of arrays or tensors, or a PyTorch Dataset or DataLoader."
    )


def is_loadable(source: str) -> bool:
    """True if `source` can be given to `load`; false for the name of data that was in memory."""
    if source.startswith(_IN_MEMORY):
        return False
    return source in NAMES or source.startswith(PREFIX) or os.path.isabs(source) or are_shards(source)


def stored_source(dataset: Dataset) -> str:
    """The source to keep in a run: for `load`, from any working directory, or a name that `load` does not take."""
    if dataset.loaded or not is_loadable(lasting(dataset.source)):
        return lasting(dataset.source)
    return _IN_MEMORY + dataset.source


def lasting(source: str) -> str:
    """Return a source with absolute paths, so that it can be loaded from any working directory."""
    if source.startswith(PREFIX):
        name, mark, column = source.removeprefix(PREFIX).partition("#")
        return f"{PREFIX}{os.path.abspath(name)}{mark}{column}" if name and os.path.exists(name) else source
    is_path = source not in NAMES and (os.path.exists(source) or are_shards(source))
    return os.path.abspath(source) if is_path else source


def short_name(source: str) -> str:
    """A name for files made from `source`: its last part, in letters, digits, dots, "_" and "-"."""
    return re.sub(r"[^.\w]+", "-", Path(lasting(source)).name).strip("-")
