"""Exceptions that Striate raises, in one tree. Every message says what happened, where, and what to do.

StriateError                    exit code 2: the request can't be met as it stands
├── ArgumentError               an argument's value or name; also a ValueError
│   └── ShapeError              a tensor's or an image's shape
├── DataError                   a data set, a file of it, or its classes
│   └── BadFilesError           files that can't be decoded, all of them named
├── CheckpointError             a run folder or a checkpoint that can't be used
├── ExportError                 a network that can't be exported, or whose exported file would answer otherwise
└── RunError                    exit code 1: a run that had begun could not go on
    ├── DivergedError           the loss became NaN or infinite
    ├── StorageError            a file could not be written (a full disk, no permission)
    ├── LostProcessError        another process of the run has ended, or can't be reached
    └── InterruptedRunError     exit code 130: Ctrl-C or SIGTERM; everything is saved
"""

import difflib
from collections.abc import Iterable


class StriateError(Exception):
    """Base class of all errors that Striate raises on purpose."""

    exit_code = 2


class ArgumentError(StriateError, ValueError):
    """An argument has an invalid value; what the message quotes of it stays on one line."""

    def __init__(self, message: str = ""):
        super().__init__("\\n".join(message.splitlines()))


class ShapeError(ArgumentError):
    """A tensor or an image has an invalid shape."""


class DataError(StriateError):
    """A data set, one of its files or its classes can't be used."""


class BadFilesError(DataError):
    """Some files can't be decoded; `problems` maps each path to the reason, `skippable`: --skip-bad helps."""

    def __init__(self, problems: dict[str, str], skippable: bool = True):
        self.problems = dict(problems)
        lines = [f"{path}: {reason}".replace("\n", "\\n") for path, reason in self.problems.items()]
        them = "it" if len(lines) == 1 else "them"
        advice = f"repair or remove {them}" + (f", or leave {them} out with --skip-bad" if skippable else "")
        if len(lines) == 1:
            super().__init__(f"{lines[0]}: {advice}.")
        else:
            super().__init__("\n  ".join([f"{len(lines)} files can't be used; {advice}:", *lines]))


class CheckpointError(StriateError):
    """A run folder or a checkpoint is missing, damaged or of another kind."""


class ExportError(StriateError):
    """A network can't be exported, or the exported file would not answer as the network does."""


class RunError(StriateError):
    """A run that had begun could not go on; what it had saved stays."""

    exit_code = 1


class DivergedError(RunError):
    """The loss became NaN or infinite."""


class StorageError(RunError):
    """A file could not be written."""


class LostProcessError(RunError):
    """Another process of the run has ended, or can't be reached any more."""


class InterruptedRunError(RunError):
    """The user stopped the run; it is saved and can be resumed."""

    exit_code = 130


# What timm, torchvision, Keras, fastai and scikit-learn call things, and what they are called here.
ELSEWHERE = {
    "aug": "augment",
    "augmentation": "augment",
    "batch": "batch_size",
    "bs": "batch_size",
    "in_channels": "channels",
    "in_chans": "channels",
    "img_size": "image_size",
    "input_size": "image_size",
    "label_smooth": "label_smoothing",
    "lr": "learning_rate",
    "lr_max": "learning_rate",
    "max_lr": "learning_rate",
    "n_epochs": "epochs",
    "num_classes": "classes",
    "num_epochs": "epochs",
    "opt": "optimizer",
    "pretrained": "weights",
    "random_seed": "seed",
    "random_state": "seed",
    "sched": "schedule",
    "scheduler": "schedule",
    "smoothing": "label_smoothing",
    "warmup_ratio": "warmup",
    "wd": "weight_decay",
}


def renamed(names: Iterable[str], known: Iterable[str]) -> str:
    """Translate other libraries' names, as in "lr is called learning_rate here"; empty if there are none."""
    own = set(known)
    return ", ".join(f"{name} is called {ELSEWHERE[name]} here" for name in names if ELSEWHERE.get(name) in own)


def unknown(kind: str, name: str, known: Iterable[str]) -> ArgumentError:
    """Return the error for a name that does not exist; it names the nearest one, then all of them."""
    names = sorted(known)
    if called := renamed([name], names):
        return ArgumentError(f"unknown {kind} '{name}': {called}.")
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ArgumentError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(names)}.")
