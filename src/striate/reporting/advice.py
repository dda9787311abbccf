"""What could be better in the network, each finding with its number."""

from typing import Any

from striate.inspection import advise
from striate.inspection.advice import RULES
from striate.inspection.advice.text import listed, saving
from striate.reporting.subject import Subject

MOST = 1000  # images for the rules that look at what a trained network does
CHOSEN = tuple(rule for rule in RULES if rule != "slow-layer")  # measured times would make every report another
WORK = 10**12  # multiply-adds to spend on them: some seconds to a minute on a CPU core


def advice(subject: Subject) -> dict[str, Any]:
    """The findings in sentences, the rules that found nothing, and those that could not look, by their reasons."""
    run = subject.run
    found = advise(
        subject.model,
        None if subject.samples is None else subject.samples.drawn(subject.affordable(WORK, 64, MOST))[0],
        input_shape=subject.shape,
        preprocess=run.preprocess,
        recipe=run.recipe,
        rules=CHOSEN,
        device=subject.device,
        name=run.name,
    )
    findings = [
        {
            "rule": each.rule,
            "layers": listed(each.layers),
            "found": each.found,
            "change": each.change,
            "saves": saving(each.saves, found) if each.saves else "",
            "manual": each.manual,
        }
        for each in found.findings
    ]
    return {"findings": findings, "passed": found.passed, "skipped": dict(found.skipped), "name": run.path}
