# `make demo` and `make test` need python3 (3.11 or later); `make test` and `make types` also node and
# npm, `make bench` a C compiler. All else is installed into .venv and tests/js/node_modules.
PYTHON ?= python3
VENV ?= .venv
CC ?= cc
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
# The folder of `examples/` that `make demo` runs.
EXAMPLE ?= quickstart

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NODE_MODULES := tests/js/node_modules/.package-lock.json
# It asks the first python of the path where packages are; --verifytypes takes no option for it.
PYRIGHT := PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=. tests/js/node_modules/.bin/pyright

.PHONY: demo test lint types format docs coverage bench soak clean

demo: $(INSTALLED)
	$(BIN)/python -m examples.$(EXAMPLE)

test: $(INSTALLED) $(NODE_MODULES) lint types
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED) $(NODE_MODULES)
	$(BIN)/mypy
	$(PYRIGHT)
	@found=$$($(PYRIGHT) --verifytypes slipstream_actor --ignoreexternal) || { echo "$$found"; exit 1; }; \
		echo "$$found" | grep "completeness score"

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

coverage: $(INSTALLED) $(NODE_MODULES)
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage report

bench: $(INSTALLED)
	CC="$(CC)" $(BIN)/python -m benchmarks $(BENCH_ARGS)

soak: $(INSTALLED)
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

clean:
	rm -rf .venv build dist site *.egg-info benchmarks/build tests/js/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp, since the interpreter in a venv is as old as the system's.
$(INSTALLED): setup.cfg setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(NODE_MODULES): tests/js/package.json tests/js/package-lock.json
	@command -v npm >/dev/null || { \
		echo "make test needs node (18 or later) and npm: the official Phoenix client talks to the embedded server." >&2; \
		exit 1; }
	npm ci --prefix tests/js --no-audit --no-fund
	@touch $@
