# Every target sets up what it needs: a fresh clone wants only make and Python 3.11 or later with venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv check lint format types imports test fault fault-long coverage fuzz bench bench-peers demo live proto client-ts client-wire dashboard images build clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Create .venv and install the package, editable, with its tools

# Written last, so an install that fails half-way is tried again.
$(STAMP): pyproject.toml hatch_build.py src/audit/proof/_native.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: lint types imports test client-ts ## What CI runs: lint, types, imports, tests, the clients

lint: $(STAMP) ## Check style and formatting (ruff)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(STAMP) ## Fix what can be fixed, and format (ruff)
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

types: $(STAMP) ## Check types (mypy, strict)
	$(BIN)/mypy

imports: $(STAMP) ## Check that imports follow the layers (import-linter)
	$(BIN)/lint-imports --no-logo

# Processes to run tests in. Many tests start servers and wait for them: more than one a core helps little.
TEST_JOBS ?= 2

test: $(STAMP) ## Run the tests, benchmarks left out, on TEST_JOBS processes
	$(BIN)/pytest -q --numprocesses $(TEST_JOBS) --dist worksteal tests --ignore=tests/bench

# Rows of all tests of faults: what docs/design/reliability.md is made of.
FAULT_REPORT := .fault-report.jsonl
FAULT_SCALE ?= 30
FAULTS := tests/fault tests/integration/test_backup.py tests/integration/test_ids.py

fault: $(STAMP) ## Inject faults (minutes), and print what was tried and lost
	rm -f $(FAULT_REPORT)
	AUDIT_FAULT_REPORT=$(CURDIR)/$(FAULT_REPORT) $(BIN)/pytest -q -rs $(FAULTS)
	$(BIN)/python tests/fault/table.py $(FAULT_REPORT)

fault-long: $(STAMP) ## The same with FAULT_SCALE times the counts (hours), from another seed each time
	rm -f $(FAULT_REPORT).long
	export AUDIT_FAULT_SEED=$${AUDIT_FAULT_SEED:-$$(date +%s)}; echo "AUDIT_FAULT_SEED=$$AUDIT_FAULT_SEED"; \
	AUDIT_FAULT_SCALE=$(FAULT_SCALE) AUDIT_FAULT_REPORT=$(CURDIR)/$(FAULT_REPORT).long \
		$(BIN)/pytest -q -rs -o timeout=0 $(FAULTS)
	$(BIN)/python tests/fault/table.py $(FAULT_REPORT).long

coverage: $(STAMP) ## Run the tests and report the lines and branches they miss
	$(BIN)/pytest -q tests --ignore=tests/bench --cov --cov-report=term-missing

FUZZ_S ?= 60
# Not among the development tools: it is built for few platforms, and nothing else wants it.
fuzz: $(STAMP) ## Fuzz the decoders with atheris, for FUZZ_S seconds
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3'
	PYTHONPATH="$(CURDIR)" $(BIN)/python tests/fuzz/fuzz.py -max_total_time=$(FUZZ_S)

bench: $(STAMP) ## Run the benchmarks
	$(BIN)/python tests/bench/run.py

bench-peers: $(STAMP) ## Run the same work through other stores and ours (ARGS="--quick")
	sh tests/bench/peers/install.sh $(BIN)/python
	$(BIN)/python -m tests.bench.peers.run $(ARGS)

demo: $(STAMP) dashboard ## Walk through the command line on a store of its own
	PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

live: $(STAMP) dashboard ## Serve a log with something to see, and life in it, until Ctrl-C
	PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/live.sh

proto: $(STAMP) ## Write what is made of the wire's messages anew: schemas, AsyncAPI document, TypeScript types
	$(BIN)/python proto/generate.py
	$(MAKE) --no-print-directory client-wire

# What is written in TypeScript. A machine without Node checks the rest: CI has one.
CLIENTS := clients/node_modules/.installed

$(CLIENTS): clients/package-lock.json clients/package.json $(wildcard clients/*/package.json)
	# Not `npm ci`: it wants packages for every other platform in the lockfile, and no registry has to have those.
	cd clients && npm install --no-save --loglevel=error
	@touch $@

ifeq ($(shell command -v npm),)
client-ts client-wire dashboard images:
	@echo '$@: there is no Node here (npm): left out'
else
client-ts: $(STAMP) $(CLIENTS) ## Check the TypeScript client and the dashboard: lint, types, tests in Node and Chromium
	cd clients && npm run --silent check

client-wire: $(CLIENTS) ## Write the client's types of the messages anew, from proto/schemas
	cd clients && npm run --silent wire --workspace typescript

dashboard: $(CLIENTS) ## Build the pages that a server shows at /, into src/audit/server/pages
	cd clients && npm run --silent build --workspace dashboard

images: $(STAMP) dashboard ## Take the images of docs/dashboard.md anew, in Chromium (two minutes)
	cd clients && npm run --silent images --workspace dashboard
endif

build: $(STAMP) dashboard ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean: ## Remove caches and build output (to start over: rm -rf .venv)
	rm -rf clients/*/dist clients/*/shots src/audit/server/pages
	rm -rf dist build htmlcov $(FAULT_REPORT)* .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests docs -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
