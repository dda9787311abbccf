"""Frozen batch normalisations, folded into the convolutions before them while a network is trained.

A frozen normalisation multiplies each channel by a number and adds another. Multiplied into the filters and added as a
bias, it takes no pass over the feature maps, forward or backward; gradients reach the convolution's own filters through
the product. Only convolutions whose output nothing else uses take part, as `torch.fx` finds them.
"""

from collections import Counter
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm


class FoldedNorms:
    """Context in which frozen batch normalisations are part of the convolutions before them.

    Args:
        model: none of its parameters or buffers is changed; outside the context it computes as it is written.
        frozen: its normalisations that stay in evaluation mode, and whose parameters have no gradient.
    """

    def __init__(self, model: nn.Module, frozen: list[nn.Module]):
        self._pairs = pairs(model, frozen)
        self._own: list[dict[str, Any]] = []  # parameters of the convolutions, while others stand in their place

    def __enter__(self) -> None:
        for conv, norm in self._pairs:
            weight, bias = folded(conv, norm)
            self._own.append(dict(conv._parameters))
            conv._parameters.update(weight=weight, bias=bias)  # type: ignore[call-overload]
            norm.forward = _same  # type: ignore[method-assign, assignment]

    def __exit__(self, *exception: object) -> None:
        for (conv, norm), own in zip(self._pairs, self._own, strict=True):
            conv._parameters.update(own)
            del norm.forward
        self._own.clear()


class LayersTracer(fx.Tracer):
    """Follows a network down to layers of a kind, and to modules that have none of them inside, or stay whole."""

    def __init__(self, kind: type[nn.Module], whole: type[nn.Module] | tuple[()] = ()):
        super().__init__()
        self.kind, self.whole = kind, whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        inside = any(isinstance(each, self.kind) for each in m.modules())
        return isinstance(m, (self.kind, self.whole)) or not inside


def pairs(model: nn.Module, frozen: list[nn.Module]) -> list[tuple[nn.Conv2d, _BatchNorm]]:
    """Convolutions that go into a frozen normalisation and nowhere else, and that normalisation.

    There are none in a network whose computation depends on its images, nor with hooks, which would see other values.
    """
    if not frozen:
        return []
    try:
        nodes = LayersTracer(_BatchNorm).trace(model).nodes
    except Exception:  # whatever a network's own code raises when it is not given numbers
        return []
    modules, chosen = dict(model.named_modules()), set(map(id, frozen))
    called = [node for node in nodes if node.op == "call_module"]
    uses = Counter(str(node.target) for node in called)
    found = []
    for node in called:
        norm, before = modules[str(node.target)], node.args[0] if node.args else None
        if id(norm) not in chosen or not isinstance(before, fx.Node) or len(before.users) > 1:
            continue
        conv = modules.get(str(before.target)) if before.op == "call_module" else None
        once = uses[str(node.target)] == uses[str(before.target)] == 1
        if isinstance(conv, nn.Conv2d) and isinstance(norm, _BatchNorm) and once and not hooked(conv, norm):
            found.append((conv, norm))
    return found


def folded(conv: nn.Conv2d, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Return the filters and the bias of a convolution and the normalisation after it together."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight * (variance + norm.eps).rsqrt()
    shift = norm.bias - mean * scale
    bias = shift if conv.bias is None else shift + conv.bias * scale
    return conv.weight * scale.view(-1, 1, 1, 1), bias


def hooked(*modules: Any) -> bool:
    """Tell whether a module has hooks: they would see other values, or none."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind) for module in modules for kind in kinds)


def _same(x: Tensor) -> Tensor:
    return x
