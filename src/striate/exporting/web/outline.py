"""Outline of a network for its page: the layers shown, their receptive fields, and the filters of their units."""

import base64
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate import layers
from striate.inspection.evidence import stages
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.trace import Call, trace

MOST_WEIGHTS = 2**18  # of a layer whose filters are drawn
MOST_VALUES = 2**22  # of one layer for one picture


@dataclass(frozen=True)
class Shown:
    """A layer that the page shows.

    Args:
        call: the one whose output is shown, behind activation and normalisation.
        lead: the layer that those follow; the same as `call` where nothing is folded.
        source: the call that made the lead's input, if one did.
    """

    call: Call
    lead: Call
    source: Call | None

    def outline(self) -> dict[str, Any]:
        """The layer as plain values for the page's JSON."""
        shape = (*self.call.output_shape[1:], 1, 1)[:3]
        kind = layer_kinds.kind(self.lead.module)
        after = "" if self.call is self.lead else layer_kinds.kind(self.call.module)
        field = self.call.field
        grid = len(self.call.output_shape) == 4 and field is not None and not field.whole
        return {
            "name": self.lead.name,
            "kind": f"{kind}, {after}" if after else kind,
            "shape": shape,
            "size": field.text if field is not None else "",
            "rows": field.rows if grid and field is not None else None,
            "columns": field.columns if grid and field is not None else None,
            "filters": _filters(self.lead, self.source),
        }


def shown_layers(module: nn.Module, input_shape: tuple[int, int, int]) -> list[Shown]:
    """Choose the layers to show, those of single values included, down to the last."""
    leaves = trace(module, input_shape)
    by_name = {call.name: call for call in leaves}
    found = []
    for call in stages(module, input_shape, dense=True):
        lead = by_name.get(call.name)
        if lead is None:  # a block
            found.append(Shown(call, call, None))
            continue
        lead = call = by_name[call.name]
        while _changes(lead.module) and lead.source is not None and lead.source >= 0:
            before = leaves[lead.source]
            if before.output_shape != lead.output_shape:
                break
            lead = before
        source = leaves[lead.source] if lead.source is not None and lead.source >= 0 else None
        found.append(Shown(call, lead, source))
    return [each for each in found if torch.Size(each.call.output_shape).numel() <= MOST_VALUES]


def _changes(module: nn.Module) -> bool:
    """Tell whether a layer merely changes values, one by one."""
    return bool(layer_kinds.activation(module)) or isinstance(module, (*layer_kinds.NORMS, *layer_kinds.DROPOUTS))


def _filters(lead: Call, source: Call | None) -> dict[str, Any] | None:
    """The filters of a layer's units as bytes: int8 (units, channels, rows, columns), the largest of each unit 127."""
    weight = _weight(lead.module)
    if weight is None or not 0 < weight.numel() <= MOST_WEIGHTS:
        return None
    weight = weight.detach().cpu().float()
    if weight.ndim == 2:
        grid = source.input_shape[1:] if source is not None and isinstance(source.module, nn.Flatten) else ()
        if len(grid) == 3 and grid[1] * grid[2] > 1 and torch.Size(grid).numel() == weight.shape[1]:
            weight = weight.unflatten(1, grid)
        else:
            rows = _divisor(weight.shape[1])
            weight = weight.unflatten(1, (1, rows, weight.shape[1] // rows))
    largest = weight.flatten(1).abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
    levels = (127 * weight / largest[:, None, None, None]).round().to(torch.int8)
    return {
        "shape": list(levels.shape[1:]),
        "largest": [float(f"{each:.3g}") for each in largest.tolist()],
        "levels": base64.b64encode(levels.numpy().tobytes()).decode(),
    }


def _weight(module: nn.Module) -> Tensor | None:
    """The weights of each unit: (units, channels, rows, columns) or (units, inputs); `None` if it has no such."""
    if isinstance(module, layers.PartialConv2d):
        return module.dense_weight()
    if isinstance(module, layers.RBFOutput):
        return module.prototypes
    weight = getattr(module, "weight", None)
    fits = isinstance(module, nn.Conv2d | nn.Linear) and isinstance(weight, Tensor)
    return weight if fits and weight is not None and weight.ndim in (2, 4) else None


def _divisor(number: int) -> int:
    """The largest divisor that is not above the square root: 7 of 84."""
    return max(each for each in range(1, int(number**0.5) + 1) if number % each == 0)
