"""Two machines: two network namespaces with an address each, a training over both, and links and machines that go.

    sudo python -m benchmarks.two_machines [--only whole,cut,ended,back] [--steps 1500] [--out two-machines.json]

The contract: the namespaces are made here, joined by a pair of virtual interfaces with private addresses, and removed
at the end; nothing leaves them. Each machine runs torchrun with one process of one thread, as docs/scale.md says; both
see one file system, as machines of a cluster do. It needs Linux, iproute2 and the right to make namespaces.
docs/scale.md tells what came of it.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.scale import WEIGHTS, Measured, environment, train, workers
from benchmarks.tables import table
from striate.files import sha256

NAMES = ("striate-one", "striate-two")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORT = 29400


def ip(*words: str) -> None:
    """Run iproute2's `ip`."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def linked() -> None:
    """Make the two namespaces, and the link between them."""
    for name in NAMES:
        ip("netns", "add", name)
    ip("link", "add", NAMES[0], "type", "veth", "peer", "name", NAMES[1])
    for name, address in zip(NAMES, ADDRESSES, strict=True):
        ip("link", "set", name, "netns", name)
        ip("-n", name, "address", "add", f"{address}/24", "dev", name)
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", name, "up")
        # torchrun's agent waits for the other machine until the system gives the connection up: after half a minute.
        ip("netns", "exec", name, "sysctl", "-q", "-w", "net.ipv4.tcp_retries2=6")


def unlinked() -> None:
    """Remove the namespaces, and with them the link."""
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def start(machine: int, out: Path, steps: int, timeout: int = 300) -> "subprocess.Popen[str]":
    """Start torchrun on a machine."""
    torchrun = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:{PORT}", "--rdzv-id", "striate"),
        *(
            "--rdzv-conf",
            f"join_timeout=30,is_host={1 - machine}",
            "--local-addr",
            ADDRESSES[machine],
            "--max-restarts",
            "3",
        ),
    ]
    training = ["-m", "striate", "train", "lenet5", "--batch-size", "60", "--set", f"steps={steps}", "--out", str(out)]
    variables = {
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "GLOO_SOCKET_IFNAME": NAMES[machine],
        "STRIATE_TIMEOUT": str(timeout),
    }
    return subprocess.Popen(
        ["ip", "netns", "exec", NAMES[machine], *torchrun, *training],
        env=environment() | variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def kill(machine: "subprocess.Popen[str]") -> None:
    """End all processes of a machine at once."""
    for each in [machine.pid, *workers(machine.pid)]:
        os.kill(each, signal.SIGKILL)
    machine.wait()


def until_training(out: Path, machines: "list[subprocess.Popen[str]]") -> None:
    """Wait until some steps of a training have been taken, and its first epochs written."""
    while not (out / "metrics.jsonl").exists():
        if any(machine.poll() is not None for machine in machines):
            raise SystemExit(machines[0].communicate()[1])
        time.sleep(0.05)


def ended(machines: "list[subprocess.Popen[str]]", out: Path, expected: str, limit: float = 120.0) -> str:
    """How a training ended on both machines, and after how many seconds."""
    began, lines, codes = time.monotonic(), "", []
    for machine in machines:
        try:
            _, said = machine.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            kill(machine)
            codes.append("killed")
            continue
        codes.append(str(machine.returncode))
        told = [line for line in said.splitlines() if line.startswith("striate: ")]
        lines += f"; {told[-1]}" if told and machine.returncode else ""
    weights = out / WEIGHTS
    same = (
        "no weights" if not weights.exists() else "equal bytes" if sha256(weights.read_bytes()) == expected else "OTHER"
    )
    return f"{same}; exit codes {', '.join(codes)} after {time.monotonic() - began:.0f} s{lines}"


def tried(what: str, place: Path, steps: int, expected: str) -> str:
    """Train over both machines, with what happens to them meanwhile."""
    out = place / what
    machines = [start(machine, out, steps, timeout=20 if what == "ended" else 300) for machine in (0, 1)]
    try:
        if what != "whole":
            until_training(out, machines)
            time.sleep(random.uniform(0.0, 0.5))
        if what in ("cut", "ended"):
            ip("-n", NAMES[1], "link", "set", NAMES[1], "down")
        if what == "cut":
            time.sleep(10.0)
            ip("-n", NAMES[1], "link", "set", NAMES[1], "up")
        if what == "back":
            kill(machines[1])
            time.sleep(5.0)
            machines[1] = start(1, out, steps)
        return ended(machines, out, expected)
    finally:
        for machine in machines:
            if machine.poll() is None:
                kill(machine)
        if what == "ended":
            ip("-n", NAMES[1], "link", "set", NAMES[1], "up")


CASES = {
    "whole": "both machines, undisturbed",
    "cut": "the link cut for ten seconds",
    "ended": "the link cut for good, STRIATE_TIMEOUT=20",
    "back": "a machine killed, and started again after five seconds",
}


def main() -> None:
    """Try what was asked for, and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(CASES))
    options.add_argument("--steps", type=int, default=1500)
    options.add_argument("--out", type=Path, default=Path("two-machines.json"))
    given = options.parse_args()
    measured, rows = Measured(given.out), []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train(place / "alone", "lenet5", "--set", f"steps={given.steps}", "--shards", 4)
        expected = sha256((place / "alone" / WEIGHTS).read_bytes())
        unlinked()
        linked()
        try:
            for what in given.only.split(","):
                result = measured.once(what, partial(tried, what, place, given.steps, expected))
                rows.append([CASES[what], result])
        finally:
            unlinked()
    print(table("Two machines", ("what", "result"), rows))


if __name__ == "__main__":
    main()
