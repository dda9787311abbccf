"""Rounding of scaled numbers of channels, as MobileNet's authors do."""

STEP = 8  # channels
LEAST_SHARE = 0.9  # of the channels that are asked for


def divisible(channels: float) -> int:
    """Return the nearest multiple of 8 channels, at least 8; the next one if the nearest is less than 90 % of them.

    Source: Sandler et al. 2018, the authors' program.

    >>> divisible(40), divisible(44), divisible(19.2), divisible(3)
    (40, 48, 24, 8)
    """
    nearest = max(STEP, int(channels + STEP / 2) // STEP * STEP)
    return nearest if nearest >= LEAST_SHARE * channels else nearest + STEP
