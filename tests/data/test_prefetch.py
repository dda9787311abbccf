"""Work ahead: the same results, sooner, and nothing left behind."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.data.prefetch import Ahead
from striate.hardware import single_core_threads


@quick
@given(st.lists(st.integers(0, 20), max_size=12), st.integers(0, 3), st.integers(1, 3))
def test_every_step_gives_its_own_result_whatever_came_before(steps, depth, threads):
    ahead = Ahead(lambda step: step * step, depth, threads)
    assert [ahead[step] for step in steps] == [step * step for step in steps]
    ahead.close()


def test_the_next_steps_are_made_while_this_one_is_used_and_no_more():
    made, enough = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 9:
            enough.set()
        return step

    ahead = Ahead(make, depth=2)
    assert ahead[7] == 7
    assert enough.wait(30)
    time.sleep(0.01)
    assert made == [7, 8, 9]
    assert ahead[8] == 8
    ahead.close()
    assert set(made) <= {7, 8, 9, 10}


def test_a_jump_leaves_out_what_was_not_begun():
    made, going = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 1:
            going.wait(30)
        return step

    ahead = Ahead(make, depth=3)
    assert ahead[0] == 0  # 1 is being made, 2 and 3 wait
    threading.Timer(0.05, going.set).start()
    assert ahead[50] == 50
    assert not {2, 3} & set(made)
    ahead.close()


def test_an_exception_comes_with_its_own_step_and_again_when_asked_again():
    def make(step):
        if step == 2:
            raise ValueError("two")
        return step

    ahead = Ahead(make, depth=2)
    assert [ahead[0], ahead[1]] == [0, 1]
    for _ in range(2):
        with pytest.raises(ValueError, match="two"):
            ahead[2]
    assert ahead[3] == 3
    ahead.close()


def test_its_threads_use_one_core_and_all_others_as_many_as_before():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        ahead = Ahead(lambda step: torch.get_num_threads(), depth=1, threads=2)
        assert [ahead[0], ahead[1]] == [1, 1]
        assert torch.get_num_threads() == 3
        told = []
        thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert told == [3]
        ahead.close()
    finally:
        torch.set_num_threads(before)


SCARCE = """
import threading, torch
from striate.hardware import single_core_threads

start, begun = threading.Thread.start, []

def scarce(thread):
    if begun:
        raise RuntimeError("can't start new thread")
    begun.append(thread)
    start(thread)

torch.set_num_threads(3)
threading.Thread.start = scarce
try:
    single_core_threads(2, "some")
except RuntimeError as error:
    print(error, torch.get_num_threads())
"""


def test_a_program_ends_if_the_system_has_no_more_threads():
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCARCE], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("can't start new thread 3\n", "", 0)


def test_threads_made_at_once_leave_the_usual_number_alone(monkeypatch):
    before, set_number = torch.get_num_threads(), torch.set_num_threads

    def slowly(count):
        set_number(count)
        time.sleep(0.01)  # for others to see it

    def one_of(place):
        time.sleep(0.004 * place)
        return single_core_threads(2, str(place))

    monkeypatch.setattr(torch, "set_num_threads", slowly)
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(8) as callers:
            made = list(callers.map(one_of, range(8)))
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
        assert [list(threads.map(lambda _: torch.get_num_threads(), range(4))) for threads in made] == [[1] * 4] * 8
        for threads in made:
            threads.shutdown()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_a_program_ends_with_work_under_way(end):
    code = "import time\nfrom striate.data.prefetch import Ahead\n"
    code += f"ahead = Ahead(lambda step: time.sleep(0.2), 2, 2)\nahead[0]\nprint('used', flush=True)\n{end}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "used\n"
    assert done.returncode == (1 if "raise" in end else 0)
    assert "ValueError" in done.stderr if "raise" in end else not done.stderr
