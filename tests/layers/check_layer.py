"""The same questions to every layer. A new layer gets all of them by one line in test_every_layer.py."""

import copy
import io

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck


def check_layer(layer: nn.Module, x: Tensor, shape: tuple[int, ...]) -> None:
    """`layer` on `x` (float32, a batch of at least 2, no ties, no kinks nearby) gives `shape`, and all that follows."""
    expected = layer(x)
    assert expected.shape == shape
    assert expected.dtype == x.dtype
    assert torch.isfinite(expected).all()
    assert repr(layer).count("\n") == 0 or any(True for _ in layer.children())
    check_layouts(layer, x, expected)
    check_batches(layer, x, expected)
    check_precision(layer, x, expected)
    check_saving(layer, x, expected)
    check_compilers(layer, x, expected)


def check_layouts(layer: nn.Module, x: Tensor, expected: Tensor) -> None:
    """Strided and transposed inputs give what contiguous ones give; channels-last stays channels-last."""
    strided = torch.stack([x, x], -1)[..., 0]
    transposed = x.transpose(0, -1).contiguous().transpose(0, -1)
    for same in (strided, transposed):
        assert torch.equal(same, x)
        torch.testing.assert_close(layer(same), expected)
    if x.dim() == 4:
        channels_last = layer(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(channels_last, expected)
        if channels_last.dim() == 4:
            assert channels_last.is_contiguous(memory_format=torch.channels_last)
            assert expected.is_contiguous()


def check_batches(layer: nn.Module, x: Tensor, expected: Tensor) -> None:
    """An image's result does not depend on its batch; a batch may be empty, and an image may come without one."""
    torch.testing.assert_close(layer(x[1:2]), expected[1:2])
    torch.testing.assert_close(layer(x[1]), expected[1])
    assert layer(x[:0]).shape == (0, *expected.shape[1:])


def check_precision(layer: nn.Module, x: Tensor, expected: Tensor) -> None:
    """Gradients are right in float64; bfloat16 autocast and bfloat16 weights give about the same."""
    double = copy.deepcopy(layer).double()
    parameters = [p.detach().clone().requires_grad_() for p in double.parameters()]
    names = [name for name, _ in double.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(double, dict(zip(names, parameters, strict=True)), (x,))

    assert gradcheck(call, (x.double().requires_grad_(), *parameters), fast_mode=True)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x.bfloat16()).float(), expected, rtol=0.05, atol=0.05)
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.05)


def check_saving(layer: nn.Module, x: Tensor, expected: Tensor) -> None:
    """Its state alone brings it back: nothing random stays outside."""
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(layer)
    for tensor in other.state_dict().values():
        tensor.zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), expected)


def check_compilers(layer: nn.Module, x: Tensor, expected: Tensor) -> None:
    """torch.export, for any batch, and torch.compile in one graph, both agree with eager."""
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(program(x), expected)
    torch.testing.assert_close(program(torch.cat([x, x])), torch.cat([expected, expected]))
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
