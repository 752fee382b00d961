# Every command of the project. Python >= 3.11 and make are all that a fresh machine needs.
#
#   make demo SIZE=tiny|small|medium      make bench ONLY=books      make test JOBS=4
#   PYTHON=python3.12 make setup          choose the interpreter
#   GRADLEDGER_TORCH='torch==2.12.1'      choose the torch release (see scripts/setup_env.py)
#   make test PY=env/bin/python           use an environment that exists already; nothing is set up

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

VENV := .venv
PYTHON ?= $(firstword $(foreach name,python3 python,$(if $(shell command -v $(name) 2>/dev/null),$(name))) python3)
ifeq ($(origin PY),undefined)
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
CORPUS := $(VENV)/.corpus
endif

SIZE ?= small
ONLY ?=
JOBS ?= auto
ARGS ?=
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile
# Test workers take one thread each: more only fight over the cores.
export OMP_NUM_THREADS ?= 2

.PHONY: help setup demo test test-fast check lint types arch spell fmt bench soak docs clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; \
	  do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## create the environment in .venv (done by every other target when needed)

$(VENV)/.ready: pyproject.toml scripts/setup_env.py
	@$(PYTHON) scripts/setup_env.py $(VENV)

# The demonstration's data: wheels of real Python packages, fetched once.
$(VENV)/.corpus: $(VENV)/.ready $(wildcard src/gradledger/demo/fetch.py)
	@if [ -f src/gradledger/demo/fetch.py ]; then $(PY) -m gradledger.demo.fetch; \
	  else echo 'setup: no demonstration corpus to fetch'; fi
	@touch $@

demo: $(READY) $(CORPUS)  ## train a small code model with every step booked, then question it (SIZE=small)
	@$(PY) -m gradledger.cli.main demo --size $(SIZE) $(ARGS)

test: $(READY) $(CORPUS)  ## run all tests but the soak
	@$(PYTEST) -m 'not soak' $(ARGS)

test-fast: $(READY)  ## run the tests that take under two minutes together
	@$(PYTEST) -m 'not (soak or slow or e2e)' $(ARGS)

check: lint types arch spell test docs  ## everything that a change must pass

lint: $(READY)  ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(READY)  ## mypy --strict
	@$(PY) -m mypy

arch: $(READY)  ## import contracts between the rooms; sizes and surface
	@$(dir $(PY))lint-imports
	@$(PY) -m pytest -q tests/architecture

spell: $(READY)  ## codespell over code and text
	@$(PY) -m codespell_lib

fmt: $(READY)  ## format, and mend what ruff can mend
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(READY) $(CORPUS)  ## measure every figure (ONLY=books for one group)
	@$(PY) benchmarks/run.py $(if $(ONLY),--only $(ONLY)) $(ARGS)

# About three hours on two cores. GRADLEDGER_SOAK=0.01 runs one hundredth of every part.
soak: $(READY) $(CORPUS)  ## long: fuzzing, kills, injected faults (GRADLEDGER_SOAK=0.01 for a hundredth)
	@$(PYTEST) --dist load -m soak $(ARGS)

docs: $(READY)  ## run every block of the documents; check links, codes and names
	@$(PY) -m pytest -q tests/docs $(ARGS)

clean:  ## remove caches and build products (not .venv, not runs)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
