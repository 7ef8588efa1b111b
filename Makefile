# Everything here works in a fresh clone with Python 3.11 or newer and make; the first target run makes .venv.

# The first Python that is new enough, python3 before all others.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs gallery bench samples clean

help:
	@echo "make demo    filter the sample sound, table and picture into demo_output/"
	@echo "make test    run the tests"
	@echo "make lint    ruff and mypy"
	@echo "make docs    run the commands in the docs again and write what they print"
	@echo "make gallery make the pictures of docs/gallery.md again"
	@echo "make bench   measure the speed"
	@echo "make clean   remove everything that was made"

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or newer; try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m compileall -q convcli
	@touch $@

demo: $(INSTALLED)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh sample_data/demo.sh demo_output

test: $(INSTALLED)
	@$(BIN)/python -m pytest -q -n auto --dist worksteal

lint: $(INSTALLED)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary

docs: $(INSTALLED)
	@$(BIN)/python docs/refresh.py

gallery: $(INSTALLED)
	@$(BIN)/python docs/gallery.py

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/run.py

samples: $(INSTALLED)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[samples]'
	@$(BIN)/python sample_data/make.py

clean:
	@rm -rf $(VENV) demo_output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
