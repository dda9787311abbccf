"""Attribution of a class's logit to pixels: Grad-CAM, integrated gradients, and their random-weight check.

Both methods are short and implemented here, so that they work on any module and need no further package. Gradients are
taken with respect to copies of layer outputs, so activations in place don't disturb them.

`randomised` and `rank_correlation` check whether an attribution depends on what the network learned: it must change
when the weights are drawn anew. Source: Adebayo et al., "Sanity Checks for Saliency Maps", 2018, section 3.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate import seeding
from striate.errors import ArgumentError, ShapeError
from striate.inspection.extent.field import Field
from striate.inspection.features import capture, feature_maps_of, last_feature_maps
from striate.inspection.receptive_fields import receptive_fields
from striate.inspection.structure.inputs import input_of, module_of, taking
from striate.inspection.structure.trace import first_tensor
from striate.models import evaluating

Classes = int | Tensor | None


def grad_cam(model: nn.Module, images: Tensor, classes: Classes = None, layer: str | None = None) -> Tensor:
    """Compute Grad-CAM: the positive evidence for a class in a layer's feature maps.

    Source: Selvaraju et al. 2017, equations 1 and 2. Each feature map is weighted with the mean gradient of the class's
    logit, and the sum is rectified. Its values are placed where the units' receptive fields have their centres, with
    bilinear interpolation between them; merely scaling the feature maps up, as is usual, would move them wherever
    windows lie unevenly or leave a border out.

    Args:
        model: any module from images to logits.
        images: float (N, channels, height, width), normalised as the model expects.
        classes: which logit to explain, one number for all images or int64 (N,); the largest if not given.
        layer: its path; the last layer or block whose feature maps have more than one pixel if not given.

    Returns:
        (N, height, width), at least 0, in units of the logit; on the model's device.

    Raises:
        ArgumentError: for a layer that does not exist or has no feature maps, or a model without any.
        ShapeError: if the model can't take such images.

    >>> network = striate.create("lenet5_modern", image_size=28, seed=0)
    >>> grad_cam(network, torch.rand(2, 1, 28, 28), classes=3).shape
    torch.Size([2, 28, 28])
    """
    model, images = module_of(model), input_of(module_of(model), images)
    chosen = layer or last_feature_maps(model, _shape(images))
    with evaluating(model), torch.enable_grad(), capture(model, chosen) as made:
        logits = _logits(model, images.clone().requires_grad_().clone())  # it may be written to
        feature_maps = feature_maps_of(made, chosen, model, _shape(images))
        (gradient,) = torch.autograd.grad(_target_logits(logits, classes).sum(), feature_maps, allow_unused=True)
    if gradient is None:
        raise ArgumentError(f"the logits of {type(model).__name__} don't depend on layer '{chosen}'.")
    weights = gradient.mean((2, 3), keepdim=True)  # (N, channels, 1, 1)
    evidence = F.relu((weights * feature_maps.detach()).sum(1, keepdim=True))
    return _resampled(evidence, receptive_fields(model, _shape(images))[chosen], _shape(images)[1:])


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    classes: Classes = None,
    baseline: Tensor | None = None,
    steps: int = 64,
    batch_size: int = 64,
) -> Tensor:
    """Compute integrated gradients: the contribution of each pixel to a class's logit.

    Source: Sundararajan et al. 2017, equation 1. The gradient is averaged on the straight line from the baseline to the
    image, at the midpoints of `steps` equal intervals, and multiplied with their difference. So the contributions of
    all pixels sum to the difference of the logits, up to the integration error, which more steps make smaller
    ("completeness").

    Args:
        model, images, classes: see `grad_cam`.
        baseline: an image without anything on it, of a shape that broadcasts to `images`, normalised likewise; zeros if
            not given, which is the mean colour where images are normalised by mean and deviation.
        steps: at least 1.
        batch_size: how many images at a time.

    Returns:
        (N, channels, height, width), on the model's device.

    Raises:
        ArgumentError: for fewer than one step.
        ShapeError: if the model can't take such images.

    >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> image = torch.rand(1, 1, 2, 2)
    >>> contributions = integrated_gradients(linear, image, classes=1)
    >>> torch.allclose(contributions.flatten(), linear[1].weight[1] * image.flatten())
    True
    """
    if steps < 1:
        raise ArgumentError(f"steps={steps}: at least 1.")
    model, images = module_of(model), input_of(module_of(model), images)
    start = torch.zeros_like(images) if baseline is None else baseline.to(images).expand_as(images)
    with evaluating(model):
        with torch.no_grad():
            targets = torch.cat([_logits(model, chunk) for chunk in images.split(batch_size)]).argmax(1)
        if classes is not None:
            targets = torch.as_tensor(classes, device=images.device).expand(len(images))
        total = torch.zeros_like(images)
        for step in range(steps):
            for part in torch.arange(len(images)).split(batch_size):
                point = torch.lerp(start[part], images[part], (step + 0.5) / steps).requires_grad_()
                with torch.enable_grad():
                    score = _target_logits(_logits(model, point.clone()), targets[part]).sum()
                total[part] += torch.autograd.grad(score, point)[0]
    return (images - start) * total / steps


def _resampled(feature_maps: Tensor, field: Field | None, size: tuple[int, int]) -> Tensor:
    """Resample a layer's values, (N, 1, h, w), onto the image: (N, height, width), constant beyond outer centres."""
    if field is None or not all(field.stride):  # no grid whose centres could be given
        return F.interpolate(feature_maps, size=size, mode="bilinear")[:, 0]
    places = []
    for side, units, centre, step in zip(size, feature_maps.shape[2:], field.centre, field.stride, strict=True):
        unit = (torch.arange(side) - centre) / (step or 1)  # which unit has its centre at each pixel
        places.append(2 * unit / max(units - 1, 1) - 1)  # −1 for the first, 1 for the last
    rows, columns = torch.meshgrid(*places, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1).to(feature_maps).expand(len(feature_maps), -1, -1, -1)
    return F.grid_sample(feature_maps, grid, padding_mode="border", align_corners=True)[:, 0]


