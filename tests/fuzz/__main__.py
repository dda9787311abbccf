"""`make fuzz`: give every reader inputs without end, or for some time, and count what becomes of them."""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

from fuzz.harness import MISTAKES, Outcome, table, tally
from fuzz.targets import TARGETS

_ROUND = 200  # inputs of a target in turn


def main() -> int:
    """Run until a limit or Ctrl-C; prints a table, and is 1 if there was a mistake."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--count", type=int, help="how many inputs for each target; no limit if not given")
    parser.add_argument("--seconds", type=float, help="for how long; no limit if not given")
    parser.add_argument("--seed", type=int, default=None, help="repeats the inputs of a run that printed it")
    parser.add_argument("--out", type=Path, default=Path(".fuzz"), help="where inputs that showed a mistake are kept")
    given = parser.parse_args()
    targets = [target for target in TARGETS if given.only in target.name]
    start = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {start}", flush=True)
    counts: dict[str, Counter[Outcome]] = {target.name: Counter() for target in targets}
    draw, begun = random.Random(start), time.monotonic()
    try:
        while wanted := [each for each in targets if counts[each.name].total() < (given.count or sys.maxsize)]:
            for target in wanted:
                left = (given.count or sys.maxsize) - counts[target.name].total()
                found = tally(target, min(_ROUND, left), draw.randrange(2**32))
                counts[target.name] += found.counts
                for what, mistake in found.mistakes:
                    _keep(given.out, target.name, what, mistake)
            if given.seconds is not None and time.monotonic() - begun > given.seconds:
                break
    except KeyboardInterrupt:
        print()
    print(table(list(counts.items())))
    return int(any(each[outcome] for each in counts.values() for outcome in MISTAKES))


def _keep(folder: Path, name: str, what: str, mistake: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = mistake if isinstance(mistake, bytes) else repr(mistake).encode()
    path = folder / f"{name.replace(' ', '-')}-{len(list(folder.iterdir())):04}"
    path.write_bytes(content)
    print(f"{name}: {what.splitlines()[0][:200]} ({path})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
