# make demo    from a fresh clone: sets everything up, then runs the whole way on a phantom
# make test    sets everything up, then ruff, mypy and the tests
# make train-demo    trains both stages on phantoms and measures them (some minutes)
#
# PYTHON=python3.12             another Python (3.10 to 3.13)
# TORCH_INDEX=URL               where pip looks for torch first, for example a CPU build (small, no CUDA):
#                               make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
SHELL := /bin/bash

.PHONY: demo train-demo test lint unit alone benchmark models constraints clean help
help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.engine
	$(BIN)/python -m BATNetLib demo --out batnet-demo

# From an empty folder: a cohort of phantoms, both stages trained, measured on phantoms never seen.
train-demo: $(VENV)/.train
	$(BIN)/python -m BATNetLib demo --train --out batnet-demo-train

test: lint unit alone

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One thread a process: two processes share two cores, and more threads only fight over them.
unit: $(VENV)/.test
	OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations=15 -m "not alone"

# What is measured by the clock, with nothing else running.
alone: $(VENV)/.test
	ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 $(BIN)/python -m pytest -m alone -s -q

# Trains the demonstration models again (about half an hour on 2 cores) and measures them.
models: $(VENV)/.engine
	$(BIN)/python -m BATNetLib.models.demonstration --out Resources/models

# Whole-process time and peak memory of the runs named in README.md.
benchmark: $(VENV)/.test
	$(BIN)/python -m pytest Testing/benchmark -s -q

# Resolve the pinned versions again for all Pythons.
constraints:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	{ head -n 1 constraints.txt; echo 'torch==2.13.0' | $(BIN)/uv pip compile --quiet --universal --python-version 3.10 \
	  --all-extras --no-annotate --no-header --constraint - pyproject.toml; } > constraints.new
	mv constraints.new constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.10 to 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "No virtual environment could be made. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/.engine: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (once; torch is the large part) ..."
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX) --extra-index-url https://pypi.org/simple) 'torch==2.13.0'
	$(PIP) -e '.[torch,report,dicom,fetch,progress]'
	@touch $@

$(VENV)/.train: $(VENV)/.engine
	$(PIP) -e '.[torch,report,dicom,fetch,progress,evaluate,train]'
	@touch $@

$(VENV)/.test: $(VENV)/.engine
	$(PIP) -e '.[torch,report,dicom,fetch,progress,cluster,evaluate,train,test]'
	@touch $@

clean:
	rm -rf $(VENV) batnet-demo batnet-demo-train build *.egg-info .mypy_cache .ruff_cache .pytest_cache