def _shape(images: Tensor) -> tuple[int, int, int]:
    return images.shape[1], images.shape[2], images.shape[3]


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with taking(model, _shape(images)):
        logits = first_tensor(model(images))
    if logits is None or logits.dim() != 2:
        raise ArgumentError(f"{type(model).__name__} makes no logits (N, classes) of images.")
    return logits


def _target_logits(logits: Tensor, classes: Classes) -> Tensor:
    """The logit to explain of each image: (N,)."""
    wanted = logits.argmax(1) if classes is None else torch.as_tensor(classes, device=logits.device).expand(len(logits))
    if not 0 <= int(wanted.min()) <= int(wanted.max()) < logits.shape[1]:
        raise ArgumentError(f"classes={classes}: the model has {logits.shape[1]}, counted from 0.")
    return logits.gather(1, wanted[:, None])[:, 0]


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return a copy of the model with random weights.

    Each parameter is drawn from the normal distribution that has the mean and the deviation of its own values, so that
    signals keep their size. Buffers stay, as do parameters whose values are all alike.

    >>> layer = nn.Linear(100, 100)
    >>> other = randomised(layer)
    >>> other.weight.equal(layer.weight), abs(other.weight.std() / layer.weight.std() - 1).item() < 0.1
    (False, True)
    """
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if parameter.is_floating_point():
                drawn = torch.randn(parameter.shape, generator=seeding.generator(seed, "randomised", name))
                spread, mean = torch.std_mean(parameter.float(), correction=0)
                parameter.copy_(drawn.to(parameter) * spread + mean)
    return copied


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation between two attributions, image by image.

    Values count with their signs. Absolute values of attributions that are multiplied with the image, such as
    integrated gradients, have much of its shape whatever the weights.

    Args:
        first, second: (N, …) of one shape.

    Returns:
        float64 (N,) in [−1, 1]: 1 for the same order, about 0 for unrelated ones, NaN where all values are alike.

    Raises:
        ShapeError: if the shapes differ.

    >>> first = torch.tensor([[1.0, 2.0, 3.0]])
    >>> rank_correlation(first, first**3).item(), rank_correlation(first, -first).item()
    (1.0, -1.0)
    """
    if first.shape != second.shape or first.dim() < 2:
        raise ShapeError(f"attributions of shapes {tuple(first.shape)} and {tuple(second.shape)} can't be compared.")
    return torch.stack(
        [
            torch.corrcoef(torch.stack([_ranks(a), _ranks(b)]))[0, 1]
            for a, b in zip(first.detach().cpu(), second.detach().cpu(), strict=True)
        ]
    )


def _ranks(values: Tensor) -> Tensor:
    """Ranks in ascending order; equal values share the mean of theirs."""
    _, place, counts = values.flatten().unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2).double()[place]
