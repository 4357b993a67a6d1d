# `make help` lists the targets. Every target is a line or two that also works without make.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help demo test test-long unit check format system openapi bundle bench deploy-local lock clean

help:  ## what can be made
	@grep -E '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv: .venv/.ready
.venv/.ready: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "weighbridge needs Python 3.11 or later on PATH"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

.venv-ministack: .venv-ministack/.ready
.venv-ministack/.ready: requirements-ministack.lock
	test -x .venv-ministack/bin/python || $(PYTHON) -m venv .venv-ministack
	.venv-ministack/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	touch $@

system:  ## the Debian packages that the tests need
	@bash infra/system.sh

demo: .venv  ## train, push, index and show sample models (ONCE=1: check and end)
	$(BIN)/python -m infra.demo $(if $(ONCE),--once,)

test: .venv .venv-ministack system  ## every test, browser and real servers included
	$(PYTEST) -m "not long" --no-skips $(ARGS)

test-long: .venv .venv-ministack system  ## the long forms
	$(PYTEST) -m long --no-skips $(ARGS)

unit: .venv  ## the fast tests: no server, no browser
	$(PYTEST) -m "not long and not real and not browser" $(ARGS)

check: .venv  ## format, lint, types, layers
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(PYTEST) -q tests/unit/test_layers.py

format: .venv  ## write the format
	$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format .

openapi: .venv  ## docs/openapi.json and the table of docs/http-api.md
	$(BIN)/python -m infra.api_reference

bundle: .venv  ## vendor/ for the Lambda zip
	$(BIN)/python -m infra.bundle

bench: .venv  ## the benchmarks
	$(BIN)/python -m benchmarks.cold_start

deploy-local: .venv .venv-ministack  ## package, and deploy to the emulator's CloudFormation
	$(BIN)/python -m infra.deploy --local

lock: .venv  ## write the lock files anew
	$(BIN)/uv pip compile pyproject.toml --group dev --extra server --extra local --no-emit-index-url \
		--generate-hashes --no-header -q -o requirements-dev.lock

clean:  ## remove what was made
	rm -rf .venv .venv-ministack .local vendor build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
