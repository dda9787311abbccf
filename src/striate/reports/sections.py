"""Sections of a run's report that inspect the network: attributions, invariance, advice, architecture, features.

A section is a function from a `Subject` to the values of its template, sections/NAME.html.j2, or to `None` where the
report goes without it. The template finds them under the section's name. An error becomes a sentence there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from striate.errors import ArgumentError, StriateError
from striate.evaluation.metrics import wilson_interval
from striate.inspection import Invariance, advise, evidence, receptive_fields
from striate.inspection import invariance as measure
from striate.inspection.advice import RULES
from striate.inspection.advice.finding import listed, saving
from striate.inspection.evidence import stages
from striate.inspection.examples import Examples
from striate.inspection.features import last_feature_maps
from striate.inspection.invariances.classifier import counterpart, timed_in_turns
from striate.inspection.structure.inputs import like
from striate.reports import pictures
from striate.reports.invariance_page import curves, layers, side_by_side
from striate.reports.pictures import over
from striate.reports.subject import Subject

ATTRIBUTION_IMAGES = 4  # images
ATTRIBUTION_WORK = 10**12  # multiply-adds to spend: some seconds to a minute on a CPU core
ATTRIBUTION_PASSES = 2 * 3 * evidence.STEPS  # of an image: the trained network and the random one, forward and back


def attribution(subject: Subject) -> dict[str, Any] | None:
    """Grad-CAM and integrated gradients of the most confident correct predictions and mistakes."""
    if subject.samples is None or subject.evaluation is None:
        return None
    positions = subject.telling(subject.affordable(ATTRIBUTION_WORK, 1, ATTRIBUTION_IMAGES, ATTRIBUTION_PASSES))
    chosen = subject.samples.split.images[torch.tensor(positions)]
    targets = subject.evaluation.predicted[positions]
    layer, no_cam = _last_maps(subject)
    ways = _ways(subject, chosen, targets, layer)
    rows = []
    for number, position in enumerate(positions):
        pixels, true, predicted = chosen[number].numpy(), subject.evaluation.labels[position], targets[number]
        rows.append(
            {
                "seen": over(pixels, "the image"),
                "true": subject.run.classes[int(true)],
                "predicted": subject.run.classes[int(predicted)],
                "right": bool(true == predicted),
                "probability": float(subject.evaluation.probabilities[position].max()),
                "ways": {name: pictures.attribution(pixels, found[number]) for name, found in ways.items()},
            }
        )
    likeness = {name: _mean([each.correlation for each in found]) for name, found in ways.items()}
    return {"rows": rows, "layer": layer, "no_cam": no_cam, "likeness": likeness, "alike": evidence.SIMILAR}


def _ways(
    subject: Subject, chosen: Tensor, targets: Tensor, layer: str | None
) -> dict[str, list[evidence.Attribution]]:
    inputs, black = subject.inputs(chosen), subject.inputs(torch.zeros_like(chosen[:1]))
    ways = {"Grad-CAM": evidence.grad_cams(subject.model, inputs, targets, layer)} if layer else {}
    ways["integrated gradients"] = evidence.pixel_attributions(subject.model, inputs, targets, black)
    return ways


def _last_maps(subject: Subject) -> tuple[str | None, str | None]:
    """The last layer with feature maps, or the reason why there is none."""
    try:
        return last_feature_maps(subject.model, subject.shape), None
    except ArgumentError as error:
        return None, str(error)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


INVARIANCE_IMAGES = 1000  # images
INVARIANCE_WORK = 3 * 10**12 // 2  # multiply-adds to spend on them: some ten seconds on two CPU cores
INVARIANCE_PASSES = 62  # of an image, through all curves


def invariance(subject: Subject) -> dict[str, Any] | None:
    """Shift consistency, all curves and all layers of the run's network; of the compared networks shift consistency.

    The compared networks are the run's own with a blur or without, and other runs.
    """
    if subject.samples is None:
        return None
    run, notes = subject.run, []
    images, labels = subject.samples.drawn(
        subject.affordable(INVARIANCE_WORK, 64, INVARIANCE_IMAGES, INVARIANCE_PASSES)
    )
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
    """95 % confidence interval of the shift consistency (Wilson), over such images."""
    return wilson_interval(round(found.shift_consistency().consistency * found.n), found.n)


UNITS, EXCITING = 4, 6  # units of the last layer with maps, and images for each
INSIDES_IMAGES = 1000  # images, at most, among which the exciting ones are
INSIDES_WORK = 10**12  # multiply-adds to spend on these images: some seconds to a minute on a CPU core
INSIDES_FIELD_WORK = 3 * 10**10  # and on the effective fields of one layer


def insides(subject: Subject) -> dict[str, Any] | None:
    """Receptive fields over an image, its feature maps layer by layer, and the images that excite units most."""
    if subject.samples is None:
        return None
    layer = last_feature_maps(subject.model, subject.shape)
    shown, split = stages(subject.model, subject.shape), subject.samples.split
    positions = torch.tensor(subject.telling(UNITS))
    chosen = split.images[positions]
    inputs = subject.inputs(chosen)
    units = dict.fromkeys(
        unit for each in inputs for unit in evidence.strongest_units(subject.model, each[None], layer)[:2]
    )
    examples = Examples(
        subject.model, split, subject.run.classes, subject.run.preprocess,
        subject.affordable(INSIDES_WORK, 64, INSIDES_IMAGES), like(subject.model).device, layer, list(units)[:UNITS],
    )  # fmt: skip
    measured = subject.inputs(examples.images[: subject.affordable(INSIDES_FIELD_WORK, 4, 32)])
    field = receptive_fields(subject.model, subject.shape).get(layer)
    return {
        "layer": layer,
        "sights": pictures.unit_fields(subject.model, measured, shown, chosen[0].numpy()),
        "samples": len(measured),
        "maps": pictures.feature_maps(subject.model, inputs[:1], shown),
        "most_maps": evidence.MOST_FEATURE_MAPS,
        "examples": examples,
        "excited": [
            (unit, [pictures.framed(each, field) for each in examples.exciting(unit, EXCITING)])
            for unit in examples.units
        ],
        "shown": subject.run.classes[int(split.labels[positions[0]])],
    }


ADVICE_IMAGES = 1000  # images for the rules that look at what a trained network does
ADVICE_RULES = tuple(rule for rule in RULES if rule != "slow-layer")  # measured times would make every report another
ADVICE_WORK = 10**12  # multiply-adds to spend on them: some seconds to a minute on a CPU core


def advice(subject: Subject) -> dict[str, Any]:
    """Findings as sentences, rules that found nothing, and skipped rules with their reasons."""
    run = subject.run
    found = advise(
        subject.model,
        None
        if subject.samples is None
        else subject.samples.drawn(subject.affordable(ADVICE_WORK, 64, ADVICE_IMAGES))[0],
        input_shape=subject.shape,
        preprocess=run.preprocess,
        recipe=run.recipe,
        rules=ADVICE_RULES,
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


Values = dict[str, Any] | None


def architecture(subject: Subject) -> Values:
    """The architecture table: its non-empty columns, its rows and its totals."""
    values = subject.table.to_dict()
    layers = values["layers"]
    columns = [key for key in layers[0] if any(layer[key] not in (None, "", 0) for layer in layers)]
    return {"columns": columns, "layers": layers, "totals": values["totals"]}


SECTIONS: dict[str, Callable[[Subject], Values]] = {
    "attribution": attribution,
    "invariance": invariance,
    "advice": advice,
    "architecture": architecture,
    "insides": insides,
}


def sections(subject: Subject) -> dict[str, Values]:
    """Make all sections, by name. A section that fails holds the reason, in a sentence, as "refused"."""
    found: dict[str, Values] = {}
    for number, (name, make) in enumerate(SECTIONS.items()):
        subject.progress("inspecting", number, len(SECTIONS))
        try:
            found[name] = make(subject)
        except (StriateError, RuntimeError) as error:  # the latter where a foreign network meets what torch can't do
            found[name] = {"refused": str(error).split("\n", 1)[0]}
    subject.progress("inspecting", len(SECTIONS), len(SECTIONS))
    return found
