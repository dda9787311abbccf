"""The house rules that imports can show: levels, fences, a root that costs nothing, and honest `__all__`s."""

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "striate"

# Lowest first. What stands on one line may import the lines above it, and nothing beside it.
LEVELS = (
    ("errors",),  # everybody raises them, so they stand below their level's other two
    ("download", "files", "hardware", "processes", "resizing", "seeding", "types", "units", "version"),
    ("preprocess", "layers", "drawing"),
    ("data", "augmentation", "models"),
    ("acceleration",),
    ("inference",),
    ("training",),
    ("runs",),
    ("evaluation", "inspection"),
    ("comparison", "exporting"),
    ("reports",),
    ("serving",),
    ("cli",),
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
EXEMPT = {"__init__.py", "__main__.py"}  # the root's lazy names, and `python -m striate`

# What may be used only in some places: a file, or a folder with its slash. Nowhere, if there is none.
FENCES = {
    "PIL.Image.open": ("data/images/decode.py",),
    "simplejpeg": ("data/images/jpeg.py",),
    "sklearn.datasets": ("data/sources/digits.py",),
    "datasets": ("data/sources/huggingface.py",),
    "huggingface_hub": ("data/sources/huggingface.py",),
    "pyarrow": ("data/sources/arrow.py",),
    "pickle": (),
    "cloudpickle": (),
    "dill": (),
    "joblib": (),
    "marshal": (),
    "shelve": (),
    "torch.load": (),  # but see `_is_safe_load`
    "torch.seed": (),
    "torch.manual_seed": ("seeding.py",),
    "torch.random.manual_seed": ("seeding.py",),
    "torch.cuda.manual_seed": ("seeding.py",),
    "torch.cuda.manual_seed_all": ("seeding.py",),
    "random.seed": (),
    "numpy.random.seed": (),
    "torch.set_default_dtype": (),
    "torch.set_default_device": (),
    "torch.set_default_tensor_type": (),
    "torch.cuda.set_device": (),
    "onnx": ("exporting/", "inference/onnx_graph.py", "inference/onnx_preprocessing.py"),
    "onnxruntime": ("exporting/", "inference/runtimes.py"),
    "openvino": ("exporting/", "inference/runtimes.py"),
    "http.server": ("serving/",),
    "fastapi": ("serving/",),
    "starlette": ("serving/",),
    "uvicorn": ("serving/",),
}


# Where files may be read without `files.open_regular`: the package's own, the system's, and those just written.
READERS = (
    *("files.py", "hardware.py", "models/weights/imagenet.py", "reports/rendering.py"),
    "reports/study_pages.py",
    "exporting/web/page.py",
    "data/images/any_image.py",  # a pipe that the user names
)


# ---------------------------------------------------------------- the checker


def violations(root: Path) -> list[str]:
    """Every breach of the levels and fences in the package at `root`, as `file:line: what`."""
    found = []
    drawing = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        imports = list(_imports(tree, path, root))
        if file not in EXEMPT:
            found += [f"{file}:{line}: {why}" for line, name in imports if (why := _climb(file, name, root))]
        found += [f"{file}:{line}: {why}" for line, why in _fence_breaches(file, tree, imports)]
        if any(_within(name, "matplotlib") for _, name in imports):
            drawing[_owner(file)].append(file)
    found += [f"{files[1]}: {owner} draws in {', '.join(files)}" for owner, files in drawing.items() if len(files) > 1]
    return found + [f"a circle of imports: {' → '.join(circle)}" for circle in circles(root)]


def circles(root: Path) -> list[list[str]]:
    """The modules that import each other in a circle, one list each; imports for type checking and in functions count.

    The root's __init__.py is left out: it names everything and imports it when it is first used.
    """
    modules = {_module(path, root): path for path in sorted(root.rglob("*.py")) if path != root / "__init__.py"}
    edges = {
        name: {_target(full, modules) for _, full in _imports(ast.parse(path.read_text("utf-8")), path, root)} - {name}
        for name, path in modules.items()
    }
    return [circle for name in modules if (circle := _way_back(name, edges)) and name == min(circle)]


def _module(path: Path, root: Path) -> str:
    return ".".join(("striate", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")


def _target(full: str, modules: Iterable[str]) -> str:
    """The module that an import of `full` reads: itself, or the one that holds this name."""
    return full if full in modules else full.rpartition(".")[0]


def _way_back(start: str, edges: dict[str, set[str]]) -> list[str] | None:
    """The shortest way along the imports from a module to itself, without the last step; None if there is none."""
    ways, seen = deque([[start]]), set()
    while ways:
        way = ways.popleft()
        for target in sorted(edges.get(way[-1], ())):
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def _imports(tree: ast.AST, path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that is imported: at the top, in functions, for type checking, by string."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                base = _base(node, path, root)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def _base(node: ast.ImportFrom, path: Path, root: Path) -> str:
    """The module that `from … import` names, its dots resolved."""
    if not node.level:
        return node.module or ""
    package = ("striate", *path.relative_to(root).parent.parts)
    parts = package[: len(package) - node.level + 1]
    return ".".join((*parts, node.module) if node.module else parts)


def _climb(file: str, name: str, root: Path) -> str | None:
    """Why `file` may not import `name`, if it may not."""
    parts = name.split(".")
    if parts[0] != "striate":
        return None
    here, there = _owner(file), parts[1] if len(parts) > 1 else ""
    if not there or not ((root / there).is_dir() or (root / f"{there}.py").is_file()):
        return f"imports {name} by the root, which hides its level: name its package"
    for owner in (here, there):
        if owner not in LEVEL_OF:
            return f"{owner} has no level: give it one in LEVELS"
    if here == there or LEVEL_OF[there] < LEVEL_OF[here]:
        return None
    how = "beside" if LEVEL_OF[there] == LEVEL_OF[here] else "above"
    return f"imports {name}, which stands {how} {here}"


def _fence_breaches(file: str, tree: ast.AST, imports: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Line and reason of every use of something that is fenced in elsewhere."""
    safe = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_safe_load(node)}
    known = _aliases(tree)
    uses = set(imports)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in safe and (name := _dotted(node, known)):
            uses.add((node.lineno, name))
    for fence, places in FENCES.items():
        if not any(file == place or (place.endswith("/") and file.startswith(place)) for place in places):
            lines = {line for line, name in uses if _within(name, fence)}
            yield from ((line, f"uses {fence}, allowed {_only_in(places)}") for line in sorted(lines))


def _only_in(places: tuple[str, ...]) -> str:
    return f"only in {' and '.join(places)}" if places else "nowhere"


def _is_safe_load(call: ast.Call) -> bool:
    return any(
        word.arg == "weights_only" and isinstance(word.value, ast.Constant) and word.value.value is True
        for word in call.keywords
    )


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name → full dotted name, for everything that is imported from outside."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def _dotted(node: ast.expr, known: dict[str, str]) -> str | None:
    """`Image.open` → `PIL.Image.open`; None where the name does not begin with an import."""
    match node:
        case ast.Name(id=name):
            return known.get(name)
        case ast.Attribute(value=value, attr=attr):
            base = _dotted(value, known)
            return base and f"{base}.{attr}"
    return None


def _within(name: str, fence: str) -> bool:
    return name == fence or name.startswith(f"{fence}.")


def _owner(file: str) -> str:
    """`layers/pooling.py` → `layers`; `errors.py` → `errors`."""
    return file.split("/")[0].removesuffix(".py")


# ---------------------------------------------------------------- Striate keeps the rules


def test_striates_imports_follow_the_levels() -> None:
    assert violations(ROOT) == []


def test_importing_striate_costs_nothing() -> None:
    code = "import sys, striate; striate.__version__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "PIL", "sklearn", "matplotlib", "pydantic", "typer", "rich"}
    assert "striate" in done.stdout.split()
    assert heavy.isdisjoint(done.stdout.split())


PACKAGES = sorted(".".join(("striate", *path.parent.relative_to(ROOT).parts)) for path in ROOT.rglob("__init__.py"))


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_sorted_and_real(name: str) -> None:
    package = importlib.import_module(name)
    public = list(getattr(package, "__all__", []))
    assert public == sorted(set(public), key=_as_ruff_sorts)
    assert [each for each in public if not hasattr(package, each)] == []


def _as_ruff_sorts(name: str) -> tuple[int, list[tuple[int, str]]]:
    """Constants, then classes, then all others, with 2 before 10 (RUF022)."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    return kind, [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


# ---------------------------------------------------------------- the checker can say no


def made_up(folder: Path, **files: str) -> Path:
    """A small package: `data__images__decode="…"` is data/images/decode.py. All levels exist."""
    for name in LEVEL_OF:
        (folder / f"{name}.py").touch()
    for name, text in files.items():
        path = folder / f"{re.sub(r'(?<=[a-z])__(?=[a-z_])', '/', name)}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (folder / f"{path.relative_to(folder).parts[0]}.py").unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("runs__run", "from striate.training import train\nfrom striate import files"),
        (
            "layers__pooling",
            "from striate.layers.padding import pair\nfrom . import padding\nfrom ..errors import unknown",
        ),
        ("files", "from striate.errors import StorageError"),
        ("data__images__decode", "from PIL import Image\nImage.open('a.png')"),
        ("data__sources__digits", "from sklearn.datasets import load_digits"),
        ("models__weights", "import torch\ntorch.load('a', weights_only=True)"),
        ("training__loop", "import torch\ntorch.Generator().manual_seed(1)"),
        ("cli__train", "def train():\n    from striate.evaluation import evaluate"),
        ("preprocess", "from PIL import Image\nImage.fromarray(x)\nx.open()"),
    ],
)
def test_the_checker_is_silent_about_what_is_allowed(tmp_path: Path, file: str, text: str) -> None:
    assert violations(made_up(tmp_path, **{file: text})) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        (
            "layers__pooling",
            "from striate.models import create",
            "layers/pooling.py:1: imports striate.models.create, which stands above layers",
        ),
        ("data__sources", "import striate.models.registry", "which stands beside data"),
        ("data__sources", "from ..augmentation import draw", "which stands beside data"),
        ("data__sources", "from .. import models", "imports striate.models, which stands beside data"),
        ("errors", "from striate import files", "which stands above errors"),
        ("runs__run", "def load():\n    from striate.cli import main", "runs/run.py:2: "),
        ("runs__run", "import importlib\nimportlib.import_module('striate.cli')", "which stands above runs"),
        ("training__loop", "from striate import create", "by the root"),
        ("training__loop", "import striate", "by the root"),
        ("helpers", "from striate.errors import unknown", "helpers has no level"),
        (
            "data__folder",
            "from PIL import Image\nImage.open('a.png')",
            "data/folder.py:2: uses PIL.Image.open, allowed only in data/images/decode.py",
        ),
        ("data__folder", "import PIL.Image as P\nwith P.open('a.png') as image: ...", "uses PIL.Image.open"),
        ("data__folder", "from PIL.Image import open as read", "uses PIL.Image.open"),
        (
            "data__sources",
            "from sklearn import datasets",
            "uses sklearn.datasets, allowed only in data/sources/digits.py",
        ),
        ("data__sources", "import sklearn.datasets", "uses sklearn.datasets"),
        ("runs__checkpoints", "import pickle", "uses pickle, allowed nowhere"),
        ("runs__checkpoints", "import torch\ntorch.load('a')", "uses torch.load, allowed nowhere"),
        ("runs__checkpoints", "import torch\ntorch.load('a', weights_only=False)", "uses torch.load"),
        ("training__loop", "import torch as t\nt.manual_seed(0)", "uses torch.manual_seed, allowed only in seeding.py"),
        ("training__loop", "import numpy as np\nnp.random.seed(0)", "uses numpy.random.seed"),
        ("training__loop", "import torch\ntorch.set_default_dtype(torch.float64)", "uses torch.set_default_dtype"),
        ("training__loop", "import torch\ntorch.set_default_device('cuda')", "uses torch.set_default_device"),
        ("inspection__advice", "import onnx", "uses onnx, allowed only in exporting/"),
    ],
)
def test_the_checker_finds_what_is_not_allowed(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    found = violations(made_up(tmp_path, **{file: text}))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_package_draws_in_one_module(tmp_path: Path) -> None:
    root = made_up(tmp_path, evaluation__plots="import matplotlib", evaluation__report="from matplotlib import pyplot")
    assert violations(root) == ["evaluation/report.py: evaluation draws in evaluation/plots.py, evaluation/report.py"]


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        (
            {"data__a": "from striate.data.b import B", "data__b": "from striate.data.a import A"},
            "data.a → striate.data.b",
        ),
        (
            {
                "data__a": "from striate.data import b",
                "data__b": "from striate.data.c import C",
                "data__c": "def late():\n    from striate.data.a import A",
            },
            "striate.data.a → striate.data.b → striate.data.c",
        ),
        (
            {
                "data__a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from striate.data import A",
                "data____init__": "from striate.data.a import A",
            },
            "striate.data → striate.data.a",
        ),
    ],
)
def test_circles_are_found(tmp_path: Path, files: dict[str, str], circle: str) -> None:
    (found,) = violations(made_up(tmp_path, **files))
    assert found.startswith("a circle of imports: ")
    assert circle in found


def test_no_circle_is_seen_where_none_is(tmp_path: Path) -> None:
    files = {
        "data__a": "from striate.data.b import B\nfrom striate.data.c import C",
        "data__b": "from striate.data.c import C",
    }
    assert violations(made_up(tmp_path, **files, data__c="")) == []


def test_the_root_and_main_may_import_anything(tmp_path: Path) -> None:
    assert violations(made_up(tmp_path, __init__="from striate.cli import main", __main__="import striate.cli")) == []


def test_files_of_the_user_are_opened_by_one_function_only():
    """A named pipe or a device would otherwise keep its reader waiting."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if file not in READERS else ():
            match node:
                case ast.Call(func=ast.Name(id="open")) | ast.Call(func=ast.Attribute(attr="read_bytes" | "read_text")):
                    found.append(f"{file}:{node.lineno}")
                case ast.Call(func=ast.Attribute(attr="open"), args=[ast.Constant(value="r" | "rb" | "rt"), *_]):
                    found.append(f"{file}:{node.lineno}")
    assert found == []
