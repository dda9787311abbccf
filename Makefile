# Everything starts from Python 3.11 or newer, make, and a package index.
#
#   make demo      train LeNet-5 on handwritten digits and write a report of what it learned; explain two photographs
#   make test      run the tests, a worker on each core                  (ARGS="-k pooling" picks some)
#   make fuzz      give every reader damaged files until Ctrl-C, and count what becomes of them    (ARGS="--seconds 600")
#   make check     check format, lint and types
#   make all       check, then test
#   make format    format the code, fix lint
#   make install   only the environment, with all development tools
#   make bench     measure Striate against its peers: hours; stopped, the same continues    (ARGS="--only throughput")
#   make bench-quick   the same at a smaller size, in ten minutes
#   make faults    kill and disturb runs, and count those that end as if undisturbed: minutes    (ARGS="--kills 20")
#   make docs      build the documentation site; its pages run their code: minutes. make docs-open serves it
#   make clean     remove the environments, the caches, the builds and runs/demo
#
# VENV=/some/dir puts the environment elsewhere, and those of the peers beside it; PYTHON=python3.12 makes it with another Python.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN = $(VENV)/bin
PEERS = $(VENV)-peers
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable

# Evaluated when the demo is, and so with the environment's own scikit-learn.
PHOTOGRAPHS = $(shell $(BIN)/python -c 'import sklearn; print(*(f"{sklearn.__path__[0]}/datasets/images/{name}.jpg" for name in ("china", "flower")))')

.DEFAULT_GOAL := help
.PHONY: docs docs-open help demo test fuzz check all format install bench bench-quick faults clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.installed
	rm -rf runs/demo
	$(BIN)/striate train --out runs/demo
	$(BIN)/striate report runs/demo
	@echo "What the network learned: $(CURDIR)/runs/demo/report.html"
	@echo "Two photographs that come with scikit-learn, by a network that has seen ImageNet:"
	$(BIN)/striate predict efficientnet_lite0 $(PHOTOGRAPHS) --top 3
	for photograph in $(PHOTOGRAPHS); do \
	  $(BIN)/striate explain efficientnet_lite0 $$photograph --out runs/demo/$$(basename $$photograph .jpg).html || exit; done

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

all: check
	$(MAKE) test

format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

install: $(VENV)/.installed-dev

# What is measured: benchmarks/README.md.
bench bench-quick: $(VENV)/.installed $(patsubst benchmarks/environments/%.txt,$(PEERS)/%/.installed,$(wildcard benchmarks/environments/*.txt))
	$(BIN)/python -m benchmarks --size $(if $(filter bench,$@),full,quick) --peers $(PEERS) $(ARGS)

faults: $(VENV)/.installed
	$(BIN)/python -m benchmarks.faults $(ARGS)

# Pages with code run it, and warnings are errors. Only the build folder is served.
docs: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto --builder html --doctree-dir build/docs-trees docs build/docs $(ARGS)
	@echo "The site: $(CURDIR)/build/docs/index.html"

docs-open: docs
	$(BIN)/python -m webbrowser -t http://127.0.0.1:8000/
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

clean:
	@if [ -e "$(VENV)/.created" ]; then rm -rf "$(VENV)"; fi
	rm -rf $(addprefix $(PEERS)/,$(basename $(notdir $(wildcard benchmarks/environments/*.txt))))
	rm -rf runs/demo build dist docs/reference/command-line docs/reference/python .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The environment: one file a step, so that a step is done once, and again when what it depends on changes.

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Striate needs Python 3.11 or newer, and '$(PYTHON)' was not found:" \
	    "install it, or name yours with 'make PYTHON=/path/to/python3'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Striate needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1):" \
	    "name a newer one, as in 'make PYTHON=python3.12'." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP_INSTALL) ".[pretrained]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP_INSTALL) ".[dev]"
	@touch $(VENV)/.installed $@

# The peers of the benchmarks: one environment each, with exactly the versions in its file.
$(PEERS)/%/.installed: benchmarks/environments/%.txt constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --requirement $<
	@touch $@
