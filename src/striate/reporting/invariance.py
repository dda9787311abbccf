"""How invariant the network is, where that is made, and what a blur, or another run, has over it."""

from typing import Any

from striate.errors import ArgumentError
from striate.evaluation.metrics import wilson_interval
from striate.inspection import Invariance
from striate.inspection import invariance as measure
from striate.inspection.counterpart import counterpart, timed_in_turns
from striate.inspection.invariance_page import curves, layers, side_by_side
from striate.reporting.subject import Subject

MOST = 1000  # images
WORK = 3 * 10**12 // 2  # multiply-adds to spend on them: some ten seconds on two CPU cores
PASSES = 62  # of an image, through all curves


def invariance(subject: Subject) -> dict[str, Any] | None:
    """All curves and layers of the run's network; of the networks beside it the shift consistency."""
    if subject.samples is None:
        return None
    run, notes = subject.run, []
    images, labels = subject.samples.drawn(subject.affordable(WORK, 64, MOST, PASSES))
    settings: dict[str, Any] = {"device": subject.device, "progress": subject.progress}
    own = (run.name, subject.model, run.preprocess)
    first = measure(subject.model, images, labels, preprocess=run.preprocess, name=run.name, **settings)
    others = list(subject.against)
    try:
        twin = counterpart(run)
        others = [(*twin, run.preprocess), *others] if twin else others
    except ArgumentError as error:
        notes.append(f"No blurred network stands beside it: {error}")
    found = [first]
    for name, model, preprocess in others:
        found.append(measure(model, images, labels, preprocess=preprocess, name=name, brief=True, **settings))
    found = timed_in_turns(found, [own, *others], images, subject.device)
    return {
        "n": first.n,
        "notes": notes,
        "consistency": first.shift_consistency().consistency,
        "interval": _interval(first),
        **side_by_side(found),
        **curves([first]),
        **layers(first),
    }


def _interval(found: Invariance) -> tuple[float, float]:
    """Where the shift consistency on other such images lies with 95 % confidence."""
    return wilson_interval(round(found.shift_consistency().consistency * found.n), found.n)
