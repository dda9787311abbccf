"""Winners of the ImageNet classification contest (ILSVRC), as context for a comparison."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Winner:
    """One year's winner, trained on the contest's own images only.

    Args:
        year: of the contest.
        team: who won.
        method: the network, or what was used before networks won.
        top5_error: on the contest's test images, in [0, 1].
        source: the paper that states the error.
        network: whether it is a convolutional network.
        stated: whether it is in that paper; if not, error or team are as commonly reported.
        remark: what else to know.
    """

    year: int
    team: str
    method: str
    top5_error: float
    source: str
    network: bool = True
    stated: bool = True
    remark: str = ""


_ALEXNET = "Krizhevsky, Sutskever and Hinton 2012"
_GOOGLENET = "Szegedy et al. 2014, section 7"

WINNERS = (
    Winner(
        *(2010, "NEC-UIUC", "sparse coding, SVM", 0.282, f"{_ALEXNET}, table 1"),
        network=False,
        remark="the team as commonly reported",
    ),
    Winner(2011, "XRCE", "Fisher vectors, SVM", 0.258, "as commonly reported", network=False, stated=False),
    Winner(2012, "SuperVision", "AlexNet", 0.164, f"{_ALEXNET}, table 2", remark="15.3 % with more images"),
    Winner(2013, "Clarifai", "convolutional networks", 0.117, _GOOGLENET, remark="11.2 % with more images"),
    Winner(2014, "GoogLeNet", "GoogLeNet", 0.0667, _GOOGLENET, remark="seven networks together"),
    Winner(2015, "MSRA", "ResNet", 0.0357, "He et al. 2015, abstract", remark="six networks together"),
    Winner(2016, "Trimps-Soushen", "several kinds of network together", 0.0299, "as commonly reported", stated=False),
    Winner(2017, "WMW", "SENet", 0.02251, "Hu, Shen and Sun 2018, abstract", remark="the last contest"),
)
