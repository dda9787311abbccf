"""Stochastic depth: residual branches that are left out at random in training.

Source: Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth", 2016, section 3. Others call it drop
path (Larsson, Maire, Shakhnarovich, 2016) or drop connect (EfficientNet's program).
"""

from torch import Tensor, nn

from striate.errors import ArgumentError


class StochasticDepth(nn.Module):
    """Stochastic depth: in training each sample is 0 with probability `p`, and otherwise divided by 1 - p.

    (N, ...) -> the same; floating. So the expected value is the input's. In evaluation mode the input is returned. As
    for PyTorch's dropout the random numbers are the default generator's.

    Raises ArgumentError unless 0 <= p < 1.

    >>> import torch
    >>> StochasticDepth(0.5).eval()(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """

    def __init__(self, p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ArgumentError(f"p={p}: the probability of leaving a branch out lies in [0, 1).")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty(x.shape[0], *(1,) * (x.dim() - 1)).bernoulli_(1 - self.p)
        return x * kept.div_(1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"
