"""Serving: images a second under load, what four times the load does, and what is lost at SIGTERM.

    python -m benchmarks.serving throughput [NETWORK...] [--seconds 60] [--images 1] [--tensors] [--engine auto]
    python -m benchmarks.serving latency    [NETWORK...] [--seconds 60] ...
    python -m benchmarks.serving overload   [NETWORK...] [--seconds 60] ...
    python -m benchmarks.serving sigterm    [NETWORK...] [--times 20] ...

NETWORK is fashion_cnn, for images of Fashion-MNIST as PNG, or efficientnet_lite0, for photographs of ants-bees as JPEG,
a folder in $STRIATE_DATA; both if not given. A request has --images of them; with --tensors, they are decoded before,
and sent as binary tensors of the Open Inference Protocol. The service is a process of its own on the same cores as its
clients, which are sockets of this process. The engine's own rate, at batches of 64 decoded images, is measured in
another process before and after, while nothing else runs.
"""

import argparse
import asyncio
import io
import os
import random
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import striate
from benchmarks import load
from striate.data.images.any_image import prepare_any
from striate.preprocess import Preprocess

CLIENTS = 64
BOUNDARY = "7d1f0c"
NETWORKS = ("fashion_cnn", "efficientnet_lite0")
ENGINE = """
import sys, time, numpy as np
from striate.serving.network import network_of
network = network_of(sys.argv[1], sys.argv[2])
size, seconds = int(sys.argv[3]), float(sys.argv[4])
images = np.random.default_rng(0).integers(0, 256, (size, *network.shape), dtype=np.uint8)
for _ in range(20):
    network.engine.logits(images)
times, end = [], time.monotonic() + seconds
while time.monotonic() < end:
    began = time.monotonic()
    network.engine.logits(images)
    times.append(time.monotonic() - began)
print(np.median(times), np.sum(times) / len(times))
"""


@dataclass(frozen=True)
class Requests:
    """Requests for one network.

    Args:
        run: what is served: a run's folder, or a model's name.
        bodies: requests as bytes, without the address: path, kind, body and further headers.
        images: in each of them.
    """

    run: str
    bodies: list[tuple[str, str, bytes, list[tuple[str, object]]]]
    images: int

    def drawn(self, address: str) -> load.Draw:
        """A function that draws the next request."""
        made = [load.request(address, *each) for each in self.bodies]
        draw = random.Random(0)
        return lambda: draw.choice(made)


