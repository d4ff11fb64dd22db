# Two commands do everything on a bare machine with Python 3.11+ and make: `make demo` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Bytecode too: where Python may not write it (PYTHONDONTWRITEBYTECODE), every command would compile for seconds.
COMPILE := echo "compiling kernels, once; a minute or two ..."; $(BIN)/python -m compileall -q src; \
  $(BIN)/python -m hosu.cli.kernels
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.PHONY: help demo mlflow test test-slow setup check bench soak crash nulls fuzz format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.base ## the whole way at once: simulator, collector, lake, SQL, features, a model and its gate; no key, no cloud, no Java
	@$(BIN)/hosu demo $(ARGS)

test: $(VENV)/.dev ## the tests, but for the slow ones: a few minutes (ARGS="-k name" picks some)
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

# Three at a time on two cores: they wait for processes more than they compute.
test-slow: $(VENV)/.dev ## the slow ones: the whole program killed, cut off and crashed, days played, docs run
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m slow $(ARGS)

mlflow: $(VENV)-mlflow/.done ## an MLflow server of its own in .venv-mlflow, for the tests of the mirror

setup: $(VENV)/.dev ## install everything for running, testing and checking into .venv

check: $(VENV)/.dev ## format, lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev ## measure, and print our figures beside their peers' (ARGS="decode lake" picks some)
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.dev ## the real simulator and collector for an hour, watched from outside (ARGS="--minutes 10")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

crash: $(VENV)/.dev ## kill the real program 300 times and crash a simulated disk 100,000 times; goes on where it was stopped
	@$(BIN)/python -m tests.crash --processes 300 --simulated 100000 --seed 1 --report benchmarks/CRASH.md $(ARGS)

nulls: $(VENV)/.dev ## train on 200 worlds of your daily bars in which nothing can be predicted (ARGS="--lake LAKE"); goes on where it was stopped
	@$(BIN)/python -m benchmarks.nulls --worlds 200 --report benchmarks/NULLS.md $(ARGS)

fuzz: $(VENV)/.dev ## fifty times as many hostile inputs as in the tests, new ones each time
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest tests/fuzz -q $(ARGS)

format: $(VENV)/.dev ## format the code and apply safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/.uv ## lock the dependencies again, with hashes
	@echo uv | $(LOCK) --no-annotate -o requirements/bootstrap.txt -
	@$(LOCK) pyproject.toml --group build -o requirements/base.txt
	@$(LOCK) pyproject.toml --extra models --group build -o requirements/models.txt
	@$(LOCK) pyproject.toml --extra mlflow --group build -o requirements/mlflow.txt
	@$(LOCK) pyproject.toml --extra models --extra mlflow --group dev -o requirements/dev.txt
	@$(LOCK) --group mlflow-server -o requirements/mlflow-server.txt
	@$(LOCK) --no-deps --group pykis -o requirements/pykis.txt

clean: ## remove .venv and every cache
	rm -rf $(VENV) $(VENV)-mlflow .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -exec rm -rf {} +

$(VENV)/.uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hosu needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up .venv (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

# The development install holds the base one, so whoever has it needs no second set-up.
$(VENV)/.base: requirements/models.txt pyproject.toml | $(VENV)/.uv
	@if [ -f $(VENV)/.dev ]; then $(MAKE) --no-print-directory $(VENV)/.dev; else \
	  $(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/models.txt && \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . && \
	  $(COMPILE) ; fi
	@touch $@

# pykis and python-kis are both the package `pykis`: side by side, the one installed last would overwrite the other.
$(VENV)/.dev: requirements/dev.txt requirements/pykis.txt pyproject.toml | $(VENV)/.uv
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --target $(VENV)/clients/pykis requirements/pykis.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

# The server has a set-up of its own: it pins what hosu uses too, and nobody who runs hosu needs it.
$(VENV)-mlflow/.done: requirements/mlflow-server.txt | $(VENV)/.uv
	@echo "setting up .venv-mlflow (once) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-mlflow
	@$(BIN)/uv pip sync --quiet --python $(VENV)-mlflow/bin/python --require-hashes requirements/mlflow-server.txt
	@touch $@
