"""A network as one ONNX graph: preprocessing, the network as PyTorch exports it, probabilities, and its card."""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from onnx import ModelProto, compose, helper, numpy_helper
from torch import Tensor, nn

from striate.errors import ExportError
from striate.inference.exported_file import Card, sealed
from striate.inference.onnx_preprocessing import IR, OPSET, preprocessing
from striate.inference.runtimes import KEY
from striate.version import __version__

_LARGEST = 2**31 - 1  # bytes of one file; ONNX keeps larger weights in files beside it


def exported(module: nn.Module, card: Card) -> bytes:
    """Export a network to the bytes of one ONNX file; equal networks and cards give equal bytes.

    Its input is `image`, uint8 (N, H, W, C). Its outputs are `logits` and `probabilities`, float32 (N, classes).

    Args:
        module: from float32 (N, C, height, width) to logits (N, classes), in evaluation mode.
        card: what the file is to say about itself, and how images become its input.

    Raises:
        ExportError: if PyTorch can't export it, or it is too large for one file.
    """
    return assembled(network(module, card), card)


def assembled(network: ModelProto, card: Card) -> bytes:
    """Put preprocessing before a network, and probabilities after it; see `exported`.

    Args:
        network: from `input`, float32 (N, C, height, width), to `logits`; it is changed.
        card: see `exported`.
    """
    model = network
    before = compose.add_prefix(preprocessing(card.preprocess, card.input), "preprocess/", rename_inputs=False)
    (image,), (ready,) = before.graph.input, before.graph.output
    graph = model.graph
    for node in graph.node:
        node.input[:] = [ready.name if name == "input" else name for name in node.input]
    nodes = [*before.graph.node, *graph.node, *_probabilities()]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(image)
    graph.initializer.extend(before.graph.initializer)
    graph.initializer.append(numpy_helper.from_array(torch.tensor(card.temperature).numpy(), "temperature"))
    graph.output.append(helper.make_tensor_value_info("probabilities", 1, ["N", len(card.classes)]))
    _described(model, card)
    if model.ByteSize() > _LARGEST:
        raise ExportError(f"{card.model} has more than 2 GB of weights, which do not fit into one ONNX file.")
    onnx.checker.check_model(model, full_check=True)
    return sealed(bytes(model.SerializeToString(deterministic=True)))


def network(module: nn.Module, card: Card, also: Sequence[str] = ()) -> ModelProto:
    """The network alone, from `input` to `logits`, with a batch of any size; see `exported`.

    Args:
        also: names of what the module gives behind the logits, if it gives a tuple; further outputs.
    """
    preprocess = card.preprocess
    example = torch.zeros(2, preprocess.channels, preprocess.height, preprocess.width)
    copied = copy.deepcopy(module).float().cpu().eval()
    try:
        model = to_onnx(copied, (example,), ["input"], ["logits", *also], ({0: torch.export.Dim("N")},))
    except Exception as error:  # its own, those of torch.export, and whatever a module raises
        cause = error.__cause__ or error
        reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        raise ExportError(f"PyTorch can't export {card.model} to ONNX: {reason}") from error
    found = {each.domain: each.version for each in model.opset_import}.get("")
    if found != OPSET:  # it takes another one where an operator needs it, and does not say so
        raise ExportError(f"{card.model} needs version {found} of ONNX's operators; files have {OPSET}.")
    return model


def to_onnx(
    module: nn.Module, examples: tuple[Tensor, ...], inputs: list[str], outputs: list[str], shapes: Any = None
) -> ModelProto:
    """Export a module to ONNX as PyTorch does, without a word.

    Args:
        module: from tensors to a tensor, or to several.
        examples: its inputs.
        inputs, outputs: names of both.
        shapes: which axes may have other lengths, as `torch.export` takes them.

    Raises:
        Exception: any of PyTorch's or the module's own, if it can't be exported.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module, examples, dynamo=True, opset_version=OPSET, verbose=False,
            input_names=inputs, output_names=outputs, dynamic_shapes=shapes,
        )  # fmt: skip
    if program is None:
        raise ExportError("it gives no reason.")
    model: ModelProto = program.model_proto
    return model


def _probabilities() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Div", ["logits", "temperature"], ["calibrated"]),
        helper.make_node("Softmax", ["calibrated"], ["probabilities"], axis=1),
    ]


def _described(model: ModelProto, card: Card) -> None:
    """Replace what PyTorch notes about the machine that exports, stack traces with paths among it, by the card."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    del graph.value_info[:]
    del model.opset_import[1:]
    graph.name = "striate"
    model.ir_version = IR
    model.producer_name, model.producer_version = "striate", __version__
    helper.set_model_props(model, {KEY: card.model_dump_json()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes to developers of exporters off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
