"""Strategies that damage valid files as disks, networks and attackers do."""

from collections.abc import Sequence

from hypothesis import strategies as st

_TELLING = [b"\0", b"\xff", b"\x7f", b"\x80", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4, b"\0" * 8, b"[" * 50, b"\n"]


@st.composite
def mutated(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """One of some valid files, as it is or with a few changes: bytes overwritten, inserted, removed, repeated, cut."""
    content = bytearray(draw(st.sampled_from(list(valid))))
    for _ in range(draw(st.integers(0, 4))):
        if not content:
            break
        # Headers decide more than what follows them, so that half of all changes are there.
        place = draw(st.integers(0, min(len(content), 128) - 1) | st.integers(0, len(content) - 1))
        length = draw(st.integers(1, 64))
        change = draw(st.sampled_from(["bit", "overwrite", "overwrite", "insert", "remove", "repeat", "cut"]))
        if change == "bit":
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif change == "overwrite":
            new = draw(st.sampled_from(_TELLING) | st.binary(min_size=1, max_size=8))
            content[place : place + len(new)] = new
        elif change == "insert":
            content[place:place] = draw(st.sampled_from(_TELLING) | st.binary(min_size=1, max_size=16))
        elif change == "remove":
            del content[place : place + length]
        elif change == "repeat":
            content[place:place] = content[place : place + length]
        else:
            del content[place:]
    return bytes(content)
