"""Units that say nothing: dead ones, always 0, and saturated ones, whose slope is next to nothing.

Sources: Lu et al., "Dying ReLU and Initialization", 2019; LeCun et al., "Efficient BackProp", 1998, section 4.4.
"""

from torch import nn

from striate import layers
from striate.inspection import vocabulary as words
from striate.inspection.advice.finding import Finding
from striate.inspection.advice.network import Network
from striate.inspection.advice.surgery import swapping
from striate.inspection.advice.text import share
from striate.inspection.advice.watching import SATURATED, Watched, watch

DEAD = 0.05  # of a layer's units
FLAT = 0.5  # of an activation's values
SLOPE = 0.01  # of the leaky ReLU that is proposed

_RELUS = (nn.ReLU, nn.ReLU6)
_SQUASHES = (nn.Tanh, nn.Sigmoid, layers.ScaledTanh)


def dead_units(network: Network) -> list[Finding]:
    """Layers of which at least 5 % of the units behind the ReLU are 0 on every image. A map is a unit.

    Raises:
        SkippedError: without a trained network and images.
    """
    seen = [each for each in watch(network) if each.kind == "relu"]
    found = {each.layer: each for each in seen if _dead(each) >= DEAD * len(each.lively)}
    if not found:
        return []
    dead, units = sum(map(_dead, found.values())), sum(len(each.lively) for each in found.values())
    worst = max(found.values(), key=lambda each: _dead(each) / len(each.lively))
    of_all = sum(map(_dead, seen)), sum(len(each.lively) for each in seen)
    each_of = f", most of them behind {worst.layer}: {_dead(worst)} of {len(worst.lively)}" if len(found) > 1 else ""
    manual = _manual(network, found, _RELUS)
    images = len(network.images) if network.images is not None else 0
    change = (
        f"Give what is below 0 a slope of {SLOPE} (leaky ReLU), so that a unit can come back; or train more gently."
    )
    return [
        Finding(
            rule="dead-units",
            layers=tuple(found),
            found=f"{dead} of {units} units ({share(dead, units)}) are 0 on all {images:,} images{each_of}; "
            f"{of_all[0]} of {of_all[1]} in the whole network.",
            numbers={"dead": dead, "units": units, "share": dead / units, "images": images},
            change=change,
            manual=manual,
            surgery=None if manual else swapping(found, nn.LeakyReLU(SLOPE)),
        )
    ]


def saturated_activations(network: Network) -> list[Finding]:
    """Tanh and sigmoid activations of which more than half of the values lie where the slope is next to nothing.

    Raises:
        SkippedError: without a trained network and images.
    """
    seen = [each for each in watch(network) if each.kind != "relu"]
    found = {each.layer: each for each in seen if each.flat > FLAT * each.values}
    if not found:
        return []
    worst = max(found.values(), key=lambda each: each.flat / each.values)
    flat, values = sum(each.flat for each in found.values()), sum(each.values for each in found.values())
    manual = _manual(network, found, _SQUASHES)
    most = f", {share(worst.flat, worst.values)} behind {worst.layer}" if len(found) > 1 else ""
    return [
        Finding(
            rule="saturated-activation",
            layers=tuple(found),
            found=f"{share(flat, values)} of the values lie beyond {SATURATED} of the {worst.kind}'s range{most}: "
            "there its slope is below 6 % of the steepest, and what is in front of it hardly learns.",
            numbers={"share": flat / values, "values": values},
            change="Take a ReLU, which does not saturate above 0; or normalise what comes in.",
            manual=manual,
            surgery=None if manual else swapping(found, nn.ReLU()),
        )
    ]


def _dead(watched: Watched) -> int:
    return int((~watched.lively).sum())


def _manual(network: Network, found: dict[str, Watched], kinds: tuple[type[nn.Module], ...]) -> str:
    """Why the activations can't be swapped, if they can't."""
    for path, each in found.items():
        if not each.module:
            return f"behind {path} it is a function and no module"
        module = network.module.get_submodule(path)
        if type(module) not in kinds:
            return f"{path} is a {words.kind(module)} that computes it inside"
    return ""
