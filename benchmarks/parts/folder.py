"""Loading a folder of JPEGs: resized to 224×224, normalised, in batches."""

import shutil
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.bench import Bench
from benchmarks.programs import LOADERS, OURS, PYTORCH, Peer
from benchmarks.reduced_decode import picture
from benchmarks.store import Result, Store
from benchmarks.tables import median, number, ratio, table, times

SIDE, BATCH, CLASSES = 224, 64, 10
WIDTH, HEIGHT, QUALITY, DRAWN = 500, 375, 88, 40
MEMORY = 2**28  # bytes taken before the clock starts, beside those of all pixels


def measure(bench: Bench) -> None:
    """Measure both loaders in every round, each time in a new process, Striate with an empty cache."""
    jpegs = bench.store.path.parent / f"jpegs-{bench.size.pictures}"
    if not jpegs.exists():
        bench.log(f"drawing {bench.size.pictures} pictures into {jpegs}")
        draw(jpegs, bench.size.pictures)
    for place, peer in bench.rounds(LOADERS):
        bench.measure(f"folder/{bench.size.pictures}/{peer.name}/{place}", partial(_load, bench, peer, jpegs))


def _load(bench: Bench, peer: Peer, jpegs: Path) -> Result:
    """Load once: images a second in the first epoch and in later ones."""
    for path in jpegs.rglob("*.jpg"):
        path.read_bytes()  # from now on in the page cache, for the first loader too
    memory = bench.size.pictures * SIDE * SIDE * 3 + MEMORY
    request = {
        "path": str(jpegs.absolute()),
        "side": SIDE,
        "batch": BATCH,
        "processes": bench.threads,
        "memory": memory,
    }
    with bench.worker(peer) as worker:
        answer = worker.ask("folder", **request, epochs=bench.size.picture_epochs)
    if "error" in answer:
        return answer
    first, *later = answer["seconds"]
    images = answer["images"]
    return {**answer, "first": images / first, "later": images * len(later) / sum(later)}


def draw(folder: Path, count: int) -> None:
    """Write `count` photograph-like JPEGs of 500×375 pixels into ten class folders.

    A few are drawn; the others are parts of these, turned and of another size, so no two files are alike.
    """
    made = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    for name in range(CLASSES):
        (made / str(name)).mkdir(parents=True)
    drawn = [picture(seed, WIDTH * 5 // 4, HEIGHT * 5 // 4) for seed in range(min(count, DRAWN))]
    for place in range(count):
        again, which = divmod(place, len(drawn))
        left, top = 7 * again % (WIDTH // 4), 5 * again % (HEIGHT // 4)
        part = drawn[which].crop((left, top, left + WIDTH, top + HEIGHT))
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if again % 2 else part
        part.save(made / str(place % CLASSES) / f"{place}.jpg", quality=QUALITY)
    made.rename(folder)


def tables(store: Store) -> str:
    """Table of images a second, with Striate's as a multiple of PyTorch's."""
    rows = []
    for count in sorted({key.split("/")[1] for key in store.results if key.startswith("folder/")}):
        ours, theirs = (store.rounds(f"folder/{count}/{peer.name}") for peer in (OURS, PYTORCH))
        for field, epoch in (("first", "first epoch"), ("later", "later epochs")):
            factor = times(ratio(ours, theirs, field))
            rows.append([count, epoch, number(median(ours, field)) + factor, number(median(theirs, field))])
    workers = store.header["machine"]["threads"]
    header = ["JPEGs", "", "Striate", f"Pillow and DataLoader, {workers} workers"]
    return table(f"A folder of {WIDTH}×{HEIGHT} JPEGs at {SIDE}×{SIDE}, images/s", header, rows)
