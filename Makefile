# `make train` from nothing to a trained, published model; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
DOCKER ?= docker
VERSION = $(shell sed -n 's/__version__ = "\(.*\)"/\1/p' gnn_trainer/__init__.py)
export PLATFORM_PASSWORD ?= only-on-this-machine

.PHONY: help train test test-parts test-flows test-deploy lint licences check bench image test-services clean

help:
	@echo "make train   install into $(VENV), train and publish a model (ARGS='--epochs 5' adds flags)"
	@echo "make test    install into $(VENV), run the tests"
	@echo "make check   formatting, lint, types, import rules, licences, tests"
	@echo "make licences   the licence of every dependency; fails on one that is not allowed"
	@echo "make bench   speed of every part at small size, in one table; a quarter of an hour"
	@echo "make image   build the container image gnn-trainer:$(VERSION) (ARGS='--build-arg ...')"
	@echo "make test-services   start the services of compose.yaml, test against them"
	@echo "make clean   remove $(VENV) (the workspace .gnn-trainer stays)"

train: $(BIN)/.installed
	$(BIN)/python flows/train.py $(ARGS)

# Tests of whole runs wait for processes most of the time, so two of the three parts run side by
# side, the longest first.
test: $(BIN)/.installed
	$(MAKE) --jobs=2 --output-sync=target test-flows test-parts test-deploy

test-parts: $(BIN)/.installed
	$(BIN)/python -m pytest --ignore=tests/flows --ignore=tests/deploy $(ARGS)

test-flows: $(BIN)/.installed
	$(BIN)/python -m pytest tests/flows $(ARGS)

test-deploy: $(BIN)/.installed
	$(BIN)/python -m pytest tests/deploy $(ARGS)

lint: $(BIN)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

licences: $(BIN)/.installed
	$(BIN)/pip-licenses

check: lint licences test

bench: $(BIN)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	# what it asks for and the benchmark does not need has no wheels, or is older than Prefect's
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps torch-geometric-temporal
	$(BIN)/python -m benchmarks

image:
	$(DOCKER) build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(shell git rev-parse HEAD) \
		$(ARGS) --tag gnn-trainer:$(VERSION) .

test-services: $(BIN)/.installed
	$(DOCKER) compose up --detach --wait kafka minio arangodb exchange
	GNN_TRAINER_TEST_KAFKA=127.0.0.1:9092 \
	GNN_TRAINER_TEST_MINIO_URL=http://127.0.0.1:9000 \
	GNN_TRAINER_TEST_MINIO_ACCESS_KEY=platform \
	GNN_TRAINER_TEST_MINIO_SECRET_KEY="$$PLATFORM_PASSWORD" \
	GNN_TRAINER_TEST_ARANGO_URL=http://127.0.0.1:8529 \
	GNN_TRAINER_TEST_ARANGO_PASSWORD="$$PLATFORM_PASSWORD" \
	GNN_TRAINER_TEST_BINANCE_USDM_URL=http://127.0.0.1:8080 \
	GNN_TRAINER_TEST_BINANCE_SPOT_URL=http://127.0.0.1:8080 \
	$(BIN)/python -m pytest $(ARGS) tests/contracts tests/adapters/test_arango.py

clean:
	rm -rf $(VENV)

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
