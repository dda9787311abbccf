"""The command `striate` with a clock: `python -m benchmarks.workers.command MARKS.json train …`.

It does what `striate train …` does, in the same order, and writes the moments at which its parts ended to a file, in
seconds since the epoch.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

marks: dict[str, float] = {}


def mark(name: str) -> None:
    """Note that a part ends now."""
    marks[name] = time.time()


def marking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, noted whenever it ends."""

    def marked(*arguments: Any, **settings: Any) -> Any:
        result = function(*arguments, **settings)
        mark(name)
        return result

    return marked


def watch_training() -> None:
    """Note the parts of `striate train`."""
    from striate import data, runs
    from striate.cli.progress import Progress
    from striate.training import Step

    mark("other imports")
    data_module: Any = data
    data_module.load = marking("loading", data.load)
    shown = Progress.__call__

    def observed(self: Progress, event: Any) -> None:
        if isinstance(event, runs.Begun):
            mark("preparation")
        elif isinstance(event, Step):
            mark("first step" if event.step == 1 else "other steps")
        elif isinstance(event, runs.Ended):
            mark("evaluation")
        shown(self, event)

    Progress.__call__ = observed  # type: ignore[method-assign]


def watch_answers() -> None:
    """Note the parts of `striate evaluate` and `striate predict`."""
    from striate.evaluation import evaluation, prediction  # noqa: F401, imported here as part of "other imports"
    from striate.runs import Run, Trained

    mark("other imports")
    Run.data = marking("loading", Run.data)  # type: ignore[method-assign]
    Trained.logits = marking("computing", Trained.logits)  # type: ignore[method-assign]


def main() -> None:
    """Run the command."""
    file, command, *_ = sys.argv[1:]
    sys.argv = ["striate", *sys.argv[2:]]
    mark("Python")
    from striate.cli import main as program
    from striate.cli.launch import importing

    mark("the command line")
    with importing():
        import torch  # noqa: F401

        mark("import torch")
        (watch_training if command == "train" else watch_answers)()
    try:
        program.main()
    finally:
        mark("report")
        Path(file).write_text(json.dumps(marks))


if __name__ == "__main__":
    main()
