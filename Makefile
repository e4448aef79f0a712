# `make train` from nothing to a trained, published model; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help train test lint check bench clean

help:
	@echo "make train   install into $(VENV), train and publish a model (ARGS='--epochs 5' adds flags)"
	@echo "make test    install into $(VENV), run the tests"
	@echo "make check   formatting, lint, types, import rules, tests"
	@echo "make bench   speed and skill at full size; takes a while"
	@echo "make clean   remove $(VENV) (the workspace .gnn-trainer stays)"

train: $(BIN)/.installed
	$(BIN)/python flows/train.py $(ARGS)

test: $(BIN)/.installed
	$(BIN)/python -m pytest $(ARGS)

lint: $(BIN)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: $(BIN)/.installed
	$(BIN)/python -m benchmarks.quickstart
	$(BIN)/python -m benchmarks.skill $(ARGS)

clean:
	rm -rf $(VENV)

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
