# make run     install what is missing, start everything, print one address
# make test    the suite, the browser journey included
# make check   style, types, contracts, migrations, deploy settings
# make long    kill matrix, load, big data, long journeys
# make hosts   several hosts on this computer, each killed in turn (KEEP=1: only start them)
# make gpu     on a CUDA card: speed and memory of training, vLLM (MODELS="folder ...")
PYTHON ?= python3
VENV ?= .venv
export VENV
IN = $(VENV)/bin/

.PHONY: run test test-services check long hosts gpu install dev clean

run:
	@$(PYTHON) bootstrap.py run

install:
	@$(PYTHON) bootstrap.py install

dev:
	@$(PYTHON) bootstrap.py install dev

test: dev
	@$(IN)python -m tests.run

test-services: dev
	@$(IN)python -m tests.run services

long: dev
	@$(IN)python -m tests.run long

hosts: dev
	@$(IN)python -m tests.starter || true
	@$(IN)python -m $(if $(KEEP),tests.rack,pytest -q -s -m long tests/rack)

gpu: dev
	@$(IN)python -m tests.starter || true
	@$(IN)python -m benchmarks.gpu $(MODELS)

check: dev
	$(IN)ruff check .
	$(IN)ruff format --check .
	$(IN)mypy
	$(IN)lint-imports
	$(IN)djlint templates --lint --quiet
	$(IN)djangofmt --check --line-length 120 templates
	DATA_DIR=$$(mktemp -d) $(IN)python manage.py makemigrations --check --dry-run
	DATA_DIR=$$(mktemp -d) PUBLIC_URL=https://finetune.example HOST=127.0.0.1 $(IN)python manage.py check --deploy --fail-level WARNING

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
