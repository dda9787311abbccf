"""What a model is shown before training: only what it needs, and before the first step alone."""

import pytest
import torch
from small_run import dataset, recipe

import striate
from striate import models
from striate.runs import resume, train


@pytest.fixture(scope="module")
def large():
    """Shapes that three poolings leave something of."""
    data = dataset()
    splits = {name: type(each)(each.images.repeat(1, 2, 2, 1), each.labels) for name, each in data.splits()}
    return type(data)("shapes", data.classes, **splits)


@pytest.mark.parametrize(
    ("count", "values", "wanted"), [(9000, 784, 5000), (100, 784, 100), (9000, 2**21, 2), (3, 2**30, 1)]
)
def test_images_are_few_and_evenly_spaced(count, values, wanted):
    index = models.fit_indices(models.create("quicknet_s"), count, values)
    assert len(index) == wanted
    assert index.dtype == torch.int64
    gaps = index.diff(append=torch.tensor([count]))
    assert index[0] == 0
    assert gaps.max() - gaps.min() <= 1
    assert len(models.fit_indices(models.create("mlp"), count, values)) == 0


def test_a_model_without_whitening_stays_as_it_is():
    model = models.create("lenet5_modern", seed=0)
    models.fit(model, torch.rand(2, 1, 28, 28))
    same = models.create("lenet5_modern", seed=0).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
def test_training_begins_with_filters_of_its_images_and_leaves_them(large, tmp_path):
    run = train("quicknet_s", large, recipe(), out=tmp_path / "run")
    expected = models.create("quicknet_s", 3, 1, 16, seed=0)
    models.fit(expected, run.preprocess.normalize(large.train.images))
    unseen = models.create("quicknet_s", 3, 1, 16, seed=0).conv1.weight
    trained = run.model().conv1
    assert torch.equal(trained.weight, expected.conv1.weight)
    assert not torch.allclose(trained.weight, unseen, atol=0.05)
    assert torch.equal(resume(run.path, data=large).model().conv1.weight, trained.weight)


@pytest.mark.slow
def test_given_weights_and_modules_are_not_fitted_again(large, tmp_path):
    first = train("quicknet_s", large, recipe(epochs=1), out=tmp_path / "first")
    noise = torch.randint(0, 256, large.train.images.shape, dtype=torch.uint8)
    other = type(large)("noise", large.classes, type(large.train)(noise, large.train.labels), None, large.test)
    tuned = train("quicknet_s", other, recipe(epochs=1), weights=first.path, out=tmp_path / "tuned")
    assert torch.equal(tuned.model().conv1.weight, first.model().conv1.weight)
    module = striate.create("quicknet_s", 3, 1, 16, seed=1)
    before = module.conv1.weight.clone()
    train(module, large, recipe(epochs=1), out=tmp_path / "module")
    assert torch.equal(module.conv1.weight, before)
