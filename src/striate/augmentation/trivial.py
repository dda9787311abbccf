"""TrivialAugment (Müller and Hutter 2021): one transform per image, of uniformly drawn strength, nothing to tune.

Each image is left as it is or gets one of the transforms below, all equally likely. The transforms are Striate's own
and not the paper's; mirroring is not among them, since it makes some labels wrong: "flip,trivial" has both.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from striate.augmentation.transform import Transform

# These draw uniformly within ± their strength themselves; here are the largest strengths. "shift" moves most of a
# picture out at once, in both directions, so it stays below the paper's third of a side.
EVEN = {
    "shift": 0.2,
    "rotate": 30.0,
    "zoom": 0.4,
    "squeeze": 0.4,
    "shear": 0.3,
    "brightness": 0.9,
    "contrast": 0.9,
    "saturation": 0.9,
}
# These use their strength as it is, so it is drawn from 0 to the largest, here.
RISING = {"erase": 0.5, "noise": 0.1}

Part = tuple[Tensor, Transform, object]  # positions in the batch, int64 (n,), and the transform of those images


def trivial(table: Mapping[str, Transform]) -> Transform:
    """Return the transform that applies one of those in `table` to each image."""
    members = [(table[name], widest, False) for name, widest in EVEN.items()]
    members += [(table[name], widest, True) for name, widest in RISING.items()]

    def draw(uniform: Tensor, strength: float) -> list[Part]:
        choice = (uniform[:, 0] * (len(members) + 1)).long()  # the last is to leave the image alone
        parts: list[Part] = []
        for number, (transform, widest, rising) in enumerate(members):
            rows = torch.nonzero(choice == number)[:, 0]
            if len(rows):
                scaled = widest * strength * (uniform[rows, 1:2] if rising else 1)
                parts.append((rows, transform, transform.draw(uniform[rows, 2 : 2 + transform.draws], scaled)))
        return parts

    return Transform(
        draws=2 + max(transform.draws for transform, _, _ in members),
        default=1,
        bounds=(0, 1),
        unit="1 draws from the whole range of each transform, 0.5 from half of it",
        draw=draw,
        apply=_apply,
    )


def _apply(images: Tensor, parts: list[Part]) -> Tensor:
    augmented = images.clone()
    for rows, transform, parameters in parts:
        there = rows.to(images.device)
        augmented[there] = transform.apply(images[there], parameters)
    return augmented
