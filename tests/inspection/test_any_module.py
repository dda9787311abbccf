"""Everything works on networks that are not ours, and what can't be done is one line that says what can."""

from collections.abc import Callable

import pytest
import torch
from foreign import residual
from torch import Tensor, nn

from striate import seeding
from striate.errors import ArgumentError, ShapeError
from striate.inspection import (
    describe,
    effective_field,
    features,
    grad_cam,
    integrated_gradients,
    invariance,
    receptive_fields,
    top_images,
)
from striate.models import antialias


def plain() -> nn.Sequential:
    with seeding.scoped(0, "weights"):
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3, padding=1), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(54, 5),
        )  # fmt: skip


def torchvision_style() -> nn.Sequential:
    with seeding.scoped(0, "weights"):
        return residual()


IMAGES = torch.rand(12, 3, 14, 14, generator=torch.Generator().manual_seed(0))
BOTH = pytest.mark.parametrize(("make", "place"), [(plain, 3), (torchvision_style, 3)], ids=["plain", "torchvision"])


@pytest.mark.slow
@BOTH
def test_everything_works_on_them(make: Callable[[], nn.Sequential], place: int) -> None:
    model, layer = make().eval(), str(place)
    with torch.no_grad():
        maps, logits = model[: place + 1](IMAGES), model(IMAGES)
    assert describe(model, (3, 14, 14)).parameters == sum(weight.numel() for weight in model.parameters())
    assert torch.allclose(features(model, IMAGES, layer), maps, atol=1e-6)
    excited = top_images(model, IMAGES, layer, 1, k=3)
    peaks = maps[:, 1].flatten(1).amax(1).sort(descending=True)
    assert [each.image for each in excited] == peaks.indices[:3].tolist()
    field = receptive_fields(model, (3, 14, 14))[layer]
    assert field is not None
    listened = effective_field(model, IMAGES, layer, (1, 1)).influence
    top, left, bottom, right = (max(edge, 0) for edge in field.of(1, 1))
    assert float(listened.sum()) == pytest.approx(1)
    assert float(listened[top:bottom, left:right].sum()) == pytest.approx(1), "nothing outside of what it can see"
    cam = grad_cam(model, IMAGES, layer=layer)
    assert cam.shape == (12, 14, 14)
    assert float(cam.min()) >= 0
    added = integrated_gradients(model, IMAGES, steps=128).sum((1, 2, 3))
    with torch.no_grad():
        difference = logits.amax(1) - model(torch.zeros(1, 3, 14, 14))[0, logits.argmax(1)]
    assert torch.allclose(added, difference, atol=0.02)


@BOTH
def test_invariance_and_blur_work_on_them(make: Callable[[], nn.Sequential], place: int) -> None:
    model = make().eval()
    blurred = antialias(model, input_shape=(3, 14, 14))
    assert {name: value.shape for name, value in blurred.named_parameters() if "blur" not in name}.keys()
    assert sum(value.numel() for value in blurred.parameters()) == sum(value.numel() for value in model.parameters())
    images = (IMAGES * 255).byte().permute(0, 2, 3, 1)
    found, other = (invariance(each, images, brief=brief) for each, brief in ((model, False), (blurred, True)))
    assert len(found.layers) >= len(list(model.children()))
    assert found.shift_consistency().moved != other.shift_consistency().moved


WITH_LAYER: dict[str, Callable[[nn.Module, Tensor, str], object]] = {
    "features": features,
    "top_images": lambda model, images, layer: top_images(model, images, layer, 0),
    "effective_field": effective_field,
    "grad_cam": lambda model, images, layer: grad_cam(model, images, layer=layer),
}
WITH_IMAGES: dict[str, Callable[[nn.Module, Tensor], object]] = {
    **{name: lambda model, images, call=call: call(model, images, "3") for name, call in WITH_LAYER.items()},
    "integrated_gradients": integrated_gradients,
    "describe": lambda model, images: describe(model, tuple(images.shape[1:])),
    "receptive_fields": lambda model, images: receptive_fields(model, tuple(images.shape[1:])),
    "antialias": lambda model, images: antialias(model, input_shape=tuple(images.shape[1:])),
    "invariance": lambda model, images: invariance(model, (images * 255).byte().permute(0, 2, 3, 1)),
}


@pytest.mark.parametrize("call", WITH_LAYER.values(), ids=WITH_LAYER)
def test_a_layer_that_does_not_exist(call: Callable[[nn.Module, Tensor, str], object]) -> None:
    with pytest.raises(ArgumentError, match=r"^Sequential has no layer '4\.conv'\. It has 4, .*[0-9]\.$") as caught:
        call(plain(), IMAGES, "4.conv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", WITH_IMAGES.values(), ids=WITH_IMAGES)
def test_an_image_of_the_wrong_size(call: Callable[[nn.Module, Tensor], object]) -> None:
    with pytest.raises(
        ShapeError, match=r"^Sequential can't take (an image|images) of 3×9×9 \(.*mat1 and mat2"
    ) as caught:
        call(plain(), IMAGES[:, :, :9, :9])
    assert "\n" not in str(caught.value)


def test_a_model_without_convolutions() -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(588, 8), nn.ReLU(), nn.Linear(8, 3))
    none = r"^Sequential has no feature maps to lay over the image: no convolutions or poolings, but 0, 1, 2, 3\.$"
    with pytest.raises(ArgumentError, match=none):
        grad_cam(dense, IMAGES)
    with pytest.raises(ArgumentError, match=none):
        effective_field(dense, IMAGES, "1")
    with pytest.raises(ArgumentError, match=r"^Sequential has no strided pooling or convolution to blur: leave"):
        antialias(dense, input_shape=(3, 14, 14))
    assert features(dense, IMAGES, "1").shape == (12, 8)
    assert len(top_images(dense, IMAGES, "1", 7)) == 9
    assert receptive_fields(dense, (3, 14, 14))["3"].whole
    assert [each.invariance for each in invariance(dense, (IMAGES * 255).byte().permute(0, 2, 3, 1)).layers][-1]
