"""Every fuzz target, for a second or two, with the same inputs each time; `make fuzz` goes on without end."""

import pytest
from fuzz.harness import Target, check
from fuzz.targets import TARGETS

INPUTS = 40


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whatever_is_in_a_file_it_is_read_rightly_or_refused_in_one_line(target: Target) -> None:
    check(target, INPUTS // target.cost)
