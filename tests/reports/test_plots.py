"""Labels beside points: nothing covered where there is room."""

from hypothesis import given
from hypothesis import strategies as st

from striate.reports.plots import Box, place

FRAME = (0.0, 0.0, 400.0, 250.0)
SIZE = (50.0, 11.0)
spots = st.tuples(st.floats(60, 340), st.floats(30, 220))


def share(first: Box, second: Box) -> bool:
    return (
        min(first[2], second[2]) - max(first[0], second[0]) > 1e-3 < min(first[3], second[3]) - max(first[1], second[1])
    )


def boxes(points: list[tuple[float, float]], **more: list[tuple[float, float]]) -> list[Box]:
    corners = place(points, [SIZE] * len(points), FRAME, **more)
    return [(x, y, x + SIZE[0], y + SIZE[1]) for x, y in corners]


def test_alone_it_stands_to_the_right():
    ((left, bottom, _, top),) = boxes([(100, 100)])
    assert 100 < left < 110
    assert (bottom + top) / 2 == 100


def test_at_the_right_edge_it_stands_to_the_left():
    ((_, _, right, _),) = boxes([(390, 100)])
    assert right < 390


def test_it_makes_way_for_a_line():
    line = [(100.0 + n, 100.0) for n in range(100)]
    ((_, bottom, right, top),) = boxes([(100, 100)], lines=line)
    assert right < 100 or bottom > 100 or top < 100


@given(st.lists(spots, min_size=1, max_size=2))
def test_two_labels_cover_neither_each_other_nor_their_points(points: list[tuple[float, float]]):
    found = boxes(points)
    assert not any(share(found[a], found[b]) for a in range(len(found)) for b in range(a))
    for left, bottom, right, top in found:
        assert not any(left < x < right and bottom < y < top for x, y in points)


@given(st.lists(spots, min_size=1, max_size=12))
def test_labels_stay_in_the_frame_and_near_their_points(points: list[tuple[float, float]]):
    for (x, y), (left, bottom, right, top) in zip(points, boxes(points), strict=True):
        assert left >= 0 <= bottom
        assert right <= 400
        assert top <= 250
        assert abs((left + right) / 2 - x) < 60
        assert abs((bottom + top) / 2 - y) < 40
