# Every target works on a fresh clone: what it needs is set up first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
IMAGE ?=
SIZE ?= 4096

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format types layers check bench clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## create .venv with rsseg and the tools of development, all versions pinned

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt hatchling editables
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps axe-playwright-python
	touch $@

demo: setup ## segment a synthetic orthophoto (or IMAGE=path) with the bundled weights; leaves demo/
	BIN=$(BIN) SIZE=$(SIZE) sh docs/demo.sh "$(IMAGE)"

test: setup ## run all tests, one process to a core
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 --cov --cov-report=term:skip-covered

lint: setup ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: setup ## bring the code into the common format
	$(BIN)/ruff check --fix --select I
	$(BIN)/ruff format

types: setup ## check types
	$(BIN)/mypy

layers: setup ## check that imports only go downwards
	$(BIN)/lint-imports

check: lint types layers test ## all checks, as CI runs them

bench: setup ## measure speed and memory (minutes)
	for script in bench/bench_*.py; do $(BIN)/python $$script || exit; done

clean: ## remove everything that make made
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .import_linter_cache
