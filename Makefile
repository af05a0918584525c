# The tasks of kundig; `make demo` and `make test` do all the set-up on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ISSUE ?= house

.PHONY: demo test verify bench docs lint install clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(STAMP)

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/kundig demo demo

test: $(STAMP)
	$(BIN)/python -m tests.run

verify: $(STAMP)
	$(BIN)/python -m tests.verify $(ISSUE)

bench: $(STAMP)
	$(BIN)/python -m bench.all

docs: $(STAMP)
	$(BIN)/python -m tests.docs.generate
	$(BIN)/python -m pytest tests/docs

lint: $(STAMP)
	$(BIN)/ruff check src tests bench
	$(BIN)/lint-imports
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo
