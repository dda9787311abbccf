"""Sections of a run's report that inspect the network: attributions, invariance, advice, architecture, features.

A section is a function from an `InspectedRun` to the values of its template, sections/NAME.html.j2, or to `None` where
the report goes without it. The template finds them under the section's name. An error becomes a sentence there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from striate.drawing import svg_uri
from striate.errors import ArgumentError, StriateError
from striate.evaluation.metrics import wilson_interval
from striate.inspection import Invariance, advise, architecture_svg, evidence, receptive_fields
from striate.inspection import invariance as measure
from striate.inspection.advice import RULES
from striate.inspection.advice.rule import MOST_LAYERS, saving
from striate.inspection.evidence import stages
from striate.inspection.examples import Examples
from striate.inspection.features import last_feature_maps
from striate.inspection.invariances.classifier import counterpart, timed_in_turns
from striate.inspection.structure.inputs import like
from striate.reports import pictures
from striate.reports.inspected_run import InspectedRun
from striate.reports.invariance_page import curves, layers, side_by_side
from striate.reports.pictures import over
from striate.units import listed

ATTRIBUTION_IMAGES = 4  # images
ATTRIBUTION_WORK = 10**12  # multiply-adds to spend: some seconds to a minute on a CPU core
ATTRIBUTION_PASSES = 2 * 3 * evidence.STEPS  # of an image: the trained network and the random one, forward and back


INVARIANCE_IMAGES = 1000  # images
INVARIANCE_WORK = 3 * 10**12 // 2  # multiply-adds to spend on them: some ten seconds on two CPU cores
INVARIANCE_PASSES = 62  # of an image, through all curves
UNITS, EXCITING = 4, 6  # units of the last layer with feature maps, and images for each
INSIDES_IMAGES = 1000  # images, at most, among which the exciting ones are found
INSIDES_WORK = 10**12  # multiply-adds to spend on these images: some seconds to a minute on a CPU core
INSIDES_FIELD_WORK = 3 * 10**10  # and on the effective fields of one layer
ADVICE_IMAGES = 1000  # images for the rules that check activations
ADVICE_RULES = tuple(rule for rule in RULES if rule != "slow-layer")  # measured times would differ in every report
ADVICE_WORK = 10**12  # multiply-adds to spend on them: some seconds to a minute on a CPU core


def attribution(inspected: InspectedRun) -> dict[str, Any] | None:
    """Grad-CAM and integrated gradients of the most confident correct predictions and mistakes."""
    if inspected.samples is None or inspected.evaluation is None:
        return None
    positions = inspected.most_confident(
        inspected.affordable(ATTRIBUTION_WORK, 1, ATTRIBUTION_IMAGES, ATTRIBUTION_PASSES)
    )
    chosen = inspected.samples.split.images[torch.tensor(positions)]
    targets = inspected.evaluation.predicted[positions]
    layer, no_cam = evidence.last_layer(inspected.model, inspected.shape)
    ways = _ways(inspected, chosen, targets, layer)
    rows = []
    for number, position in enumerate(positions):
        pixels, true, predicted = chosen[number].numpy(), inspected.evaluation.labels[position], targets[number]
        rows.append(
            {
                "seen": over(pixels, "the image"),
                "true": inspected.trained.classes[int(true)],
                "predicted": inspected.trained.classes[int(predicted)],
                "right": bool(true == predicted),
                "probability": float(inspected.evaluation.probabilities[position].max()),
                "ways": {name: pictures.attribution(pixels, found[number]) for name, found in ways.items()},
            }
        )
    similarities = {name: _mean([each.correlation for each in found]) for name, found in ways.items()}
    return {"rows": rows, "layer": layer, "no_cam": no_cam, "similarities": similarities, "similar": evidence.SIMILAR}


def invariance(inspected: InspectedRun) -> dict[str, Any] | None:
    """Shift consistency, all curves and all layers of the run's network; of the compared networks shift consistency.

    The compared networks are the run's own with a blur or without, and other runs.
    """
    if inspected.samples is None:
        return None
    trained, notes = inspected.trained, []
    images, labels = inspected.samples.drawn(
        inspected.affordable(INVARIANCE_WORK, 16, INVARIANCE_IMAGES, INVARIANCE_PASSES)
    )
    settings: dict[str, Any] = {"device": inspected.device, "progress": inspected.progress}
    own = (trained.name, inspected.model, trained.preprocess)
    first = measure(inspected.model, images, labels, preprocess=trained.preprocess, name=trained.name, **settings)
    others = list(inspected.against)
    try:
        blurred = counterpart(trained.run) if trained.run else None
        others = [(*blurred, trained.preprocess), *others] if blurred else others
    except ArgumentError as error:
        notes.append(f"Not compared with a blurred network: {error}")
    found = [first]
    for name, model, preprocess in others:
        found.append(measure(model, images, labels, preprocess=preprocess, name=name, brief=True, **settings))
    found = timed_in_turns(found, [own, *others], images, inspected.device)
    return {
        "n": first.n,
        "notes": notes,
        "consistency": first.shift_consistency().consistency,
        "interval": _interval(first),
        **side_by_side(found),
        **curves([first]),
        **layers(first),
    }


def insides(inspected: InspectedRun) -> dict[str, Any] | None:
    """Receptive fields over an image, its feature maps layer by layer, and the images that excite units most."""
    if inspected.samples is None:
        return None
    layer = last_feature_maps(inspected.model, inspected.shape)
    shown, split = stages(inspected.model, inspected.shape), inspected.samples.split
    positions = torch.tensor(inspected.most_confident(UNITS))
    chosen = split.images[positions]
    inputs = inspected.inputs(chosen)
    units = dict.fromkeys(
        unit for each in inputs for unit in evidence.strongest_units(inspected.model, each[None], layer)[:2]
    )
    examples = Examples(
        inspected.model, split, inspected.trained.classes, inspected.trained.preprocess,
        inspected.affordable(INSIDES_WORK, 32, INSIDES_IMAGES), like(inspected.model).device,
        layer, list(units)[:UNITS],
    )  # fmt: skip
    measured = inspected.inputs(examples.images[: inspected.affordable(INSIDES_FIELD_WORK, 4, 32)])
    field = receptive_fields(inspected.model, inspected.shape).get(layer)
    return {
        "layer": layer,
        "fields": pictures.unit_fields(inspected.model, measured, shown, chosen[0].numpy()),
        "samples": len(measured),
        "feature_maps": pictures.feature_maps(inspected.model, inputs[:1], shown),
        "most_feature_maps": evidence.MOST_FEATURE_MAPS,
        "examples": examples,
        "excited": [
            (unit, [pictures.framed(each, field) for each in examples.exciting(unit, EXCITING)])
            for unit in examples.units
        ],
        "shown": inspected.trained.classes[int(split.labels[positions[0]])],
    }


def advice(inspected: InspectedRun) -> dict[str, Any]:
    """Findings as sentences, rules that found nothing, and skipped rules with their reasons."""
    trained = inspected.trained
    found = advise(
        inspected.model,
        None
        if inspected.samples is None
        else inspected.samples.drawn(inspected.affordable(ADVICE_WORK, 32, ADVICE_IMAGES))[0],
        input_shape=inspected.shape,
        preprocess=trained.preprocess,
        recipe=trained.run.recipe if trained.run else None,
        rules=ADVICE_RULES,
        device=inspected.device,
        name=trained.name,
    )
    findings = [
        {
            "rule": each.rule,
            "layers": listed(each.layers, MOST_LAYERS),
            "found": each.found,
            "change": each.change,
            "saves": saving(each.saves, found) if each.saves else "",
            "manual": each.manual,
        }
        for each in found.findings
    ]
    return {
        "findings": findings,
        "passed": found.passed,
        "skipped": dict(found.skipped),
        "name": trained.run.path if trained.run else trained.name,
    }


Values = dict[str, Any] | None


def architecture(inspected: InspectedRun) -> Values:
    """The drawing of the architecture, and its table: the non-empty columns, the rows and the totals."""
    values = inspected.table.to_dict()
    layers = values["layers"]
    columns = [key for key in layers[0] if any(layer[key] not in (None, "", 0) for layer in layers)]
    return {
        "drawing": svg_uri(architecture_svg(inspected.model, inspected.shape)),
        "columns": columns,
        "headers": {"maps": "channels"},
        "layers": layers,
        "totals": values["totals"],
    }


SECTIONS: dict[str, Callable[[InspectedRun], Values]] = {
    "attribution": attribution,
    "invariance": invariance,
    "advice": advice,
    "architecture": architecture,
    "insides": insides,
}


def sections(inspected: InspectedRun) -> dict[str, Values]:
    """Make all sections, by name. A section that fails holds the reason, in a sentence, as "refused"."""
    found: dict[str, Values] = {}
    for number, (name, make) in enumerate(SECTIONS.items()):
        inspected.progress("inspecting", number, len(SECTIONS))
        try:
            found[name] = make(inspected)
        except (StriateError, RuntimeError) as error:  # the latter where a foreign network meets what torch can't do
            found[name] = {"refused": str(error).split("\n", 1)[0]}
    inspected.progress("inspecting", len(SECTIONS), len(SECTIONS))
    return found


def _ways(
    inspected: InspectedRun, chosen: Tensor, targets: Tensor, layer: str | None
) -> dict[str, list[evidence.Attribution]]:
    inputs, black = inspected.inputs(chosen), inspected.inputs(torch.zeros_like(chosen[:1]))
    ways = {"Grad-CAM": evidence.grad_cams(inspected.model, inputs, targets, layer)} if layer else {}
    ways["integrated gradients"] = evidence.pixel_attributions(inspected.model, inputs, targets, black)
    return ways


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _interval(found: Invariance) -> tuple[float, float]:
    """95 % confidence interval of the shift consistency (Wilson), over such images."""
    return wilson_interval(round(found.shift_consistency().consistency * found.n), found.n)
