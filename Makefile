# Everything runs from a virtual environment of its own, .venv, which appears by itself, holds the
# exact versions of requirements.lock, and is reused until that file or pyproject.toml changes.
#
#   make book                 the book, after the quick run of every notebook that has changed
#   make test                 style and tests
#   make run ID=siren/initialization PROFILE=paper
#
# PYTHON=/path/to/python3.12 chooses the interpreter (3.11 to 3.13) of a new .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install book test tries lab run bench gpu clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
ID ?=
PROFILE ?= quick
BUDGET ?= 10m

# Small batches run faster on one thread than on two.
test tries: export OMP_NUM_THREADS ?= 1

help:  ## this list
	@grep -hE '^[a-z]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/:.*  ## /\t/' | expand -t 10

install: $(STAMP)  ## the virtual environment

# The stamp is written last, so that an interrupted installation is taken up again.
$(STAMP): requirements.lock pyproject.toml
	@python="$(PYTHON)"; \
	for candidate in $${python:-python3.13 python3.12 python3.11 python3}; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; \
	    sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	        found="$$candidate"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	    echo "inrkit needs Python 3.11, 3.12 or 3.13 with its venv module" \
	        "(Debian: apt install python3-venv); none was found$${python:+ at $$python}." \
	        "Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
	rm -f $(STAMP); \
	if ! $(BIN)/python -c '' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$found" --version)"; \
	    rm -rf $(VENV); "$$found" -m venv $(VENV); fi
	@echo "Installing the versions of requirements.lock (a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check \
	    --no-deps --no-build-isolation -e .
	@touch $(STAMP)

book: install  ## train the networks (quick profile), then build the book
	@$(BIN)/python -m inrkit run
	@$(BIN)/python -m inrkit book

SHARED := -n auto --maxprocesses 4 --dist loadgroup  # tests over the cores

test: install  ## style and tests
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/python -m pytest $(SHARED)

tries: install  ## every "Try this" of every notebook (make test tries a few)
	@INRKIT_TRIES=all $(BIN)/python -m pytest $(SHARED) tests/notebooks/test_tries.py

lab: install  ## the notebooks in JupyterLab
	@$(BIN)/python -m inrkit lab

run: install  ## notebooks: make run [ID="siren/initialization ..."] [PROFILE=paper]
	@$(BIN)/python -m inrkit run $(ID) --profile $(PROFILE)

bench: install  ## speed and memory against the machine's limits; let nothing else run
	@$(BIN)/python benchmarks/run.py

gpu: install  ## what a GPU is for: its tests, speed, every notebook once, the queue for BUDGET=10m
	@$(BIN)/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("no CUDA device here")'
	@$(BIN)/python -m pytest -m gpu
	@$(BIN)/python benchmarks/run.py --device cuda --only steps --models SIREN SPDER FINER
	-@$(BIN)/python -m inrkit run --profile smoke --device cuda --jobs 8 --keep-going
	-@$(BIN)/python -m inrkit run --queue --device cuda --budget $(BUDGET)
	@$(BIN)/python -m inrkit pack --checkpoints results/gpu.tar.xz

clean:  ## remove what was built, and what quick and smoke runs wrote; keeps .venv and paper records
	@rm -rf _build results/quick results/smoke results/interactive .pytest_cache .ruff_cache \
	    .hypothesis inrkit.egg-info build
	@find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	    -print0 | xargs -0 rm -rf
