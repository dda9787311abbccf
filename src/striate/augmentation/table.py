"""Table of all transforms by their names in a policy: number of draws, default strength, range and meaning."""

from functools import partial

from striate.augmentation import colour, geometry, mixing
from striate.augmentation.transform import Mixing, Transform
from striate.augmentation.trivial import trivial

_PLANE = {
    # An image and its mirror image in turn: of two epochs of random flips, half of the images look the same in both,
    # and the second teaches less (Jordan 2024, section 3.6).
    "flip": Transform(
        1, 0.5, (0, 1), "the share of images mirrored", geometry.draw_flip, geometry.flip, alternates=True
    ),
    "shift": Transform(2, 0.1, (0, 1), "the largest move, as a share of the side", geometry.draw_shift, geometry.shift),
    "crop": Transform(
        2,
        0.125,
        (0, 0.9),
        "the share of each side cut away, at a random place; the rest is enlarged",
        geometry.draw_crop,
        geometry.crop,
    ),
    "resized-crop": Transform(
        4,
        0.92,
        (0, 0.99),
        "the largest share of the area cut away, at a random place; the rest is enlarged and stretched",
        geometry.draw_resized_crop,
        geometry.crop,
    ),
    "rotate": Transform(1, 10, (0, 180), "the largest angle, in degrees", geometry.draw_rotate, geometry.affine),
    "zoom": Transform(
        1, 0.1, (0, 3), "0.1 means a tenth larger or smaller at most", geometry.draw_zoom, geometry.affine
    ),
    "squeeze": Transform(
        1,
        0.1,
        (0, 3),
        "0.1 means a tenth narrower and taller at most, or the reverse",
        geometry.draw_squeeze,
        geometry.affine,
    ),
    "shear": Transform(1, 0.1, (0, 3), "the largest slope of a vertical line", geometry.draw_shear, geometry.affine),
}
_LIGHT = {
    "brightness": Transform(
        1, 0.2, (0, 1), "0.2 means a fifth brighter or darker at most", colour.draw_factor, colour.brightness
    ),
    "contrast": Transform(
        1, 0.2, (0, 1), "0.2 means a fifth more or less at most", colour.draw_factor, colour.contrast
    ),
    "saturation": Transform(
        1, 0.2, (0, 1), "0.2 means a fifth more or less colour at most", colour.draw_factor, colour.saturation
    ),
    "noise": Transform(
        1, 0.02, (0, 1), "the standard deviation, as a share of full intensity", colour.draw_noise, colour.noise
    ),
    "lighting": Transform(
        3,
        0.1,
        (0, 10),
        "the standard deviation along the training set's colour components, in eigenvalues",
        colour.draw_unfitted,
        colour.lighting,
    ),
    "lighting-imagenet": Transform(
        3,
        0.1,
        (0, 10),
        "the standard deviation along ImageNet's colour components, in eigenvalues",
        partial(colour.draw_lighting, colour.IMAGENET),
        colour.lighting,
    ),
    "erase": Transform(
        2, 0.25, (0, 1), "the side of the erased box, as a share of the image's", mixing.draw_erase, mixing.erase
    ),
}
_MIXTURES = {
    "mixup": Mixing(
        2, 0.2, (0, 100), "α: near 0 one image, from 1 on often half of each", mixing.draw_mixup, mixing.mixup
    ),
    "cutmix": Mixing(
        4, 1, (0, 100), "α: near 0 no box or all of the image, 1 any area", mixing.draw_cutmix, mixing.cutmix
    ),
}

TRANSFORMS: dict[str, Transform | Mixing] = {**_PLANE, **_LIGHT, "trivial": trivial(_PLANE | _LIGHT), **_MIXTURES}
