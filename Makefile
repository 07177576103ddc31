# Every target sets up what it needs: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Those of the extra `lake` that are not for development as well.
LAKE_PACKAGES = $(shell sed -n '/^lake = \[/,/^\]/p' pyproject.toml | grep -oE '"(duckdb|pytz)[^"]*"')

# What is compiled is kept: else every process that a test starts compiles the product anew, a sixth of its start.
unexport PYTHONDONTWRITEBYTECODE

# One more than there are cores, up to five: tests that wait for a server leave theirs to others.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)')

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-oldest lint format docs screenshots bench samples clean

help: ## Show what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "spanverdict needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.samples: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[samples]'
	@touch $@

demo: $(VENV)/.run ## Collector, sample traces, promotion and report, end to end
	$(BIN)/spanverdict demo

# DuckDB's extensions for a shared store are made for one version of it: an environment of its own over the other one.
.venv-lake/.lake: pyproject.toml | $(VENV)/.dev
	$(BIN)/python -m venv .venv-lake
	site=$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])'); \
	echo "import site; site.addsitedir('$$site')" > "$$(.venv-lake/bin/python -c 'import site; print(site.getsitepackages()[0])')/base.pth"
	.venv-lake/bin/python -m pip --disable-pip-version-check --quiet install --no-deps $(LAKE_PACKAGES)
	@touch $@

test: lint .venv-lake/.lake ## Lint, types, import boundaries, then the test suite, on files and on lakes
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
	.venv-lake/bin/python -m pytest --lake --numprocesses $(WORKERS) --dist worksteal

test-slow: $(VENV)/.dev ## Long simulations and soak runs
	$(BIN)/python -m pytest -m slow

test-oldest: ## Store and collector on the oldest supported DuckDB, in an environment of its own
	$(MAKE) VENV=.venv-oldest .venv-oldest/.dev
	.venv-oldest/bin/python -m pip --quiet install 'duckdb==1.5.5'
	.venv-oldest/bin/python -m pytest tests/sql tests/collector tests/spanverdict/test_serve.py

lint: $(VENV)/.dev ## ruff, sqruff, mypy --strict and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqruff lint sql
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code, SQL too
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqruff fix sql

docs: $(VENV)/.dev ## Write the canonical columns into docs/data-model.md from the data
	$(BIN)/python -m collector.conventions.document

screenshots: $(VENV)/.dev ## Take the README's picture of the demo's report, with Chromium
	$(BIN)/spanverdict demo --no-browser
	$(BIN)/python -m docs.screenshots spanverdict-demo/report.html

bench: $(VENV)/.dev ## Benchmarks, into the tables of docs/performance.md; one alone: BENCH=ingest
	$(BIN)/python benchmarks/run.py $(BENCH)

samples: $(VENV)/.samples ## Write sample_traces/ anew from its seed
	$(BIN)/python -m sample_traces.generate

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .venv-lake .venv-oldest .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
