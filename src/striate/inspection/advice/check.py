"""The `advise` function: all rules applied to one network."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, StriateError, unknown
from striate.hardware import pick
from striate.inspection.advice.fields import idle_weights, skipping_strides, small_field
from striate.inspection.advice.parameters import flattened_head, large_kernels
from striate.inspection.advice.resources import slow_layers, too_much_memory, training_memory
from striate.inspection.advice.rule import Advice, Finding, Network, Rule, Saving, SkippedError
from striate.inspection.advice.units import dead_units, saturated_activations
from striate.inspection.advice.widths import narrow_stages
from striate.inspection.invariances.classifier import Classifier
from striate.inspection.structure.describe import describe
from striate.inspection.structure.inputs import architecture_of, input_shape_of, module_of, named
from striate.preprocess import Preprocess
from striate.runs import Run, opened
from striate.runs.trained import preprocess_of
from striate.training import Recipe

RULES: Mapping[str, Rule] = {
    "large-kernel": large_kernels,
    "narrow-stage": narrow_stages,
    "flattened-head": flattened_head,
    "small-field": small_field,
    "large-field": idle_weights,
    "skipping-stride": skipping_strides,
    "dead-units": dead_units,
    "saturated-activation": saturated_activations,
    "slow-layer": slow_layers,
    "memory": too_much_memory,
}


def advise(
    model: nn.Module | Run | str | Path,
    images: Tensor | None = None,
    *,
    input_shape: tuple[int, int, int] | None = None,
    preprocess: Preprocess | None = None,
    recipe: Recipe | None = None,
    rules: Iterable[str] | None = None,
    device: str = "auto",
    name: str | None = None,
) -> Advice:
    """Check a network against textbook design rules and propose changes, with numbers.

    Args:
        model: any module from float (N, C, H, W) to logits, a model's name, or a run or its folder.
        images: uint8 (N, H, W, C), for two rules that check the activations of a trained network.
        input_shape: channels, height, width; known with images, for runs, and for models that Striate made.
        preprocess: how pixels become input; a run has its own, and for a module it is pixel / 255 if not given.
        recipe: how it is trained, for the memory: batch size and optimiser; a run has its own.
        rules: names of rules, keys of `RULES`; all of them if not given.
        device: "auto", "cpu" or "cuda": where time and memory are measured.
        name: what to call the network.

    Returns:
        Findings, with changes that can be made on a copy of the network; the model stays as it was.

    Raises:
        ArgumentError: for an unknown rule, for a network without convolutions, and as `describe`.
        ShapeError: if the model can't take such images.

    >>> advice = striate.advise("lenet5", rules=["flattened-head"])
    >>> advice.findings[0].layers, advice.findings[0].saves.parameters
    (('c5',), 46080)
    """
    chosen = list(RULES) if rules is None else list(rules)
    for rule in chosen:
        if rule not in RULES:
            raise unknown("rule", rule, RULES)
    target, model = pick(device), opened(model)
    if isinstance(model, Run):
        name, preprocess, recipe = name or model.name, preprocess or model.preprocess, recipe or model.recipe
        input_shape = (preprocess.channels, preprocess.height, preprocess.width)
        module = module_of(model) if model.architecture is None else model.model()
    else:
        module, preprocess = module_of(model), preprocess or preprocess_of(model)
    if images is not None and input_shape is None and preprocess is None:
        height, width, channels = images.shape[1:]
        input_shape = (channels, height, width)
    shape = input_shape_of(module, input_shape)
    network = _network(module.to(target), shape, target, recipe or Recipe())
    if images is not None:
        network = _with_images(network, images, preprocess)
    if not network.convolutions:
        raise ArgumentError(
            f"{name or _name(module)} has no convolutions to advise on; its layers are "
            f"{named(dict.fromkeys(call.name for call in network.calls))}."
        )
    return _advice(network, chosen, name or _name(module))


def _network(module: nn.Module, shape: tuple[int, int, int], device: torch.device, recipe: Recipe) -> Network:
    moments = {"adamw": 2, "nadam": 2, "muon": 1, "sgd": 1 if recipe.momentum else 0}
    return Network(module, shape, device, recipe.batch_size, moments[recipe.optimizer])


def _with_images(network: Network, images: Tensor, preprocess: Preprocess | None) -> Network:
    channels, height, width = network.shape
    preprocess = preprocess or Preprocess.resizing((height, width), channels)
    inputs = Classifier(network.module, preprocess, network.device).inputs
    return replace(network, images=preprocess.conform_all(images), inputs=inputs)


def _advice(network: Network, rules: list[str], name: str) -> Advice:
    findings: list[Finding] = []
    passed, skipped = [], {}
    for rule in rules:
        try:
            found = [_tried(network, finding) for finding in RULES[rule](network)]
        except SkippedError as reason:
            skipped[rule] = str(reason)
            continue
        findings += found
        passed += [] if found else [rule]
    fixed, each = training_memory(network)
    return Advice(
        model=name,
        input_shape=network.shape,
        parameters=network.table.parameters,
        multiply_adds=network.table.multiply_adds,
        batch_size=network.batch_size,
        memory=fixed + network.batch_size * each,
        images=0 if network.images is None else len(network.images),
        findings=tuple(findings),
        passed=tuple(passed),
        skipped=skipped,
    )


def _tried(network: Network, finding: Finding) -> Finding:
    """Add to a finding the saving of its change, counted on the changed network, or the reason why it can't be made."""
    if finding.surgery is None:
        return finding
    try:
        table = describe(finding.apply(network.module, network.shape), network.shape)
    except StriateError as error:
        return replace(finding, surgery=None, manual=str(error).rstrip("."))
    before = network.table
    return replace(
        finding, saves=Saving(before.parameters - table.parameters, before.multiply_adds - table.multiply_adds)
    )


def _name(module: nn.Module) -> str:
    architecture = architecture_of(module)
    return architecture.text if architecture else type(module).__name__
