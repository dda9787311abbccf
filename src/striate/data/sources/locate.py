"""Search paths for the files of a named data set, in order; the last resort is a download into the cache."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from striate.download import download
from striate.errors import DataError
from striate.files import cache_folder
from striate.types import Progress

SYSTEM_FOLDERS = (Path("/usr/share/datasets"), Path("/usr/local/share/datasets"))


def locate(
    name: str,
    checks: Mapping[str, Callable[[Path], object]],
    addresses: Sequence[str],
    progress: Progress | None = None,
) -> list[Path]:
    """Find the files of a data set in the first place that has all of them, or download them into the cache.

    Args:
        name: the data set, and the name of its folder in every place.
        checks: the files' names, and for each a function that raises DataError unless the file at a path is valid. A
            file may be there as it is or with .gz; downloads have .gz.
        addresses: where the files can be downloaded, each ending in a slash; the first that works is used.
        progress: called with a description, the bytes done and the bytes in total.

    Raises:
        DataError: listing the places that were tried, and what to do.
    """
    cache = cache_folder() / "datasets" / name
    tried = []
    for place, folder in _places(name, cache):
        found = [folder and _existing(folder, file) for file in checks]
        if all(found):
            return [path for path in found if path]
        tried.append(f"{place}: {_lacking(folder, dict(zip(checks, found, strict=True)))}")
    try:
        return [
            _existing(cache, file) or _fetched(cache / f"{file}.gz", check, addresses, progress)
            for file, check in checks.items()
        ]
    except DataError as error:
        ways = "\n".join(f"  {way}" for way in (*tried, f"download: {error}"))
        raise DataError(
            f"{name} was not found:\n{ways}\n"
            f"Connect to the network and try again, or put {', '.join(checks)} (each with or without .gz) into a "
            f"folder named {name} and set STRIATE_DATA to the folder around it."
        ) from error


def _places(name: str, cache: Path) -> list[tuple[str, Path | None]]:
    own = os.environ.get("STRIATE_DATA")
    system = [("system", folder / name) for folder in SYSTEM_FOLDERS]
    return [("$STRIATE_DATA", Path(own) / name if own else None), *system, ("cache", cache)]


def _existing(folder: Path, file: str) -> Path | None:
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return path
    return None


def _lacking(folder: Path | None, found: Mapping[str, Path | None]) -> str:
    if folder is None:
        return "not set"
    missing = [file for file, path in found.items() if path is None]
    return f"{folder} lacks {', '.join(missing)}" if folder.is_dir() else f"there is no {folder}"


def _fetched(path: Path, check: Callable[[Path], object], addresses: Sequence[str], progress: Progress | None) -> Path:
    """Download one file from the first address that works."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(f"downloading {path.parent.name}/{path.name}", done, total)

    failures = []
    for address in addresses:
        try:
            download(address + path.name, path, verify=check, report=report)
            return path
        except DataError as error:
            failures.append(str(error))
    raise DataError(" ".join(failures))
