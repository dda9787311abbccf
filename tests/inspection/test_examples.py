"""The nearest and the most exciting training images, against brute force."""

import torch
from small_run import Dropping, dataset

from striate.inspection.examples import Examples
from striate.preprocess import Preprocess

MODEL, DATA = Dropping(), dataset()
PREPROCESS = Preprocess(8, 8, 1).with_statistics(DATA.train.images)
CPU = torch.device("cpu")


def test_nearest_is_the_largest_cosine_of_what_the_last_layer_takes() -> None:
    examples = Examples(MODEL, DATA.train, DATA.classes, PREPROCESS, 1000, CPU)
    assert (len(examples), examples.available) == (100, 100)
    inputs = PREPROCESS.normalize(DATA.train.images)
    with torch.no_grad():
        known = torch.relu(MODEL.dense(torch.relu(MODEL.conv(inputs)).flatten(1)))
    known = known / known.norm(dim=1, keepdim=True)
    for number in (3, 70):
        cosines = known @ known[number]
        expected = cosines.sort(descending=True).values[:5]
        found = examples.nearest(inputs[number : number + 1], 5)
        assert torch.allclose(torch.tensor([each.value for each in found]), expected, atol=1e-5)
        assert found[0].label == DATA.classes[int(DATA.train.labels[number])]
        assert (found[0].pixels == DATA.train.images[number].numpy()).all()


def test_exciting_images_are_those_with_the_largest_outputs() -> None:
    examples = Examples(MODEL, DATA.train, DATA.classes, PREPROCESS, 1000, CPU, "conv", [2])
    with torch.no_grad():
        made = MODEL.conv(PREPROCESS.normalize(DATA.train.images))[:, 2]
    best = made.flatten(1).amax(1).sort(descending=True)
    found = examples.exciting(2, 3)
    assert examples.units == [2]
    assert torch.allclose(torch.tensor([each.value for each in found]), best.values[:3], atol=1e-5)
    for each, number in zip(found, best.indices.tolist(), strict=False):
        assert each.place == divmod(int(made[number].argmax()), 6)


def test_of_many_images_evenly_spaced_ones_are_looked_at() -> None:
    examples = Examples(MODEL, DATA.train, DATA.classes, PREPROCESS, 10, CPU)
    assert len(examples) == 10
    assert torch.equal(examples.images, DATA.train.images[::10])
