"""The parts of a report that inspect the network: each makes what its template shows, or says why it can't.

A section is a function from a `Subject` to the values of its template, sections/NAME.html.j2, or to `None` where the
report goes without it. The template finds them under the section's name. What it raises becomes a sentence there.
"""

from collections.abc import Callable
from typing import Any

from striate.errors import StriateError
from striate.reporting.advice import advice
from striate.reporting.attribution import attribution
from striate.reporting.insides import insides
from striate.reporting.invariance import invariance
from striate.reporting.subject import Subject

Values = dict[str, Any] | None


def architecture(subject: Subject) -> Values:
    """The table's columns, those that say nothing left out, its rows and its totals."""
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
    """All sections by their names. One that can't be made holds the reason, in a sentence, as "refused"."""
    found: dict[str, Values] = {}
    for number, (name, make) in enumerate(SECTIONS.items()):
        subject.progress("inspecting", number, len(SECTIONS))
        try:
            found[name] = make(subject)
        except (StriateError, RuntimeError) as error:  # the latter where a foreign network meets what torch can't do
            found[name] = {"refused": str(error).split("\n", 1)[0]}
    subject.progress("inspecting", len(SECTIONS), len(SECTIONS))
    return found
