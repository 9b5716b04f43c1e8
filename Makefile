# `make` alone lists the verbs. Each sets up what it needs; Python >= 3.11, git and make are enough.

PYTHON ?= python3
RUN := .venv/bin/python
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test soak lint bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## .venv from requirements.lock; instant when nothing changed
	@$(PYTHON) -m penstock.bootstrap

demo: setup ## a commit becomes a running application, step by step; KEEP=1 leaves it running
	@$(RUN) -m penstock demo $(if $(KEEP),--keep)

up: setup ## start the local environment and leave it running
	@$(RUN) -m penstock up --detach

down: setup ## stop it
	@$(RUN) -m penstock down

test: setup ## all tests but the long ones, the fast ones first; WORKERS=1 one after the other
	@$(RUN) -m penstock.toolchain >/dev/null
	@$(RUN) -m pytest -p tests.support.fast_first -p tests.support.side_by_side -n $(WORKERS) -m "not soak"

soak: setup ## the long tests
	@$(RUN) -m penstock.toolchain >/dev/null
	@$(RUN) -m pytest -m soak

lint: setup ## style, types, import contracts, Go
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@.venv/bin/lint-imports
	@$(RUN) -m penstock.golint

bench: setup ## measure against the bars
	@$(RUN) -m penstock.toolchain >/dev/null
	@$(RUN) -m tests.bench
