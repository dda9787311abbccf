"""Which of the registered models a file of weights belongs to."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from striate.errors import ArgumentError
from striate.models.registry import build, facts, names
from striate.models.weights.adapt import fits
from striate.models.weights.file import WeightFile


def likely(file: WeightFile, image_size: tuple[int, int]) -> str | None:
    """The model that the weights fit, channels and classes apart, as `create` takes it; `None` if they fit none."""
    for name in names():
        stem = facts(name).options.get("stem")
        for chosen in [{"stem": value} for value in stem.values] if stem else [{}]:
            try:
                with torch.device("meta"), _Undrawn():  # shapes, without memory or numbers
                    model = build(name, None, None, image_size, None, chosen)
            except ArgumentError:  # this one does not take such images
                continue
            if fits(model, file):
                return model.architecture.text  # type: ignore[union-attr, return-value]
    return None


class _Undrawn(TorchFunctionMode):
    """Leaves out random numbers: on the meta device there are none, but asking for them takes seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "").endswith(("normal_", "uniform_")):  # of tensors, and of torch.nn.init
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
