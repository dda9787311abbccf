"""Benchmark results on disk: a JSON file, rewritten after each measurement, so that an interrupted run can continue."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from striate.errors import DataError
from striate.files import read_json, write_json

FORMAT = 3  # raise it when what a key stands for is measured in another way
REFERENCE_RATE = "yardstick"  # the key of the reference matmul rate in result files, which keep its first name
Result = dict[str, Any]


class Store:
    """Results by key, "part/what/…/peer/round", kept in a file.

    Args:
        path: the file; results that it holds already are kept.
        header: common to all results of a file: the size, the machine and the versions.

    Raises:
        DataError: if the file has another header, naming what differs.
    """

    def __init__(self, path: Path, header: dict[str, Any]):
        self.path, self.header = path, {"format": FORMAT, **header}
        self.results: dict[str, Result] = {}
        if path.exists():
            kept = read_json(path)
            self.results = kept.pop("results")
            if differing := [key for key in {**self.header, **kept} if kept.get(key) != self.header.get(key)]:
                raise DataError(
                    f"{path} differs in {' and '.join(differing)} from what is measured now, and times from both don't "
                    "compare: move it away, or name another file with --out."
                )

    @classmethod
    def opened(cls, path: Path) -> Self:
        """Open a file of results, whatever machine they come from.

        Raises:
            CheckpointError: if there is none.
        """
        kept = read_json(path)
        return cls(path, {name: value for name, value in kept.items() if name != "results"})

    def measure(self, key: str, measure: Callable[[], Result]) -> Result:
        """Return the result under a key; measure and keep it if there is none. Failures are tried again."""
        if key not in self.results or "error" in self.results[key]:
            self.results[key] = measure()
            write_json(self.path, {**self.header, "results": self.results})
        return self.results[key]

    def has(self, key: str) -> bool:
        """Return True if the file holds a result under this key."""
        return "error" not in self.results.get(key, {"error": ""})

    def rounds(self, prefix: str) -> dict[str, Result]:
        """Successful results under "prefix/…", by the rest of the key."""
        start = f"{prefix}/"
        return {
            key.removeprefix(start): each
            for key, each in self.results.items()
            if self.has(key) and key.startswith(start)
        }

    @property
    def commits(self) -> list[str]:
        """Known commits at which the results were measured, sorted."""
        return sorted({each["commit"] for each in self.results.values() if each.get("commit")})

    def failures(self) -> dict[str, str]:
        """Error messages by key."""
        return {key: each["error"] for key, each in self.results.items() if "error" in each}
