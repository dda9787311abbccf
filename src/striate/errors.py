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
    """Base class of all errors that Striate raises on purpose.

    >>> try:
    ...     striate.create("lenet6")
    ... except striate.StriateError as error:
    ...     print(str(error).partition(" Known")[0])
    unknown model 'lenet6'. Did you mean 'lenet5'?
    """

    exit_code = 2


class ArgumentError(StriateError, ValueError):
    """An argument has an invalid value; what the message quotes of it stays on one line.

    >>> try:
    ...     striate.Recipe(epochs=0)
    ... except ArgumentError as error:
    ...     print(error)
    recipe setting epochs=0: Input should be greater than or equal to 1.
    """

    def __init__(self, message: str = ""):
        super().__init__("\\n".join(message.splitlines()))


class ShapeError(ArgumentError):
    """A tensor or an image has an invalid shape.

    >>> try:
    ...     striate.layers.MaxPool2d(3)(torch.zeros(1, 1, 2, 2))
    ... except ShapeError as error:
    ...     print(error)
    a window of 3 cells does not fit an axis of 2; use a smaller kernel, a larger image or padding="same"
    """


class DataError(StriateError):
    """A data set, one of its files or its classes can't be used.

    >>> try:
    ...     striate.load("no/such/folder")
    ... except DataError as error:
    ...     print(str(error).partition(" Expected")[0])
    no/such/folder does not exist.
    """


class BadFilesError(DataError):
    """Some files can't be decoded; `problems` maps each path to the reason, `skippable`: --skip-bad helps.

    >>> error = BadFilesError({"a.jpg": "empty"})
    >>> error.problems
    {'a.jpg': 'empty'}
    >>> print(error)
    a.jpg: empty: repair or remove it, or leave it out with --skip-bad.
    """

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
    """A run folder or a checkpoint is missing, damaged or of another kind.

    >>> try:
    ...     striate.Run.open("no/such/run")
    ... except CheckpointError as error:
    ...     print(str(error).partition(":")[0])
    no/such/run is no run
    """


class ExportError(StriateError):
    """A network can't be exported, or the exported file would not answer as the network does.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    >>> _ = network[1].weight.data.zero_()
    >>> try:
    ...     striate.export(network, out="constant.onnx", preprocess=run.preprocess)
    ... except ExportError as error:
    ...     print(str(error).partition(":")[0])
    Sequential gives all images the same logits, so no file could be verified
    """


class RunError(StriateError):
    """A run that had begun could not go on; what it had saved stays.

    >>> RunError.exit_code, issubclass(DivergedError, RunError), issubclass(StorageError, RunError)
    (1, True, True)
    """

    exit_code = 1


class DivergedError(RunError):
    """The loss became NaN or infinite.

    >>> try:
    ...     striate.train("mlp", data, epochs=1, learning_rate=1e9, clip_norm=0, out="runs/diverged")
    ... except DivergedError as error:
    ...     print(str(error)[:15])
    the loss became
    """


class StorageError(RunError):
    """A file could not be written.

    >>> try:
    ...     striate.report(run, out="/dev/null/report.html")
    ... except StorageError:
    ...     print("what was there before stays")
    what was there before stays
    """


class LostProcessError(RunError):
    """Another process of the run has ended, or can't be reached any more.

    >>> LostProcessError.exit_code, issubclass(LostProcessError, RunError)
    (1, True)
    """


class InterruptedRunError(RunError):
    """The user stopped the run; it is saved and can be resumed.

    >>> InterruptedRunError.exit_code
    130
    """

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
    """Translate other libraries' names, as in "lr is called learning_rate here"; empty if there are none.

    >>> renamed(["lr"], ["learning_rate", "epochs"])
    'lr is called learning_rate here'
    """
    own = set(known)
    return ", ".join(f"{name} is called {ELSEWHERE[name]} here" for name in names if ELSEWHERE.get(name) in own)


def unknown(kind: str, name: str, known: Iterable[str]) -> ArgumentError:
    """Return the error for a name that does not exist; it names the nearest one, then all of them.

    >>> print(unknown("model", "resnet19", ["resnet18", "vgg16"]))
    unknown model 'resnet19'. Did you mean 'resnet18'? Known: resnet18, vgg16.
    """
    names = sorted(known)
    if called := renamed([name], names):
        return ArgumentError(f"unknown {kind} '{name}': {called}.")
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ArgumentError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(names)}.")
