"""Report of a results file in Markdown: machine, versions, tables, failures."""

from benchmarks.parts import PARTS
from benchmarks.plot import machine_line
from benchmarks.programs import PEERS
from benchmarks.store import Store


def report(store: Store, parts: list[str]) -> str:
    """The machine, versions and commits, the tables of the parts, and the failed measurements."""
    lines = versions(store)
    lines += [f"- measured at commit {' and '.join(store.commits)}"] if store.commits else []
    texts = ["# Striate and its peers", machine_line(store), "\n".join(lines)]
    texts += filter(None, (PARTS[name].tables(store) for name in parts))
    texts += filter(None, [failures(store)])
    return "\n\n".join(each.rstrip("\n") for each in texts) + "\n"


def versions(store: Store) -> list[str]:
    """Installed versions, a list item for each library."""
    kept = store.header["versions"]
    installed = {peer.title: kept[peer.name] for peer in PEERS if peer.name in kept}
    return [f"- {title}: " + ", ".join(map(" ".join, found.items())) for title, found in installed.items()]


def failures(store: Store) -> str:
    """Failed measurements with their errors, as a section; an empty string if all succeeded."""
    lines = [f"- {key}: {error}" for key, error in store.failures().items()]
    return "\n".join(["## Failed", "", *lines]) if lines else ""
