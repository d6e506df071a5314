# `make demo` and `make test` need python3 (3.11 or later); `make test` and `make types` also node and
# npm, `make bench` a C compiler. All else is installed into .venv and tests/js/node_modules.
PYTHON ?= python3
VENV ?= .venv
CC ?= cc
PYTEST_ARGS ?=
# How many processes run the tests; `PYTEST_ARGS="-n 0"` runs them in pytest's own.
WORKERS ?= auto
# The seed of the order of `make test-random`.
SEED ?= 1
# How many conversations `make state-machine` tries out.
CONVERSATIONS ?= 40000
BENCH_ARGS ?=
SOAK_ARGS ?=
# The folder of `examples/` that `make demo` runs.
EXAMPLE ?= quickstart

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NODE_MODULES := tests/js/node_modules/.package-lock.json
# With bytecode, wherever it is off: the tests start some two hundred programs.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
# Not `$(MAKE)` itself in a recipe: `make -n test` would run it all.
TYPES = $(MAKE) --no-print-directory types
# It asks the first python of the path where packages are; --verifytypes takes no option for it.
PYRIGHT := PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=. tests/js/node_modules/.bin/pyright

.PHONY: demo test test-random test-alone state-machine lint types format docs coverage bench soak clean

demo: $(INSTALLED)
	$(BIN)/python -m examples.$(EXAMPLE)

# The types are checked beside the tests, which wait a lot.
test: $(INSTALLED) $(NODE_MODULES) lint ## lint, types, all tests, the examples (3 minutes on 2 cores)
	@echo "types, and beside them the tests, in as many processes as there are cores: 3 minutes on 2"
	@types=$$(mktemp) && trap 'rm -f "$$types"' EXIT; \
		$(TYPES) >"$$types" 2>&1 & checked=$$!; \
		$(PYTEST) $(PYTEST_ARGS); tested=$$?; \
		wait $$checked; checked=$$?; cat "$$types"; \
		exit $$((tested ? tested : checked))

test-random: $(INSTALLED) $(NODE_MODULES) ## the tests in another order; SEED=7 chooses which
	TEST_ORDER=$(SEED) $(PYTEST) $(PYTEST_ARGS)

# Each file in a process of its own.
test-alone: $(INSTALLED) $(NODE_MODULES) ## the tests, file by file (7 minutes)
	@for file in $$(find tests examples -name 'test_*.py' | sort); do \
		echo "$$file"; $(BIN)/python -m pytest --quiet --no-header $(PYTEST_ARGS) "$$file" || exit 1; \
	done

# Like the soak, for before an issue is closed.
state-machine: $(INSTALLED) ## 40,000 conversations of a client in a world of faults (20 minutes)
	SLIPSTREAM_EXAMPLES=$(CONVERSATIONS) $(BIN)/python -m pytest $(PYTEST_ARGS) \
		tests/client/test_state_machine.py

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

soak: $(INSTALLED) ## a long run under faults; SOAK_ARGS=--help
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
