"""The command `striate`: all subcommands, error messages and exit codes."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from striate.cli import launch
from striate.cli.advise import advise
from striate.cli.augment import augment
from striate.cli.compare import compare
from striate.cli.console import say, show
from striate.cli.data import data, pack
from striate.cli.describe import describe
from striate.cli.evaluate import evaluate, predict
from striate.cli.export import export
from striate.cli.invariance import invariance
from striate.cli.report import explain, report
from striate.cli.serve import serve
from striate.cli.show import depthwise, pooling
from striate.cli.train import train
from striate.errors import ArgumentError, LostProcessError, StriateError
from striate.hardware import wait_briefly
from striate.processes import joined, started
from striate.version import __version__

INTERRUPTED = 130  # 128 + SIGINT
TOGETHER = ("train", "evaluate", "compare", "predict", "invariance")  # commands that several processes run together


class _Commands(TyperGroup):
    """Commands whose names may be two words: "data pack" is one beside "data", and is tried first."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        words = [" ".join(args[:2]), *args[2:]] if " ".join(args[:2]) in self.commands else args
        return super().resolve_command(ctx, words)


app = typer.Typer(
    name="striate",
    cls=_Commands,
    help="Train convolutional image classifiers, measure them, and see what they learned.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich's help would cost a third of the start-up time
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        show(f"striate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    if started() and context.invoked_subcommand not in TOGETHER:
        raise ArgumentError(
            f"striate {context.invoked_subcommand} runs in one process: start it without torchrun, which serves "
            f"{', '.join(TOGETHER)}."
        )


for command in (
    train,
    evaluate,
    compare,
    predict,
    export,
    serve,
    explain,
    report,
    describe,
    invariance,
    advise,
    data,
    augment,
):
    app.command()(command)
app.command("data pack")(pack)
app.command("show pooling")(pooling)
app.command("show depthwise")(depthwise)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a run failed, 2 the request can't be met, 130 stopped by Ctrl-C."""
    _prepare_process()
    if launch.has_ended():
        return
    try:
        with joined():
            app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            say("striate: stopped.")
        raise
    except StriateError as error:
        again = isinstance(error, LostProcessError) and launch.is_ours()
        say("striate: a process was lost; all start again." if again else f"striate: {error}")
        sys.exit(launch.ended(error))
    except KeyboardInterrupt:
        say("striate: stopped.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        say(f"striate: {error}")
        sys.exit(1)
    except Exception as error:
        if os.environ.get("STRIATE_DEBUG"):
            raise
        say(
            f"striate: unexpected {type(error).__name__}: {error}. This is a bug in Striate; "
            "please report it with the traceback that STRIATE_DEBUG=1 shows."
        )
        sys.exit(1)


def _prepare_process() -> None:
    """Make the process independent of what it was started from: a notebook, a service, a closed terminal."""
    wait_briefly()
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files; a notebook names a backend whose package may not be here
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # or a file that is opened later becomes standard error, and gets what libraries print
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    if started() and os.environ["RANK"] != "0" and not os.environ.get("STRIATE_DEBUG"):
        sys.stdout = sys.stderr = None  # the first process speaks for all
