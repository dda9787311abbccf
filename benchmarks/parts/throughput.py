"""Throughput in training and classification, and the latency of one image."""

from functools import cache, partial

import striate
from benchmarks.bench import Bench
from benchmarks.programs import FASHION, NETWORKED, OURS
from benchmarks.sizes import BATCHES, NETWORKS
from benchmarks.store import REFERENCE_RATE, Result, Store
from benchmarks.tables import median, number, ratio, table, times

CHOSEN = "-chosen"  # key suffix: Striate in its usual precision for the network
RATES = {"train": "training", "infer": "classification"}


def measure(bench: Bench) -> None:
    """Measure every peer in every round, for each network and batch size, in processes that are kept running."""
    last = bench.size.batches[-1]
    for network in bench.size.networks:
        for batch in bench.size.batches:
            with bench.workers(NETWORKED) as workers:
                for place, peer in bench.rounds(NETWORKED):
                    for what in _measured(peer == OURS, batch == last):
                        key = f"throughput/{what}/{network}/{1 if what == 'latency' else batch}/{peer.name}/{place}"
                        request = _request(bench, what, network, batch)
                        bench.measure(key, partial(workers[peer.name].ask, **request))


def _measured(ours: bool, last: bool) -> list[str]:
    rates = [what + chosen for what in RATES for chosen in (("", CHOSEN) if ours else ("",))]
    return [*rates, "latency"] if last else rates


def _request(bench: Bench, what: str, network: str, batch: int) -> dict[str, object]:
    size, task = bench.size, what.removesuffix(CHOSEN)
    common = asked(bench, task, network)
    if task == "latency":
        return {**common, "repeats": size.latencies}
    common |= {"batch": batch} | ({"trial": True} if task != what else {})
    if task == "infer":
        return {**common, "images": size.classified.get(network, size.usual), "seconds": size.infer_seconds}
    return {**common, "seconds": size.train_seconds, "untimed": size.untimed}


def asked(bench: Bench, task: str, network: str) -> dict[str, object]:
    """Arguments of every request that concerns a network."""
    return {"task": task, "network": network, "parameters": parameters(network), "files": bench.files(FASHION)}


@cache
def parameters(network: str) -> int:
    """Number of trainable parameters of a network, in Striate and so in every peer."""
    return striate.describe(striate.create(network)).parameters


@cache
def training_operations(network: str) -> int:
    """Floating-point operations of a training step for one image.

    A multiply-add is two; the backward pass takes twice as much as the forward pass, less the first layer's gradient
    with respect to its input, which nobody needs.
    """
    layers = [row.multiply_adds for row in striate.describe(striate.create(network)).rows if row.multiply_adds]
    return 2 * (3 * sum(layers) - layers[0])


def tables(store: Store) -> str:
    """Table of rates with Striate's ratio to each peer, and table of latencies."""
    return "\n".join(filter(None, [_rates(store), _latencies(store)]))


def _rates(store: Store) -> str:
    cases = [
        (task, chosen, network, batch)
        for task in RATES
        for chosen in ("", CHOSEN)
        for network in NETWORKS
        for batch in BATCHES
    ]
    rows = [_rate(store, *case) for case in cases]
    titles = [peer.title for peer in NETWORKED]
    header = ["", "network", "batch", *titles, "Striate's share of the reference matmul rate", "reference, GFLOP/s"]
    return table(
        "Throughput, images/s (in brackets: Striate's rate as a multiple)", header, [row for row in rows if row]
    )


def _rate(store: Store, task: str, chosen: str, network: str, batch: int) -> list[str]:
    """Row of the table; empty if nothing was measured."""
    found = {
        peer: store.rounds(f"throughput/{task}{chosen if peer == OURS else ''}/{network}/{batch}/{peer.name}")
        for peer in NETWORKED
    }
    mine = found[OURS]
    if not (mine if chosen else any(found.values())):
        return []
    cells = [
        number(median(rounds)) + ("" if peer == OURS else times(ratio(mine, rounds))) for peer, rounds in found.items()
    ]
    precisions = sorted({each["precision"] for each in mine.values()}) if chosen else []
    title = ", Striate in ".join([RATES[task], *precisions])
    share = _share(network, mine) if task == "train" else ""
    return [title, network, str(batch), *cells, share, number(median(mine, REFERENCE_RATE))]


def _share(network: str, rounds: dict[str, Result]) -> str:
    images_per_gflop = ratio(rounds, rounds, "images_per_second", REFERENCE_RATE)
    return "" if images_per_gflop is None else f"{images_per_gflop * training_operations(network) / 1e9:.0%}"


def _latencies(store: Store) -> str:
    rows = []
    for network in NETWORKS:
        found = {peer: store.rounds(f"throughput/latency/{network}/1/{peer.name}") for peer in NETWORKED}
        for field, way in (("seconds", "predict, for Keras"), ("called_seconds", "model(x), for Keras")):
            mine = median(found[OURS], "seconds")
            if mine is None or not any(median(rounds, field) for rounds in found.values()):
                continue
            cells = [
                _milliseconds(median(rounds, field)) + times(ratio(rounds, found[OURS], field, "seconds"))
                for peer, rounds in found.items()
                if peer != OURS
            ]
            rows.append([network, way, _milliseconds(mine), *cells])
    header = ["network", "way", *(peer.title for peer in NETWORKED)]
    return table("Latency of one image, milliseconds (in brackets: as a multiple of Striate's)", header, rows)


def _milliseconds(seconds: float | None) -> str:
    return number(None if seconds is None else 1000 * seconds)
