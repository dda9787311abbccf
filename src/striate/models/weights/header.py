"""Striate's own metadata in a file of weights: what made the model, its classes, and how images become its input."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from striate.preprocess import Fit, Preprocess
from striate.resizing import Interpolation

_Side = Annotated[int, Field(ge=1, le=2**15)]  # pixels


class _Strict(BaseModel):
    """Values of the right types, without conversions; other keys are left out."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class ArchitectureRecord(_Strict):
    """An `Architecture` in JSON."""

    name: str
    classes: Annotated[int, Field(ge=2, le=2**20)]
    channels: Annotated[int, Field(ge=1, le=2**10)]
    image_size: tuple[_Side, _Side]
    options: dict[str, str | bool] = {}


class PreprocessRecord(_Strict):
    """A `Preprocess` in JSON."""

    height: _Side
    width: _Side
    channels: int
    fit: Fit
    mean: tuple[FiniteFloat, ...]
    std: tuple[FiniteFloat, ...]
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"


class _Header(_Strict):
    architecture: ArchitectureRecord | None = None
    classes: tuple[str, ...] | None = None
    preprocess: PreprocessRecord | None = None


def parsed(text: str) -> dict[str, Any]:
    """Parse the metadata, as JSON, and check the type and range of every value; what is not there is left out.

    Raises:
        ValueError: if it is not what Striate writes.
    """
    try:
        header = _Header.model_validate_json(text).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ValueError(
            f"its header is not what Striate writes ({place}{': ' if place else ''}{first['msg']})"
        ) from None
    if "preprocess" in header:
        Preprocess(**header["preprocess"])
    return header
