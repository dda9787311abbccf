"""One file a part. Each has `measure`, which fills the store, and `tables`, which reads it; `PARTS` has them all."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.parts import accuracy, folder, product, startup, throughput
from benchmarks.store import Store


class Part(NamedTuple):
    """How a part is measured, and told in Markdown."""

    measure: Callable[[Bench], None]
    tables: Callable[[Store], str]


PARTS = {
    "product": Part(product.measure, product.tables),
    "throughput": Part(throughput.measure, throughput.tables),
    "startup": Part(startup.measure, startup.tables),
    "folder": Part(folder.measure, folder.tables),
    "accuracy": Part(accuracy.measure, accuracy.tables),
}
