"""Pages from templates: one look, and the filters that write values for people."""

import os
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from striate.evaluation.text import duration, percent


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """The page that a template of this package makes of the values, in UTF-8."""
    environment = Environment(
        loader=PackageLoader("striate.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "shown": _shown, "duration": duration, "basename": os.path.basename}
    return environment.get_template(template).render(values).encode("utf-8", "replace")


def _shown(value: Any) -> str:
    """A value of a table for people: 48,120 and 5×5, and nothing where there is nothing."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return "×".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _percent(fraction: float | None, digits: int = 2) -> str:
    return percent(fraction, digits).replace(" ", "\N{NO-BREAK SPACE}")
