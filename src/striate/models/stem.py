"""The choice between a beginning for large images and one for small ones, and what an image must measure for it."""

from striate.errors import ShapeError
from striate.models.registry import Option

STEM = Option(("imagenet", "small"), small="small")


def check_size(name: str, stem: str, image_size: tuple[int, int], smallest: dict[str, int]) -> None:
    """Refuse an image from which the poolings would leave nothing.

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
