# `make train` from nothing to a trained, published model; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help train test check bench clean

help:
	@echo "make train   install into $(VENV), train and publish a model (ARGS='--epochs 5' adds flags)"
	@echo "make test    install into $(VENV), run the tests"
	@echo "make check   formatting, lint, types, import rules, tests"
	@echo "make bench   speed and skill, printed and compared with benchmarks/RESULTS.md"
	@echo "make clean   remove $(VENV) (the workspace .gnn-trainer stays)"

train: $(BIN)/.installed
	$(BIN)/python flows/train.py $(ARGS)

test: $(BIN)/.installed
	$(BIN)/python -m pytest $(ARGS)

check: $(BIN)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: $(BIN)/.installed
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV)

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