def requests_for(name: str, images: int, tensors: bool, folder: Path) -> Requests:
    """Make requests for a network, and a run if it needs one."""
    if name == "fashion_cnn":
        data = striate.load("fashion-mnist")
        pixels = np.asarray(data.test.images[:512])
        files = [png(each) for each in pixels]
        run = str(folder / name)
        if not Path(run, "result.json").exists():  # how well it is trained does not matter here
            some = (data.train.images[:2000].numpy(), data.train.labels[:2000].numpy())
            striate.train(name, some, out=run, epochs=1)
        preprocess = striate.Run.open(run).preprocess
    else:
        photographs = sorted(Path(os.environ["STRIATE_DATA"], "ants-bees", "val").rglob("*.jpg"))
        files = [path.read_bytes() for path in photographs]
        run, preprocess = name, striate.Preprocess(224, 224, 3, "crop", (0.5,) * 3, (0.5,) * 3, 0.875, "bicubic")
    draw = random.Random(1)
    chosen = [[draw.choice(files) for _ in range(images)] for _ in range(256 // images + 64)]
    if tensors:
        return Requests(run, [tensor(name, each, preprocess) for each in chosen], images)
    if images == 1:
        kind = "image/png" if name == "fashion_cnn" else "image/jpeg"
        return Requests(run, [("/predict", kind, each[0], []) for each in chosen], 1)
    return Requests(
        run, [("/predict", f"multipart/form-data; boundary={BOUNDARY}", form(each), []) for each in chosen], images
    )


def png(pixels: np.ndarray) -> bytes:
    """A grey image, uint8 (height, width, 1), as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(file, "PNG")
    return file.getvalue()


def form(files: Sequence[bytes]) -> bytes:
    """Files as multipart/form-data."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{number}"\r\n\r\n'.encode() + each
        for number, each in enumerate(files)
    ]
    return b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def tensor(
    name: str, files: Sequence[bytes], preprocess: Preprocess
) -> tuple[str, str, bytes, list[tuple[str, object]]]:
    """Files decoded, as a binary tensor."""
    pixels = np.stack([prepare_any(each, preprocess) for each in files])
    header = (
        f'{{"inputs":[{{"name":"image","datatype":"UINT8","shape":{list(pixels.shape)},'
        f'"parameters":{{"binary_data_size":{pixels.nbytes}}}}}],"parameters":{{"binary_data_output":true}}}}'
    ).encode()
    more: list[tuple[str, object]] = [("Inference-Header-Content-Length", len(header))]
    return f"/v2/models/{name}/infer", "application/octet-stream", header + pixels.tobytes(), more


class Served:
    """A service in a process of its own.

    Args:
        run, engine: what it serves, and by what.
        queue: how many images may wait.
    """

    def __init__(self, run: str, engine: str, queue: int):
        command = [sys.executable, "-m", "striate", "serve", run, "--port", "0", "--engine", engine]
        command += ["--queue", str(queue)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = next((line for line in self.process.stderr if line.startswith("Serving ")), "")
        if not line:
            raise SystemExit(f"{' '.join(command)}: ended with {self.process.wait()}")
        self.address = line.split()[-1]

    def memory(self) -> float:
        """Resident memory, in MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def end(self) -> int:
        """End it, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


@contextmanager
def served(requests: Requests, engine: str) -> Iterator[Served]:
    """A service for the block, with room for one request of each client."""
    service = Served(requests.run, engine, max(256, CLIENTS * requests.images))
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.end()


def engine_seconds(run: str, engine: str, size: int, seconds: float) -> float:
    """The median time of a batch by the engine alone, in a process of its own."""
    command = [sys.executable, "-c", ENGINE, run, engine, str(size), str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])


def under_load(service: Served, requests: Requests, clients: int, seconds: float) -> load.Load:
    """What so many clients see."""
    return asyncio.run(load.steady(service.address, requests.drawn(service.address), clients, seconds))


def throughput(requests: Requests, given: argparse.Namespace) -> str:
    """Images a second beside the engine's own."""
    own = [64 / engine_seconds(requests.run, given.engine, 64, given.seconds / 4)]
    with served(requests, given.engine) as service:
        under_load(service, requests, CLIENTS, 5)
        seen = under_load(service, requests, CLIENTS, given.seconds)
    own.append(64 / engine_seconds(requests.run, given.engine, 64, given.seconds / 4))
    rate, best = seen.per_second() * requests.images, statistics.mean(own)
    return (
        f"{rate:.1f} images/s of {own[0]:.1f} and {own[1]:.1f} by the engine alone: {100 * rate / best:.1f} %; "
        f"median {1000 * statistics.median(seen.times[200]):.1f} ms; {dict(seen.statuses)}, lost {seen.lost}"
    )


def latency(requests: Requests, given: argparse.Namespace) -> str:
    """Median time of one client beside the engine's own for one image."""
    own = [engine_seconds(requests.run, given.engine, 1, given.seconds / 4)]
    with served(requests, given.engine) as service:
        under_load(service, requests, 1, 5)
        seen = under_load(service, requests, 1, given.seconds)
    own.append(engine_seconds(requests.run, given.engine, 1, given.seconds / 4))
    found, best = 1000 * statistics.median(seen.times[200]), 1000 * statistics.mean(own)
    alone = f"{1000 * own[0]:.2f} and {1000 * own[1]:.2f}"
    return f"median {found:.2f} ms, by the engine alone {alone}: {found - best:.2f} ms more"


def overload(requests: Requests, given: argparse.Namespace) -> str:
    """Four times the load that it can bear."""
    with served(requests, given.engine) as service:
        under_load(service, requests, CLIENTS, 5)
        before, memory = under_load(service, requests, CLIENTS, given.seconds / 4).per_second(), [service.memory()]

        async def loaded() -> load.Load:
            draw = requests.drawn(service.address)
            loading = asyncio.ensure_future(load.hasty(service.address, draw, 4 * before, given.seconds))
            while not loading.done():
                memory.append(service.memory())
                await asyncio.sleep(1)
            return await loading

        seen = asyncio.run(loaded())
        after = under_load(service, requests, CLIENTS, given.seconds / 4).per_second()
        end = service.end()
    sent = sum(seen.statuses.values())
    times = sorted(seen.times.get(200, [0.0]))
    return (
        f"bears {before * requests.images:.0f} images/s; sent {sent * requests.images / seen.seconds:.0f}: "
        f"{dict(seen.statuses)}, without Retry-After {seen.without_retry}, lost {seen.lost}; accepted answered in "
        f"{times[len(times) // 2]:.2f} s, 99.9 % within {times[len(times) * 999 // 1000]:.2f} s, at most "
        f"{times[-1]:.2f} s; memory {memory[0]:.0f} MiB, at most "
        f"{max(memory):.0f}; afterwards {after * requests.images:.0f} images/s; exit {end}"
    )


def sigterm(requests: Requests, given: argparse.Namespace) -> str:
    """SIGTERM at random moments under load."""
    draw, lost, answered, ends = random.Random(0), 0, 0, []
    for _ in range(given.times):
        with served(requests, given.engine) as service:

            async def loaded(service: Served = service) -> load.Load:
                asyncio.get_running_loop().call_later(1 + draw.random(), service.process.terminate)
                return await load.steady(service.address, requests.drawn(service.address), CLIENTS, 4)

            seen = asyncio.run(loaded())
            ends.append(service.process.wait())
            lost += seen.lost
            answered += sum(seen.statuses.values())
    return f"{given.times} times: {answered} requests answered, {lost} lost; exit codes {sorted(set(ends))}"


def main() -> None:
    """Measure, and print a line for each network."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    measures = {each.__name__: each for each in (throughput, latency, overload, sigterm)}
    parser.add_argument("measure", choices=measures)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--images", type=int, default=1, help="in a request")
    parser.add_argument("--tensors", action="store_true", help="send binary tensors instead of image files")
    parser.add_argument("--times", type=int, default=20, help="of SIGTERM")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--runs", type=Path, default=Path("runs/serving"), help="where a run is kept")
    given = parser.parse_args()
    for name in given.networks or NETWORKS:
        requests = requests_for(name, given.images, given.tensors, given.runs)
        print(f"{given.measure} {name}: {measures[given.measure](requests, given)}", flush=True)


if __name__ == "__main__":
    main()
