# What a person calls. ARGS are handed on: make test ARGS="tests/unit -x"
PYTHON ?= python3
ARGS =

.PHONY: help bootstrap demo up down test bench lint

help:
	@echo "make demo    everything from nothing: starts a stack of its own, plays the story, stops"
	@echo "make up      starts the stack and leaves it running    make down    stops it"
	@echo "make test    all tests    make bench    the benchmark    make lint    style, types, layers"

# Nothing to do, and no network needed, when .venv and Kafka's jars are there and up to date.
bootstrap:
	@PYTHON="$(PYTHON)" sh deploy/local/bootstrap.sh

demo: bootstrap
	@.venv/bin/certlane demo $(ARGS)

up: bootstrap
	@.venv/bin/certlane up $(ARGS)

down: # does not install anything: without .venv nothing can run
	@if [ -x .venv/bin/certlane ]; then .venv/bin/certlane down $(ARGS); fi

test: bootstrap
	@.venv/bin/python -m pytest $(ARGS)

bench: bootstrap
	@.venv/bin/certlane bench $(ARGS)

lint: bootstrap
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
