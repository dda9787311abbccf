"""Settings of the documentation site: `make docs` builds it with Sphinx, and pages with code run that code."""

import logging
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), os.environ.get("PYTHONPATH", "")]
)  # for the pages' own processes

# The kernels read nothing of the reader's own IPython, and only errors of theirs are news.
PROFILE = ROOT / "build" / "docs-ipython" / "profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
(PROFILE / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n", encoding="utf-8")
os.environ["IPYTHONDIR"] = str(PROFILE.parent)
logging.getLogger("traitlets").setLevel(logging.WARNING)

from docs.building.commands import EXTRA  # noqa: E402
from docs.building.outside import inventories  # noqa: E402
from striate import __version__  # noqa: E402

project, author, release = "Striate", "the Striate authors", __version__
project_copyright = "the Striate authors; Apache License 2.0"

extensions = [
    *("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx", "myst_nb"),
    *(
        "docs.building.accessible",
        "docs.building.api",
        "docs.building.commands",
        "docs.building.docstrings",
        "docs.building.links",
        "docs.building.outputs",
    ),
]
exclude_patterns = ["building", "reliability/**"]
nitpicky = True
# Words in backticks are looked up and may be anything; a type that is named must be known.
default_role = "py:obj"
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    ("py:class", r"annotated_types\..*|striate\..*|AnyImage|Layout|Precision|pathlib\.PosixPath"),  # not public
    ("py:class", r"[−\d.]+|N|in|float64|numpy\.bool|numpy\.dtype|collections\.abc\.Mapping\[int"),  # prose and values
]
suppress_warnings = ["ref.python"]  # `.text()` is a method of many classes
rst_prolog = ".. |colon| replace:: :\n"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False

# Only addresses that docs/building/outside.toml lists are linked: the build asks nobody, and is the same everywhere.
intersphinx_mapping = inventories(ROOT / "build" / "docs-inventories")

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nb_code_prompt_show, nb_code_prompt_hide = "Show the {type}", "Hide the {type}"
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_render_markdown_format = "myst"
nb_execution_timeout = 300
nb_execution_in_temp = True  # what pages train goes with the folder
nb_execution_show_tb = True

html_theme = "furo"
html_title = "Striate"
html_static_path = ["building/static"]
html_favicon = "building/static/favicon.svg"
EXTRA.mkdir(parents=True, exist_ok=True)
html_extra_path = ["lenet5.html", str(EXTRA)]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
