"""ResNeXt-50 (Xie et al., 2017), as in table 1: ResNet-50 with 3×3 convolutions in 32 groups.

layer    size     type
conv1    112×112  conv 7×7, 64 channels, stride 2
         56×56    max pool 3×3, stride 2
conv2_x  56×56    3 × N(128, 256)
conv3_x  28×28    4 × N(256, 512)
conv4_x  14×14    6 × N(512, 1024)
conv5_x  7×7      3 × N(1024, 2048)
         1×1      average pool, dense, softmax (in the loss)
multiply-adds     4.2·10⁹

N(b, c) is a bottleneck: conv 1×1 to b channels, conv 3×3 to b channels in 32 groups of 4, 8, 16 and 32 channels, conv
1×1 to c channels. That is the sum of 32 paths, each with its own narrow bottleneck ("32x4d"), at the cost of ResNet-50.
All else is as in resnet.py; the stride of a stage is that of the first 3×3 convolution.

Parameters have torchvision's names, so its weights load as they are.
"""

from functools import partial

from striate.models.registry import Facts, register
from striate.models.resnet import OPTIONS, Layout, ResNet, Style
from striate.models.weights.pretrained import IMAGENET

_facts = Facts(
    "resnext50_32x4d",
    "ResNeXt-50, ResNet-50 with grouped convolutions",
    "Xie, Girshick, Dollár, Tu, He 2017, table 1",
    options={name: option for name, option in OPTIONS.items() if name != "downsample"},
    normalization=IMAGENET,
)
_style = Style(groups=32, group_width=4)
register(_facts)(partial(ResNet, layout=Layout("resnext50_32x4d", (3, 4, 6, 3), _style)))
