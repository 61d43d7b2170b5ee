# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo setup test check unit coverage lowest data test-gpu bench bench-scale bench-gpu docs format clean

help:
	@echo "make demo    set up, run the whole job on a synthetic shop log, end with recommendations"
	@echo "make test    set up, run all checks and tests"
	@echo "make coverage  tests, and the lines and branches that they reach: 90 % at least"
	@echo "make lowest  tests with the oldest libraries that are allowed; takes some GB"
	@echo "make data    tests on real data sets (CIGF_DATA or ../shared/data); minutes"
	@echo "make bench   benchmarks on real data; an hour or more"
	@echo "make bench-scale  benchmarks on synthetic logs of up to 100 million pairs (11 GB); long"
	@echo "make test-gpu, make bench-gpu  tests and benchmarks for a CUDA device, where there is one"
	@echo "make docs    build the documentation's site into site/"
	@echo "make format  format the code"

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	  || { echo "cigf needs Python 3.11 to 3.14; name one: make PYTHON=python3.14 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $(STAMP)

demo: setup
	$(BIN)/cigf demo --out demo --force

test: check unit

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs src tests benchmarks experiments
	$(BIN)/mypy
	$(BIN)/lint-imports

# Without a GPU also where there is one: what is compared to the bit was computed on a CPU.
unit lowest: export CUDA_VISIBLE_DEVICES :=
unit lowest: export OMP_NUM_THREADS := 1
PARALLEL := -n 2 --dist loadfile

# Traced where COVERAGE=1: on Python 3.11 tests then take three quarters more time.
TRACED := $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=90)

unit: setup
	$(BIN)/python -m pytest $(PARALLEL) $(TRACED)

coverage:
	$(MAKE) unit COVERAGE=1

# With the oldest versions that pyproject.toml allows; pip cannot choose them, so uv does.
lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --quiet --resolution lowest-direct -e ".[dev]"
	$(LOWEST)/bin/python -m pytest $(PARALLEL)

data: setup
	$(BIN)/python -m pytest -m data

bench: setup
	$(BIN)/python -m benchmarks

bench-scale: setup
	$(BIN)/python -m benchmarks scale

test-gpu: setup
	$(BIN)/python -m pytest -m gpu -rs

bench-gpu: setup
	$(BIN)/python -m benchmarks gpu

docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(LOWEST) demo runs site .coverage .mypy_cache .pytest_cache .ruff_cache
