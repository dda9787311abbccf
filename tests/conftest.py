"""What all tests share: their order, and hypothesis without a stop-watch."""

import os
from collections.abc import Iterator

# Before torch is imported, here and in the processes that tests start: its tensors are tiny, and two threads that wait
# for each other on a busy machine are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from several import Several

# A loaded machine is no reason for a test to fail; pytest-timeout catches what hangs.
settings.register_profile("striate", deadline=None)
settings.load_profile("striate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: what is marked `slow` runs last, each group in its usual order."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the cache of whoever runs it."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def several() -> Iterator[Several]:
    """Functions called in several processes that work together; the program for it is started once."""
    made = Several()
    yield made
    made.close()
