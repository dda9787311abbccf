"""What processes tell each other, and how a failure of one ends all."""

import re
import time
from pathlib import Path

import pytest
import torch
from several import Several
from several_program import part_of

from striate.errors import DataError
from striate.processes import ALONE, links, started, together

pytestmark = pytest.mark.slow


def test_one_process_is_a_world():
    assert ALONE.gathered(3) == [3]
    assert ALONE.from_first(lambda: 3) == 3
    assert ALONE.bytes_from_first(lambda: b"x") == b"x"
    assert ALONE.greatest(2.0) == 2.0
    assert torch.equal(
        ALONE.joined(iter([torch.ones(1, 3), torch.zeros(1, 3)]), [range(2)]), torch.tensor([[1.0] * 3, [0.0] * 3])
    )
    with pytest.raises(ValueError, match="rows up to 1, expected them up to 2"):
        ALONE.joined([torch.ones(1, 3)], [range(2)])
    with together() as world:
        assert world is ALONE
    assert not started()


def test_what_each_says_all_hear(several: Several):
    for number in (1, 2, 3):
        for value in several.values(number, "talk"):
            assert value == {
                "gathered": [{"rank": rank} for rank in range(number)],
                "first": [0, "hello"],
                "bytes": 100_001,
                "nothing": 0,
                "greatest": number - 1,
                "rows": True,
            }


@pytest.mark.parametrize(("parts", "numbers", "length"), [(4, (1, 2, 4), 11), (4, (1, 2, 4), 15), (6, (1, 2, 3), 15)])
def test_sums_are_equal_on_any_number_of_processes(several: Several, parts: int, numbers: tuple[int, ...], length: int):
    found = [
        value
        for number in numbers
        for most in (1, 2)
        for value in several.values(number, "sums", parts=parts, length=length, most=most)
    ]
    assert all(value == found[0] for value in found)
    expected = sum(part_of(part, length).double() for part in range(parts))
    total = torch.tensor(found[0], dtype=torch.int32).view(torch.float32)
    assert torch.allclose(total.double(), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("data", "DataError: process 1 on .* finds other images or labels in shapes than the first process"),
        ("version", "ArgumentError: process 1 on .* has striate 0.0.1, and the first process"),
        ("no data", "DataError: process 1 on .*: /data/flowers: no such folder."),
        ("shards", "ArgumentError: 2 processes do not divide 3 shards: start 1, 3 of them"),
        ("killed", "LostProcessError: another process of this run has ended"),
    ],
)
def test_a_failure_of_one_ends_all_and_the_first_tells_it(several: Several, tmp_path: Path, what: str, said: str):
    first, second = several.call(2, "differ", out=str(tmp_path / "run"), what=what)
    assert re.match(said, first["error"]), first
    assert second["error"]
    assert max(each.get("seconds", 0) for each in (first, second)) < 15


class Mute:
    """A store whose machine can't be reached any more."""

    def check(self, names: list[str]) -> bool:
        time.sleep(60)
        return True

    set = get = check


def test_a_machine_that_can_not_be_reached_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ANSWER", 0.2)
    found = links.Links(store=Mute())
    began = time.monotonic()
    assert found.recent_failure() is None
    found.leave(DataError("no images"), 1)
    found.wait_until_heard(is_first=False)
    found.wait_until_heard(is_first=True)
    assert time.monotonic() - began < 2.0
