# `make help` lists the targets. Every target is a line or two that also works without make.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
# Bytecode is written when a module is first imported: of most of what is installed, never.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile
# Test modules and rewritten plugins are compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
STAGE ?= dev
# The CPU build where pip knows one (find-links, an extra index), else what the index has.
TORCH ?= 2.13.0

.PHONY: help demo test test-long unit check format system openapi bundle screenshots bench deploy destroy deploy-local lock clean

help:  ## what can be made
	@grep -E '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv: .venv/.ready
.venv/.ready: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "weighbridge needs Python 3.11 or later on PATH"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || bash infra/system.sh "$(PYTHON)"
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	$(PIP) --no-deps -e .
	touch $@

.venv-ministack: .venv-ministack/.ready
.venv-ministack/.ready: requirements-ministack.lock
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || bash infra/system.sh "$(PYTHON)"
	test -x .venv-ministack/bin/pip || $(PYTHON) -m venv .venv-ministack
	$(subst $(BIN),.venv-ministack/bin,$(PIP)) --require-hashes -r $<
	touch $@

.venv-bench: .venv-bench/.ready
.venv-bench/.ready: requirements-bench.lock
	test -x .venv-bench/bin/pip || $(PYTHON) -m venv .venv-bench
	$(subst $(BIN),.venv-bench/bin,$(PIP)) --require-hashes -r $<
	touch $@

.venv-training: .venv-training/.ready
.venv-training/.ready: requirements-training.lock
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || bash infra/system.sh "$(PYTHON)"
	test -x .venv-training/bin/pip || $(PYTHON) -m venv .venv-training
	$(subst $(BIN),.venv-training/bin,$(PIP)) --no-deps --require-hashes -r $<
	$(subst $(BIN),.venv-training/bin,$(PIP)) torch==$(TORCH)
	touch $@

# The real clients of the doors, each in an environment of its own.
CLIENTS := .venv-flow1 .venv-flow2 .venv-forml .venv-kubeflow .venv-geti
$(CLIENTS): .venv-%: .venv-%/.ready ;
$(CLIENTS:%=%/.ready): .venv-%/.ready: requirements-%.lock
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || bash infra/system.sh "$(PYTHON)"
	test -x .venv-$*/bin/pip || $(PYTHON) -m venv .venv-$*
	$(subst $(BIN),.venv-$*/bin,$(PIP)) --no-deps --require-hashes -r $<
	touch $@

system:  ## the Debian packages that the tests need
	@bash infra/system.sh

demo: .venv  ## train, push, index and show sample models (ONCE=1: check and end)
	$(BIN)/python -m infra.demo $(if $(ONCE),--once,)

ENVIRONMENTS := .venv .venv-ministack .venv-training $(CLIENTS)

test: $(ENVIRONMENTS) system  ## every test, browser and real servers included
	$(PYTEST) -m "not long" --no-skips -n $(WORKERS) --dist loadfile \
		--no-loadscope-reorder $(ARGS)

test-long: $(ENVIRONMENTS) system  ## the long forms (GROUP=transfer RESUME=1)
	$(BIN)/python -m tests.long.run $(if $(GROUP),--group $(GROUP)) $(if $(RESUME),--resume) \
		--workers $(WORKERS) $(ARGS)

unit: .venv  ## the fast tests: no server, no browser
	$(PYTEST) -m "not long and not real and not browser" $(ARGS)

check: .venv  ## format, lint, types, layers
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(PYTEST) -q tests/unit/test_layers.py

format: .venv  ## write the format
	$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format .

openapi: .venv  ## docs/openapi.json and the table of docs/http-api.md
	$(BIN)/python -m infra.api_reference

bundle: .venv  ## build/project: what the Lambda zip is made of
	$(BIN)/python -m infra.bundle

screenshots: .venv  ## the pictures of docs/catalogue.md
	$(BIN)/python -m infra.screenshots

bench: .venv .venv-bench .venv-training  ## the benchmarks: cold start, transfer beside its rivals, training, pages
	$(BIN)/python -m benchmarks.cold_start
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.transfer $(ARGS)

deploy: .venv  ## package, and deploy to AWS with the credentials of this shell (STAGE=dev)
	$(BIN)/python -m infra.deploy --stage $(STAGE) $(ARGS)

destroy: .venv  ## delete a stack that holds nothing (STAGE=dev ARGS=--with-data: and what it holds)
	$(BIN)/python -m infra.destroy --stage $(STAGE) $(ARGS)

deploy-local: .venv .venv-ministack  ## the same to emulated AWS, served until Ctrl-C
	$(BIN)/python -m tests.e2e.aws_stack

lock: .venv  ## write the lock files anew
	$(BIN)/uv pip compile pyproject.toml --group dev --extra server --extra local --no-emit-index-url \
		--generate-hashes --no-header -q -o requirements-dev.lock
	$(BIN)/uv pip compile benchmarks/rivals.in --no-emit-index-url --generate-hashes --no-header \
		-q -o requirements-bench.lock
	$(BIN)/uv pip compile tests/training/frameworks.in --overrides <(echo "torch; python_version < '3'") \
		--python-version 3.11 --no-emit-index-url --generate-hashes --no-header -q \
		-o requirements-training.lock
	$(BIN)/uv pip compile tests/fate/flow1.in --no-deps --python-version 3.11 --no-emit-index-url \
		--generate-hashes --no-header -q -o requirements-flow1.lock
	$(BIN)/uv pip compile tests/fate/flow2.in --no-deps --python-version 3.11 --no-emit-index-url \
		--generate-hashes --no-header -q -o requirements-flow2.lock
	$(BIN)/uv pip compile tests/forml/forml.in --python-version 3.11 --no-emit-index-url \
		--generate-hashes --no-header -q -o requirements-forml.lock
	$(BIN)/uv pip compile tests/kubeflow/client.in --python-version 3.11 --no-emit-index-url \
		--generate-hashes --no-header -q -o requirements-kubeflow.lock
	$(BIN)/uv pip compile tests/geti/sdk.in --no-config --overrides tests/geti/left_out.in \
		--python-version 3.11 --no-emit-index-url --generate-hashes --no-header -q \
		-o requirements-geti.lock

clean:  ## remove what was made
	rm -rf $(ENVIRONMENTS) .venv-bench .local vendor build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
