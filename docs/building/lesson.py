"""The first lesson as a notebook for Jupyter, written from its text: `python -m docs.building.lesson`."""

from pathlib import Path

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig

TEXT = Path(__file__).parents[2] / "examples" / "first-lesson.md"
NOTEBOOK = TEXT.with_suffix(".ipynb")


def notebook(text: str) -> str:
    """The notebook's file, from its text: cells without outputs, numbered so that equal texts give equal files."""
    made = read_myst_markdown_notebook(text, MdParserConfig(), add_source_map=False)
    for number, cell in enumerate(made.cells, start=1):
        cell.id = f"cell-{number}"
    made.metadata.pop("file_format", None)
    made.nbformat, made.nbformat_minor = 4, 5
    nbformat.validate(made)
    return nbformat.writes(made) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(TEXT.read_text(encoding="utf-8")), encoding="utf-8")
