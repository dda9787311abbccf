"""Stems, the first layers of a model, for large or for small images: the option, and the check of the image's size."""

from striate.errors import ShapeError
from striate.models.registry import Option

STEM = Option(("imagenet", "small"), small="small")


def check_size(name: str, stem: str, image_size: tuple[int, int], smallest: dict[str, int]) -> None:
    """Raise unless the image is large enough that the poolings leave a pixel.

    Args:
        name: the model's.
        smallest: for each stem that has one, the shortest side in pixels that it can take.

    Raises:
        ShapeError: naming the smallest size and what to do.
    """
    least, side = smallest.get(stem, 1), min(image_size)
    if side < least:
        other = f"choose {name}:stem=small or " if stem != "small" and side >= smallest.get("small", 1) else ""
        raise ShapeError(
            f"{name} with stem={stem} needs images of at least {least}×{least} pixels, "
            f"got {image_size[0]}×{image_size[1]}: {other}pass a larger --image-size."
        )
