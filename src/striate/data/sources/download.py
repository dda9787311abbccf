"""Files of a named data set: looked for in folders, in order, and else downloaded into the cache.

A download is resumed after an interruption, verified, and only then given its name.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from striate.errors import DataError
from striate.files import cache_folder
from striate.types import Progress

_CHUNK = 1 << 16  # bytes
_ATTEMPTS = 5
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


def download(
    url: str,
    path: Path,
    *,
    verify: Callable[[Path], object],
    report: Callable[[int, int], None],
    timeout: float = 30.0,
) -> None:
    """Fetch `url` to `path`.

    The bytes go to `path` + ".part", which stays when the connection breaks: the next attempt, in this call or a later
    one, asks the server for the rest. A file that does not pass `verify` is removed, and fetched once more from its
    beginning if it had been put together from two attempts.

    Args:
        url: an http or https address.
        path: where the file goes; missing folders are made.
        verify: called with the path of the complete part; raises DataError if the content is wrong.
        report: called with the bytes received and the bytes in total (0 if the server does not say).
        timeout: seconds without a byte after which an attempt is abandoned.

    Raises:
        DataError: naming the address and the reason; nothing is at `path` then.
    """
    part = path.with_name(path.name + ".part")
    try:
        joined = _complete(url, part, report, timeout)
        if not _is_whole(url, part, verify, again=joined):
            _complete(url, part, report, timeout)
            _is_whole(url, part, verify, again=False)
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror or error}.") from error


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def _complete(url: str, part: Path, report: Callable[[int, int], None], timeout: float) -> bool:
    """Download the rest of `part`; returns whether it was put together from more than one attempt."""
    joined = False
    reason = ""
    for _ in range(_ATTEMPTS):
        begun = part.stat().st_size if part.exists() else 0
        try:
            with _answer(url, begun, timeout) as response:
                continued = response.status == 206  # a server that ignores the range answers 200 with the whole file
                joined = joined or continued
                _receive(response, part, begun if continued else 0, report)
                return joined
        except urllib.error.HTTPError as error:
            if error.code != 416 or not begun:
                raise DataError(f"{url}: the server answered {error.code} {error.reason}.") from error
            if error.headers.get("Content-Range") == f"bytes */{begun}":
                return True  # nothing is left to send
            part.unlink()  # longer than what the server has, so it is the beginning of something else
            reason = "the server could not continue the file"
        except urllib.error.URLError as error:
            reason = str(error.reason)
            break  # no connection at all: trying again at once would only make the user wait
        except _BrokenOffError as error:
            reason = str(error)
    raise DataError(f"{url}: {reason}.")


def _answer(url: str, begun: int, timeout: float) -> HTTPResponse:
    headers = {"User-Agent": "striate"} | ({"Range": f"bytes={begun}-"} if begun else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
        return response
    except urllib.error.URLError:
        raise
    except (HTTPException, OSError) as error:
        raise _BrokenOffError(f"the connection broke off ({type(error).__name__}: {error})") from error


def _receive(response: HTTPResponse, part: Path, begun: int, report: Callable[[int, int], None]) -> None:
    length = response.headers.get("Content-Length")
    total = begun + int(length) if length else 0
    done = begun
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab" if begun else "wb") as file:
        for chunk in _chunks(response):
            file.write(chunk)
            done += len(chunk)
            report(done, total)
    if done < total:
        raise _BrokenOffError(f"the connection broke off after {done} of {total} bytes")


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (HTTPException, OSError) as error:
            raise _BrokenOffError(f"the connection broke off ({type(error).__name__}: {error})") from error
        if not chunk:
            return
        yield chunk


def _is_whole(url: str, part: Path, verify: Callable[[Path], object], *, again: bool) -> bool:
    """Return whether `part` passes `verify`; if not, remove it, and raise unless it will be fetched `again`."""
    try:
        verify(part)
    except DataError as error:
        part.unlink()
        if not again:
            raise DataError(f"{url}: the downloaded file is not the expected one ({error})") from error
        return False
    return True
