"""A batch in shares has the answer of the whole, by one thread a core."""

import threading

import pytest
import torch

from striate.acceleration.sharding import LEAST, shared


@pytest.fixture
def two_cores():
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


class Maker:
    """Makes a function, or none for batches of some length; notes who asked, and who used it with how many images."""

    def __init__(self, lacking=None):
        self.lacking, self.asked, self.used, self.meeting = lacking, [], [], threading.Barrier(2)

    def __call__(self, pixels):
        self.asked.append((len(pixels), torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return None if len(pixels) == self.lacking else self.answer

    def answer(self, pixels):
        self.used.append((threading.current_thread().name, len(pixels), torch.get_num_threads()))
        self.meeting.wait(30)  # both are at it
        assert torch.is_inference_mode_enabled()
        return pixels.sum(dim=(1, 2, 3)).float()


def batch(count):
    return torch.arange(count * 12, dtype=torch.uint8).view(count, 2, 2, 3)


@torch.inference_mode()
def test_each_core_answers_for_its_share(two_cores):
    maker, images = Maker(), batch(2 * LEAST)
    answer = shared(maker, images)
    assert maker.asked == [(LEAST, 1, True)]
    assert torch.equal(answer(images), images.sum(dim=(1, 2, 3)).float())
    assert sorted(maker.used) == [(f"striate-predicting_{place}", LEAST, 1) for place in range(2)]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("count", [2 * LEAST - 2, 2 * LEAST + 1])
@torch.inference_mode()
def test_few_images_and_unequal_shares_stay_together(two_cores, count):
    maker = Maker()
    assert shared(maker, batch(count)) == maker.answer
    assert len(maker.asked) == 1


@torch.inference_mode()
def test_one_core_has_nothing_to_share(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    maker = Maker()
    assert shared(maker, batch(2 * LEAST)) == maker.answer


@torch.inference_mode()
def test_where_there_is_no_function_for_shares_there_is_none(two_cores):
    assert shared(Maker(lacking=LEAST), batch(2 * LEAST)) is None
