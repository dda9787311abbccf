"""How good a run is: `evaluate`, `predict`, and `compare`, which sets runs side by side."""

from striate.evaluation.comparing import compare
from striate.evaluation.comparison import Comparison, Pair, Row
from striate.evaluation.comparison_page import report_comparison
from striate.evaluation.measure import Evaluation, evaluate
from striate.evaluation.outcome import Outcome, outcome
from striate.evaluation.prediction import Prediction, predict
from striate.evaluation.significance import Difference
from striate.evaluation.text import predictions_text
from striate.evaluation.trying import Trial, trial

__all__ = [
    "Comparison",
    "Difference",
    "Evaluation",
    "Outcome",
    "Pair",
    "Prediction",
    "Row",
    "Trial",
    "compare",
    "evaluate",
    "outcome",
    "predict",
    "predictions_text",
    "report_comparison",
    "trial",
]
