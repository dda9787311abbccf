"""The receptive field of every layer of a network."""

from torch import nn

from striate.inspection.field import Field
from striate.inspection.subject import input_shape_of, module_of
from striate.inspection.tracing import trace
from striate.runs import Run


def receptive_fields(
    model: nn.Module | Run, input_shape: tuple[int, int, int] | None = None
) -> dict[str, Field | None]:
    """What the units of every layer can see: exactly, through all branches, whatever the network is written with.

    One image of zeros goes through, and below the modules every operation is watched and its output's cells get the
    rectangles of pixels that they depend on: windows widen them, sums and stacked maps unite them.

    Args:
        model: any module, or a run, whose model is then made afresh.
        input_shape: channels, height, width; known for models that Striate made.

    Returns:
        The field of each module that is called, the containers included, by its path and in the order in which they
        end; of one that is called several times the last. `None` where an operation took part of which it is not known
        what it looks at. The model stays as it was.

    Raises:
        ArgumentError, ShapeError: as `describe`.

    >>> fields = receptive_fields(nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.MaxPool2d(2)), (1, 28, 28))
    >>> fields["1"].size, fields["1"].stride, fields["1"].start, fields["1"].centre
    ((6, 6), (2, 2), (-2, -2), (0.5, 0.5))
    """
    module = module_of(model)
    fields: dict[str, Field | None] = {}
    for call in trace(module, input_shape_of(module, input_shape), every=True):
        fields.pop(call.name, None)  # so that the order is that of the last calls
        fields[call.name] = call.field
    return fields
