"""`striate advise`: a linter for networks."""

from typing import Annotated

import typer

from striate.cli.console import say, show, show_json
from striate.cli.options import Antialias, Channels, Classes, Device, Json, ModelOrRun
from striate.errors import ArgumentError
from striate.units import seconds


def advise(
    target: ModelOrRun,
    data: Annotated[
        str | None,
        typer.Option(help="Data set: sets classes and size, and is used by --try; for a run, replaces its own."),
    ] = None,
    rules: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; may be given again.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="All rules but this; may be given again.")] = None,
    images: Annotated[int, typer.Option(help="How many held-out images the rules for trained networks see.")] = 1000,
    classes: Classes = None,
    channels: Channels = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; if not given, the model's own, the data's, or 28.")
    ] = None,
    antialias: Antialias = False,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step, for the memory; the recipe's.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there are findings; times vary: add --ignore slow-layer.")
    ] = False,
    attempt: Annotated[
        bool, typer.Option("--try", help="Train the original and each automatic change, and compare them.")
    ] = False,
    budget: Annotated[str | None, typer.Option(help="With --try, time for each training; 1m if not given.")] = None,
    epochs: Annotated[int | None, typer.Option(help="With --try, passes over the data instead.")] = None,
    seeds: Annotated[int, typer.Option(help="With --try, trainings of each network.")] = 3,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Check a network against design rules: each finding with its numbers and the change it proposes."""
    from striate.cli.advise_trial import advised_network, tried
    from striate.inspection import advise as look

    chosen = _chosen(rules or [], ignore or [])
    length = _length(attempt, budget, epochs)
    advised = advised_network(target, data, antialias, classes, channels, image_size, most=images)
    recipe = advised.recipe if batch_size is None else advised.recipe.replace(batch_size=batch_size)
    advice = look(advised.network, advised.images, recipe=recipe, rules=chosen, device=device)
    for note in advised.notes:
        say(note)
    trial = tried(advised, advice, length, seeds, device) if attempt else None
    if json:
        show_json({**advice.to_dict(), "trial": trial and trial.to_dict()})
    else:
        show("\n\n".join([advice.text(), *([trial.text()] if trial else [])]))
    if strict and advice.findings:
        raise typer.Exit(1)


def _chosen(rules: list[str], ignore: list[str]) -> list[str]:
    """The selected rules, in their usual order."""
    from striate.errors import unknown
    from striate.inspection.advice import RULES

    for rule in (*rules, *ignore):
        if rule not in RULES:
            raise unknown("rule", rule, RULES)
    chosen = [rule for rule in RULES if (not rules or rule in rules) and rule not in ignore]
    if not chosen:
        raise ArgumentError("--rule and --ignore leave no rule: name one that is not ignored.")
    return chosen


def _length(attempt: bool, budget: str | None, epochs: int | None) -> dict[str, float]:
    """Recipe settings for the length of each training of --try."""
    if not attempt and (budget is not None or epochs is not None):
        raise ArgumentError("--budget and --epochs are about training: give --try too.")
    if budget is not None and epochs is not None:
        raise ArgumentError("--epochs and --budget both say how long to train: give one of them.")
    return {"budget": seconds(budget or "1m")} if epochs is None else {"epochs": epochs}
