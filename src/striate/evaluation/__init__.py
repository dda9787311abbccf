"""How good a run is: `evaluate`, `predict`, and `report`, which shows it."""

from striate.evaluation.measure import Evaluation, evaluate
from striate.evaluation.page import report
from striate.evaluation.prediction import Prediction, predict
from striate.evaluation.text import predictions_text

__all__ = ["Evaluation", "Prediction", "evaluate", "predict", "predictions_text", "report"]
