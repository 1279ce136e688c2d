# Maillon: `make demo` shows the whole path, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo run test check fuzz bench lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: setup
	$(BIN)/maillon demo

run: setup
	$(BIN)/maillon demo --keep-running

test: setup
	$(BIN)/python -m pytest --cov=consent --cov-branch

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.document --check
	$(BIN)/python -m connectors.kit.lineage --check

# Minutes for each reader.
MINUTES ?= 10

fuzz: setup
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz --each-reader --minutes $(MINUTES)

bench: setup
	$(BIN)/python -m bench

LOCKED := --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  $(LOCKED) -o requirements.lock
	uv pip compile --group fuzz --universal --python-version 3.11 $(LOCKED) -o requirements-fuzz.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
