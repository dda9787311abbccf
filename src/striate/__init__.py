"""Striate trains convolutional image classifiers, from LeNet-5 on, measures them and shows what they learned.

Three lines do the main job: `data = striate.load("digits")`, `run = striate.train("lenet5", data)` and
`striate.evaluate(run)`, whose `accuracy` is that of images the run has not seen. docs/python.md lists all public names.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from striate.version import __version__ as __version__

_HOME = {
    "Advice": "striate.inspection",
    "ArchitectureTable": "striate.inspection",
    "Audit": "striate.inspection",
    "Comparison": "striate.comparison",
    "Dataset": "striate.data",
    "Evaluation": "striate.evaluation",
    "Export": "striate.exporting",
    "Invariance": "striate.inspection",
    "Loader": "striate.data",
    "Page": "striate.reports",
    "Prediction": "striate.evaluation",
    "Predictor": "striate.inference",
    "Preprocess": "striate.preprocess",
    "Recipe": "striate.training",
    "Run": "striate.runs",
    "Split": "striate.data",
    "StriateError": "striate.errors",
    "advise": "striate.inspection",
    "audit": "striate.inspection",
    "compare": "striate.comparison",
    "create": "striate.models",
    "describe": "striate.inspection",
    "evaluate": "striate.evaluation",
    "explain": "striate.reports",
    "export": "striate.exporting",
    "invariance": "striate.inspection",
    "load": "striate.data",
    "predict": "striate.evaluation",
    "report": "striate.reports",
    "resume": "striate.runs",
    "train": "striate.runs",
}
_PACKAGES = (
    *(
        "augmentation",
        "comparison",
        "data",
        "errors",
        "evaluation",
        "exporting",
        "inference",
        "inspection",
        "layers",
        "models",
    ),
    *("reports", "runs", "training"),
)

__all__ = [
    "Advice",
    "ArchitectureTable",
    "Audit",
    "Comparison",
    "Dataset",
    "Evaluation",
    "Export",
    "Invariance",
    "Loader",
    "Page",
    "Prediction",
    "Predictor",
    "Preprocess",
    "Recipe",
    "Run",
    "Split",
    "StriateError",
    "advise",
    "audit",
    "augmentation",
    "compare",
    "create",
    "data",
    "describe",
    "evaluate",
    "explain",
    "export",
    "invariance",
    "layers",
    "load",
    "models",
    "predict",
    "report",
    "resume",
    "train",
]

if TYPE_CHECKING:
    from striate import augmentation, data, layers, models
    from striate.comparison import Comparison, compare
    from striate.data import Dataset, Loader, Split, load
    from striate.errors import StriateError
    from striate.evaluation import Evaluation, Prediction, evaluate, predict
    from striate.exporting import Export, export
    from striate.inference import Predictor
    from striate.inspection import Advice, ArchitectureTable, Audit, Invariance, advise, audit, describe, invariance
    from striate.models import create
    from striate.preprocess import Preprocess
    from striate.reports import Page, explain, report
    from striate.runs import Run, resume, train
    from striate.training import Recipe


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562): `import striate` alone costs next to nothing."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _PACKAGES:
        return import_module(f"striate.{name}")
    raise AttributeError(f"module 'striate' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
