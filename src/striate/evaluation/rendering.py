"""Pages from templates: one look, and the filters that write values for people."""

import os
from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from striate.evaluation.text import duration, percent


def render(template: str, values: Mapping[str, Any], package: str = "striate.evaluation") -> bytes:
    """The page that a template makes of the values, in UTF-8.

    Args:
        template: a file in the templates of `package`; those of this package can be built upon.
        values: what the template calls for, all of it.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("striate.evaluation")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "shown": _shown, "duration": duration, "basename": os.path.basename}
    environment.filters["decimals"] = _decimals
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


def _decimals(value: float, digits: int = 2) -> str:
    """A number with a minus sign that is as wide as a plus."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
