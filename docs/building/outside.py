"""Links to the documentation of Python and of the libraries that Striate stands on.

Sphinx's intersphinx reads inventories: lists of names with their pages. Fetching them would make the build need a
network and differ from day to day; the few names that our pages have are listed in outside.toml instead.
"""

import tomllib
import zlib
from pathlib import Path

TABLE = Path(__file__).with_name("outside.toml")


def inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Write an inventory for each project in outside.toml, and return the setting `intersphinx_mapping`."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, entry in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        lines = [
            f"{name} py:{kind} 1 {page} -" for kind, names in entry["names"].items() for name, page in names.items()
        ]
        path = folder / f"{project}.inv"
        path.write_bytes(head.encode() + zlib.compress("\n".join([*lines, ""]).encode()))
        mapping[project] = (entry["address"], str(path))
    return mapping
