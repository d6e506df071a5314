# All needs python3 (3.11 or later); setup, test, types, coverage and wheel-test also node and npm,
# bench Linux and a C compiler. All else is installed into .venv, tests/js/node_modules and
# benchmarks/build.
# What follows two hashes is what `make help` prints.
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
SMOKE_ARGS ?=
GROWTH_ARGS ?=
MEMORY_ARGS ?=
SOAK_ARGS ?=
WEB_ARGS ?=
RAY_ARGS ?=
# The folder of `examples/` that `make demo` runs.
EXAMPLE ?= quickstart

BIN := $(VENV)/bin
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
# Stamps, since the interpreter in a venv is as old as the system's.
INSTALLED := $(VENV)/.installed
DEMO_INSTALLED := $(VENV)/.demo-installed
EXAMPLES := $(patsubst examples/%/__main__.py,%,$(wildcard examples/*/__main__.py))
# What `make wheel-test` works in, and `make test-oldest`.
WHEEL := build/wheel
OLDEST := build/oldest
NODE_MODULES := tests/js/node_modules/.package-lock.json
# With bytecode, wherever it is off: the tests start some two hundred programs.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
# Not `$(MAKE)` itself in a recipe: `make -n test` would run it all.
TYPES = $(MAKE) --no-print-directory types
# It asks the first python of the path where packages are; --verifytypes takes no option for it.
PYRIGHT := PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=. tests/js/node_modules/.bin/pyright

.PHONY: help known-example demo setup test test-random test-alone test-driving state-machine fault-matrix wheel-test test-oldest lint types format docs pictures coverage bench bench-smoke growth memory soak web-matrix ray-matrix clean

help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# Before anything is installed.
known-example:
	@case " $(EXAMPLES) " in *" $(EXAMPLE) "*) ;; *) \
		echo "There is no example '$(EXAMPLE)'. Those there are:" >&2; \
		awk -F ' *[][|] *' '/^[|] [[]/ { printf "  %-20s %s\n", $$3, $$5 }' examples/README.md >&2; \
		exit 2;; esac

demo: known-example $(DEMO_INSTALLED) ## an example against an embedded server; EXAMPLE=presence runs another one
	@case "$(EXAMPLE)" in \
		*_app) $(BIN)/python $(PIP_INSTALL) --editable '.[testing,$(EXAMPLE:_app=)]';; \
		shared_by_workers) $(BIN)/python $(PIP_INSTALL) --editable '.[testing,ray]' gunicorn;; esac
	$(BIN)/python -m examples.$(EXAMPLE)

setup: $(INSTALLED) $(NODE_MODULES) ## install all that developing needs, into .venv and tests/js/node_modules

# The types are checked beside the tests, which wait a lot.
test: $(INSTALLED) $(NODE_MODULES) lint ## lint, types, all tests, the examples (10 minutes on 2 cores)
	@echo "types, and beside them the tests, in as many processes as there are cores: 10 minutes on 2"
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
	SLIPSTREAM_EXAMPLES=$(CONVERSATIONS) $(BIN)/python -m pytest -o faulthandler_timeout=0 \
		$(PYTEST_ARGS) tests/client/test_state_machine.py

fault-matrix: $(INSTALLED) ## every fault as every command is given, and at every moment (2 minutes)
	SLIPSTREAM_FAULT_MATRIX=whole $(PYTEST) -p tests.integration.cell_table $(PYTEST_ARGS) \
		tests/integration/test_fault_matrix.py tests/integration/test_command_matrix.py

# As if each wait were worth it; but for what says who writes, what counts waits, and what is just
# not too deep for one thread.
test-driving: $(INSTALLED) ## the tests of clients, with whoever waits driving the connection (8 minutes)
	$(PYTEST) -p tests.support.always_driving $(PYTEST_ARGS) \
		--ignore tests/integration/test_writing.py --ignore tests/integration/test_idle.py \
		--deselect tests/integration/test_safe_by_default.py::test_a_client_ends_for_a_reason_that_is_too_deep_to_show \
		tests/integration tests/client tests/socket tests/debug tests/testing

# In a folder without the package, so that what is tested is what the wheel has brought.
wheel-test: $(NODE_MODULES) ## build the wheel, and run the tests against it in an environment of its own
	rm -rf build
	$(PYTHON) -m venv $(WHEEL)/venv
	$(WHEEL)/venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL)/dist .
	$(WHEEL)/venv/bin/python $(PIP_INSTALL) "$$(echo $(WHEEL)/dist/*.whl)[dev]"
	mkdir $(WHEEL)/tree
	tar -c --exclude benchmarks/build tests examples docs benchmarks | tar -x -C $(WHEEL)/tree
	cp *.md Makefile mkdocs.yml pyproject.toml setup.cfg $(WHEEL)/tree
	@echo "comparing what is installed with the sources"
	@site=$$($(WHEEL)/venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") && \
		diff -r -x __pycache__ slipstream_actor "$$site/slipstream_actor" && \
		diff _slipstream_actor_pytest.py "$$site"
	cd $(WHEEL)/tree && PYTHONPATH= ../venv/bin/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

# Starlette's test client of then asks with httpx. Old releases are deprecated by what they stand on,
# and the pages of the documentation take no warning.
test-oldest: $(NODE_MODULES) ## the tests with the oldest releases that setup.cfg admits (10 minutes)
	$(PYTHON) -m venv $(OLDEST)
	sed -n '/^install_requires/,/^docs =/s/^ *\([a-z-]*\)>=\([0-9.]*\).*/\1==\2/p' setup.cfg \
		>$(OLDEST)/constraints.txt
	$(OLDEST)/bin/python $(PIP_INSTALL) -c $(OLDEST)/constraints.txt --editable '.[dev]' httpx
	PATH="$(abspath $(OLDEST)/bin):$$PATH" $(OLDEST)/bin/python -m pytest -n $(WORKERS) \
		--dist worksteal -W ignore::DeprecationWarning --ignore tests/test_docs.py $(PYTEST_ARGS)

lint: $(INSTALLED) ## ruff: mistakes and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED) $(NODE_MODULES) ## mypy over everything, pyright over what users see
	$(BIN)/mypy
	$(PYRIGHT)
	@found=$$($(PYRIGHT) --verifytypes slipstream_actor --ignoreexternal) || { echo "$$found"; exit 1; }; \
		echo "$$found" | grep "completeness score"

format: $(INSTALLED) ## have ruff mend and format what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: $(INSTALLED) ## make the documentation's pictures and recordings anew; needs Chromium and port 4000
	$(BIN)/python -m tests.pictures

coverage: $(INSTALLED) $(NODE_MODULES) ## the tests, and the lines and branches that none of them runs
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage report

bench: $(INSTALLED) ## compare with a bare websocket loop and other clients (20 minutes); BENCH_ARGS=--help
	CC="$(CC)" $(BIN)/python -m benchmarks --whole $(BENCH_ARGS)

bench-smoke: $(INSTALLED) ## the same ratios in a minute, and those of the run before; SMOKE_ARGS=--help
	CC="$(CC)" $(BIN)/python -m benchmarks.smoke $(SMOKE_ARGS)

growth: $(INSTALLED) ## what one event costs among 100, 1,000 and 10,000; GROWTH_ARGS=--help
	$(BIN)/python -m benchmarks.growth $(GROWTH_ARGS)

memory: $(INSTALLED) ## what waits in memory, beside its bytes on the wire; MEMORY_ARGS=--help
	$(BIN)/python -m benchmarks.memory $(MEMORY_ARGS)

soak: $(INSTALLED) ## a long run under faults; SOAK_ARGS=--help
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

web-matrix: $(INSTALLED) ## the example applications behind web servers, Phoenix failing; WEB_ARGS=--help
	$(BIN)/python -m tests.web.matrix $(WEB_ARGS)
	SLIPSTREAM_TASKS=2000 $(BIN)/python -m pytest tests/web/test_celery_worker.py

ray-matrix: $(INSTALLED) ## what shards on Ray do when processes, nodes and the head fail (6 minutes); RAY_ARGS=--help
	$(BIN)/python -m tests.contrib.ray.matrix $(RAY_ARGS)
	$(BIN)/python -m tests.contrib.ray.program a_forked_child_is_told_to_initialise_ray_itself \
	    a_process_that_is_frozen_for_good_is_ended_and_its_topics_joined

clean: ## remove what was built and installed
	rm -rf .venv build dist site *.egg-info benchmarks/build tests/js/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The package itself is the checkout's.
$(DEMO_INSTALLED): setup.cfg setup.py
	@echo "Making a virtual environment in $(VENV), once"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the client (pykka, websocket-client, msgspec) and the embedded server (wsproto)"
	@$(BIN)/python $(PIP_INSTALL) --editable '.[testing]'
	@touch $@

$(INSTALLED): setup.cfg setup.py
	@echo "Making a virtual environment in $(VENV), once"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing all extras, and what tests, lint, types and docs need: a minute or so"
	@$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $(DEMO_INSTALLED) $@

$(NODE_MODULES): tests/js/package.json tests/js/package-lock.json
	@command -v npm >/dev/null || { \
		echo "make test needs node (18 or later) and npm: the official Phoenix client talks to the embedded server." >&2; \
		exit 1; }
	npm ci --prefix tests/js --no-audit --no-fund
	@touch $@
