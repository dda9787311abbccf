"""The command line as a whole: help, version, start-up and unexpected ends."""

import os
import subprocess
import sys

from striate import __version__
from striate.hardware import _SPINS


def test_help_lists_every_command(striate):
    answer = striate("--help")
    assert answer.code == 0
    for name in ("train", "evaluate", "predict", "report", "describe", "data"):
        assert f"  {name} " in answer.out


def test_version(striate):
    assert striate("--version").out == f"striate {__version__}\n"


def test_an_unknown_command_or_option_is_refused(striate):
    for arguments, named in (
        (["frobnicate"], "frobnicate"),
        (["train", "--frobnicate"], "--frobnicate"),
        (["train", "--epochs", "many"], "--epochs"),
    ):
        answer = striate(*arguments)
        assert answer.code == 2
        assert named in answer.err


def test_help_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['striate', '--help']\n"
        "from striate.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'sklearn', 'matplotlib', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]"


def test_the_garbage_collector_rests_during_imports_and_leaves_them_alone():
    program = (
        "import gc\n"
        "from striate.cli.launch import importing\n"
        "with importing():\n"
        "    import torch\n"
        "    assert not gc.isenabled()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000)\n"
        "with importing():\n"
        "    print(gc.isenabled())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["True", "True", "True"]


def test_an_unexpected_error_is_one_line_without_a_traceback(striate, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("something Striate did not foresee")

    monkeypatch.setattr("striate.models.facts", broken)
    monkeypatch.delenv("STRIATE_DEBUG", raising=False)
    answer = striate("train")
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert "something Striate did not foresee" in answer.err


def test_a_notebooks_choice_of_pictures_is_not_ours(striate, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://a_notebook.backend")
    assert striate("--version").code == 0
    assert os.environ["MPLBACKEND"] == "agg"


def test_how_threads_wait_is_set_before_pytorch_reads_it():
    program = "import os, sys; from striate.cli.main import _prepare_process; _prepare_process()"
    program += "; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    own = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [_SPINS, "False"], done.stderr


def test_a_mistyped_model_is_told_with_the_names_there_are(striate):
    answer = striate("predict", "efficientnet_lit0", "photo.jpg")
    assert answer.code == 2
    assert "Did you mean 'efficientnet_lite0'?" in answer.err
