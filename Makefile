# Everything runs in .venv, which the first target sets up. Only make and Python 3.11 or newer are needed.

# Of these, the first that is Python 3.11 or newer; `make PYTHON=/path/to/python` takes another.
CANDIDATES = python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(shell for name in $(CANDIDATES); do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

BIN = .venv/bin
STAMP = .venv/.set-up
DRIVER ?= memory
WORKERS ?= 2
MINUTES ?= 2
ARGS ?=

.DEFAULT_GOAL = help
.PHONY: help setup demo test chaos lint types check bench clean

help:   ## show this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP)  ## make .venv and install everything into it

demo: $(STAMP)  ## index the Python standard library as jobs (DRIVER=redis: with a server and two workers)
	$(BIN)/python -m examples.stdlib_index --driver $(DRIVER)

# in the order of the folders: the last one's files are quick, so that all processes end at about the same time
test: $(STAMP)  ## run all tests (ARGS="-k lease" picks some; SVCJOBS_TEST_SERVER picks the server)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: $(STAMP)  ## strike real workers and their server for MINUTES=2, and judge (ARGS="--seed 7" replays)
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(ARGS)

lint: $(STAMP)  ## check style, formatting and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## check types
	$(BIN)/mypy

check: lint types test  ## lint, types and test

bench: $(STAMP)  ## measure svcjobs, then every Python queue beside it (ARGS="--short"; "contest --only RQ"; "--gate")
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove .venv and all caches
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or: make PYTHON=/path/to/python"; exit 1; }
	@$(BIN)/python -c "import pip" 2>/dev/null || { \
		"$(PYTHON)" -c "import ensurepip, venv" 2>/dev/null || { \
			echo "$(PYTHON) can't make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; \
			echo "Without root: make PYTHON=/path/to/another/python"; exit 1; }; \
		echo "Making .venv with $(PYTHON)"; "$(PYTHON)" -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@echo "Redis server for tests: $$($(BIN)/python -m tests.server_program fetch)"
	@touch $@
