"""The command line, called in this process, and in one without PyTorch."""

import sys

import pytest

from striate.cli.main import main

WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "onnx", "onnxscript", "scipy", "sklearn", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from striate.cli.main import main
main()
"""


def striate(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run `striate ARGUMENT...`: what the process would exit with."""
    monkeypatch.setattr(sys, "argv", ["striate", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
