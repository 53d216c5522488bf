# `make demo` and `make test` work on a fresh machine: both set up .venv and the weights first. A second set-up costs seconds.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-all browser lint clean

setup: $(VENV)/.installed $(VENV)/.weights

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("faceanon needs Python 3.11 or newer: got %d.%d (make PYTHON=python3.11)" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.weights: $(VENV)/.installed faceanon/models/registry.py
	$(BIN)/faceanon models fetch
	touch $@

demo: setup
	$(BIN)/faceanon demo --output demo

test: setup lint browser
	$(BIN)/python -m pytest -m 'not long'

test-all: setup lint browser
	$(BIN)/python -m pytest

browser:
	@test -x /usr/bin/chromium || { test "$$(id -u)" = 0 && apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends chromium >/dev/null; } \
		|| { echo 'the tests of pages need a browser: sudo apt-get install --no-install-recommends chromium'; exit 1; }

lint: setup
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) demo build *.egg-info
