"""Stress test of folder loading: all good images must be used, and all bad files named.

    python benchmarks/hard_folder.py FOLDER [--count 20000] [--image-size 64] [--json RESULT.json]

FOLDER is made if it is not there: `count` JPEGs in two classes, among them grey, CMYK, progressive and rotated ones, 12
megapixels, wrong suffixes, names in many scripts and one that is not Unicode; PNGs of 81 megapixels; and bad files:
truncated, empty, text called .jpg, a PNG of 20,000×20,000 pixels, broken links. Folders contain links to their parents.

It is then loaded four times, each in a new process: into an empty cache, from the cache, with a cache too small, and
again with the statistics of that load. Reported are the seconds, and the peak memory of the process and of its decoding
processes: private pages only, as mapped pages of the cache are the system's to reclaim.
"""

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

BOMB, LARGE = 20_000, 9_000  # sides of PNGs: one beyond the guard against decompression bombs, one just within it
TEXTS = ("фото", "写真", "صورة", "φωτο", "사진", "bild-åäö", "📷", "a b'c\"d", "-rf", "%20", "x" * 200)


def main() -> None:
    """Make the folder, load it in every way, check and print the results."""
    parser = argparse.ArgumentParser(description="Stress test of folder loading.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load is not None:
        load_once(options.folder, options.image_size, options.load)
        return
    if not options.folder.exists():
        started = time.perf_counter()
        make(options.folder, options.count)
        print(f"made {options.count} JPEGs and what is bad in {time.perf_counter() - started:.0f} s")
    expected = json.loads((options.folder.parent / f"{options.folder.name}.json").read_text(encoding="utf-8"))
    results = {}
    with tempfile.TemporaryDirectory() as cache:
        for name, size in (
            ("into an empty cache", ""),
            ("from the cache", ""),
            ("with no room in the cache", "300KB"),
            ("with no room, and known", "300KB"),
        ):
            results[name] = measured(options.folder, options.image_size, size, f"{cache}/{size or 'usual'}")
            check(results[name], expected, name)
            facts = results[name]
            print(
                f"{name}: {facts['seconds']:.1f} s to load, {facts['epoch']:.1f} s for an epoch's batches, "
                f"{facts['own']:.0f} MB, with {facts['processes']} others {facts['all']:.0f} MB"
            )
    assert len({facts["fingerprint"] for facts in results.values()}) == 1
    print(f"each time {facts['used']} images were used and {len(facts['bad'])} files named")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


# ---------------------------------------------------------------- the folder


def make(folder: Path, count: int) -> None:
    """Make the folder, and next to it a JSON file with the number of good files and the names of bad ones."""
    good, bad = [], []
    pictures = [_picture(seed) for seed in range(64)]
    for number in range(count):
        kind = folder / ("cats" if number % 2 else "dogs") / f"{number % 50:02}"
        kind.mkdir(parents=True, exist_ok=True)
        text = TEXTS[number % len(TEXTS)] if number % 40 == 0 else ""
        path = kind / f"{number:06}{text}.jpg"
        path.write_bytes(_jpeg(pictures[number % 64], number))
        good.append(path)
    good += _hard_but_good(folder, pictures)
    for number in range(max(4, count // 200)):
        bad += _bad(folder, pictures[number % 64], number)
    _bomb(folder / "cats" / "bomb.png", BOMB)
    bad.append(folder / "cats" / "bomb.png")
    (folder / "dogs" / "around").symlink_to(folder, target_is_directory=True)
    (folder / "dogs" / "itself").symlink_to(folder / "dogs", target_is_directory=True)
    (folder / "dogs" / "other").symlink_to(folder / "cats" / "01", target_is_directory=True)
    facts = {"good": len(good) + len(list((folder / "cats" / "01").iterdir())), "bad": sorted(map(_shown, bad))}
    folder.with_name(f"{folder.name}.json").write_text(json.dumps(facts), encoding="utf-8")


def _picture(seed: int) -> Image.Image:
    """Smooth picture of random size, 120 to 400 pixels a side."""
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(120, 400, 2))
    noise = random.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def _jpeg(picture: Image.Image, number: int) -> bytes:
    exif = Image.Exif()
    if number % 10 == 3:
        exif[0x0112] = 1 + number // 10 % 8
    mode = "L" if number % 20 == 1 else "CMYK" if number % 50 == 2 else "RGB"
    file = io.BytesIO()
    quality, progressive = 70 + number % 25, number % 7 == 4
    picture.convert(mode).save(file, "JPEG", quality=quality, progressive=progressive, exif=exif)
    return file.getvalue()


def _hard_but_good(folder: Path, pictures: list[Image.Image]) -> list[Path]:
    good = [folder / "cats" / f"png-{number}.jpg" for number in range(20)]
    for path, picture in zip(good, pictures, strict=False):
        picture.save(path, "PNG")
    for number in range(20):
        path = folder / "dogs" / f"jpeg-{number}.png"
        path.write_bytes(_jpeg(pictures[number], number))
        good.append(path)
    for number in range(8):
        path = folder / "dogs" / f"12-megapixels-{number}.jpg"
        pictures[number].resize((4000, 3000)).save(path, "JPEG", progressive=number % 2 == 0)
        good.append(path)
    for number in range(6):
        path = folder / "cats" / f"81-megapixels-{number}.png"
        if number == 0:
            _bomb(path, LARGE)
        else:
            path.write_bytes(good[-1].read_bytes())
        good.append(path)
    path = Path(os.fsdecode(os.fsencode(folder / "cats") + b"/no-unicode-\xff\xfe.jpg"))
    path.write_bytes(_jpeg(pictures[0], 0))
    link = folder / "dogs" / "link.jpg"
    link.symlink_to(path)
    return [*good, path, link]


def _bad(folder: Path, picture: Image.Image, number: int) -> list[Path]:
    kind, content = folder / ("cats" if number % 2 else "dogs"), _jpeg(picture, number)
    files = {
        f"cut-{number}.jpg": content[: len(content) * (1 + number % 8) // 10],
        f"cut-{number}.png": _png(picture)[:-40],
        f"empty-{number}.jpg": b"",
        f"text-{number}.jpg": b"not a picture",
    }
    for name, data in files.items():
        (kind / name).write_bytes(data)
    (kind / f"broken-link-{number}.jpg").symlink_to("nowhere.jpg")
    (kind / f"loop-{number}.jpg").symlink_to(f"loop-{number}.jpg")
    return [kind / name for name in (*files, f"broken-link-{number}.jpg", f"loop-{number}.jpg")]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _bomb(path: Path, side: int) -> None:
    """Write a complete PNG of side×side black RGB pixels without holding it in memory."""
    packer, row, data = zlib.compressobj(1), bytes(1 + 3 * side), b""
    for _ in range(side):
        data += packer.compress(row)
    data += packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))


def _shown(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


# ---------------------------------------------------------------- loading it


def measured(folder: Path, size: int, limit: str, cache: str) -> dict[str, object]:
    """Load once in a new process; return its facts, and the peak memory of it and of its children."""
    command = [sys.executable, __file__, str(folder), "--image-size", str(size), "--load", limit]
    environment = {**os.environ, "STRIATE_CACHE": cache}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        peak, ended = {"own": 0.0, "all": 0.0, "processes": 0}, threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        output = process.stdout.read() if process.stdout else ""
        ended.set()
        watcher.join()
    if process.returncode:
        sys.exit(f"loading ended with {process.returncode}")
    return {**json.loads(output), **peak}


def _watch(process: int, peak: dict[str, float], ended: threading.Event) -> None:
    while not ended.wait(0.2):
        children = [each for each in _processes() if _parent(each) == process]
        own, others = _private(process), [_private(child) for child in children]
        peak["own"] = max(peak["own"], own)
        peak["all"] = max(peak["all"], own + sum(others))
        peak["processes"] = max(peak["processes"], len(others))


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _private(process: int) -> float:
    """Private anonymous memory of a process, in megabytes."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def load_once(folder: Path, size: int, limit: str) -> None:
    """Load, read the batches of an epoch, and print the facts as JSON."""
    from striate.data import load, reader
    from striate.data.loader import Loader
    from striate.preprocess import Preprocess
    from striate.units import bytes_of

    if limit:
        reader.IN_MEMORY = 0  # as for a folder so large that its images fit nowhere
    started = time.perf_counter()
    data = load(folder, image_size=size, skip_bad=True, cache_size=bytes_of(limit) if limit else None)
    fingerprint = data.fingerprint()
    seconds = time.perf_counter() - started
    batches = Loader(data.train, Preprocess(size, size, 3, mean=(0.5,) * 3, std=(0.2,) * 3), 128, seed=0)
    started = time.perf_counter()
    seen = sum(len(batches[step].targets) for step in range(batches.steps_per_epoch))
    assert seen == len(data.train)
    facts = {
        "seconds": seconds,
        "epoch": time.perf_counter() - started,
        "used": sum(len(split) for _, split in data.splits()),
        "bad": {_shown(Path(path)): reason for path, reason in data.skipped.items()},
        "fingerprint": fingerprint,
        "images": type(data.train.images).__name__,
        "notes": list(data.notes),
    }
    batches.close()
    print(json.dumps(facts))


def check(facts: dict[str, object], expected: dict[str, object], name: str) -> None:
    """End the program unless all good images were used and all bad ones named."""
    if facts["used"] != expected["good"]:
        sys.exit(f"{name}: {facts['used']} images were used, and {expected['good']} are good")
    if sorted(facts["bad"]) != expected["bad"]:
        sys.exit(f"{name}: named {sorted(set(facts['bad']) ^ set(expected['bad']))} wrongly")


if __name__ == "__main__":
    main()
