.DEFAULT_GOAL := help
.PHONY: help setup demo check test e2e chaos test-containers bench up down
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FOR    ?=
UV     := $(shell command -v uv 2>/dev/null || echo $(CURDIR)/.uv/bin/uv)

help:  ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v $(UV) >/dev/null || { $(PYTHON) -m venv .uv && .uv/bin/pip install -q uv; }
	$(UV) venv -q --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync -q --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	$(UV) pip install -q --no-deps --python $(BIN)/python -e .
	@touch $@

setup: $(VENV)/.ready  ## make .venv with everything that is pinned in requirements.lock
demo: setup  ## the whole pipeline on this machine, with a kill and a proof (FOR=30: unattended)
	$(BIN)/tailrace demo $(if $(FOR),--for $(FOR))
check: setup  ## format, lint, types, import rules
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports && $(BIN)/mypy
test: setup  ## every test but the long chaos run and those that need Docker
	$(BIN)/pytest --ignore tests/containers -n 2 --dist loadfile --no-loadscope-reorder
e2e: setup  ## only the tests that run the whole chain
	$(BIN)/pytest tests/e2e
chaos: setup  ## the long chaos run: at least 200 kills
	TAILRACE_CHAOS=long $(BIN)/pytest tests/chaos
test-containers: setup  ## compose, image and a stack of containers; needs a Docker engine
	bash .ci/containers
bench: setup  ## throughput, latency and memory beside the peers
	$(BIN)/python -m bench
up: setup  ## start the embedded stack
	$(BIN)/tailrace stack up
down: setup  ## stop the embedded stack
	$(BIN)/tailrace stack down
