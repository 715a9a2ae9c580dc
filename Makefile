# polyvae: everything a person or a machine does with a checkout. Needs make and Python >= 3.11; `make` alone lists it.

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
OVERWRITE ?=

BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# The names hold the version: another PYTHON makes the environment anew.
CREATED := $(VENV)/.created-$(VERSION)
INSTALLED := $(VENV)/.installed-$(VERSION)
DEVELOPER := $(VENV)/.installed-dev-$(VERSION)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint types imports wheel docs unit test-science bench format picture gallery clean

help:
	@echo 'make demo          train on the bundled polymer and write every result to $(OUT)/'
	@echo 'make test          style, types, import directions, wheel, documentation, tests'
	@echo 'make test-science  the slow scientific checks'
	@echo 'make docs          documentation in docs/_build/html/index.html'
	@echo 'make bench         benchmarks, some hours; installs the libraries compared with'
	@echo 'make format        put the code in order with ruff'
	@echo 'make picture       draw docs/_static/rooms.svg from the import contract'
	@echo 'make gallery       run the examples and make the pictures of docs/gallery.md again, some ten minutes'
	@echo 'make clean         remove what make has built, the environment $(VENV) too; results stay'
	@echo
	@echo 'PYTHON=python3.13 chooses the interpreter, VENV=folder the environment, OUT=folder the run folder.'

$(CREATED):
	@[ -n '$(VERSION)' ] || { \
	  echo "'$(PYTHON)' is not here or does not run. Install Python 3.11 or newer, or name one: make PYTHON=python3.13"; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "polyvae needs Python 3.11 or newer; '$(PYTHON)' is $(VERSION). Name another: make PYTHON=python3.13"; exit 1; }
	@if [ -e '$(VENV)' ] && ! ls '$(VENV)'/.created-* >/dev/null 2>&1; then \
	  echo '$(VENV)/ is there already and was not made by this Makefile, so it is left alone.'; \
	  echo 'Take another folder: make VENV=.venv-make    Or remove it: rm -r $(VENV)'; exit 1; fi
	@echo '== environment: $(VENV), Python $(VERSION)'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(INSTALLED): pyproject.toml | $(CREATED)
	@echo '== install: polyvae and what it needs (some minutes the first time)'
	$(INSTALL) --editable .
	@touch $@

$(DEVELOPER): pyproject.toml | $(CREATED)
	@echo '== install: polyvae, optional formats, OpenMM, tools for tests and documentation (some minutes the first time)'
	$(INSTALL) --editable '.[dev]'
	@touch $(INSTALLED) $@

demo: $(INSTALLED)
	@if [ -e '$(OUT)' ] && [ -z '$(OVERWRITE)' ]; then \
	  echo '$(OUT)/ is there already, and no run is written over without being asked to.'; \
	  echo 'Another folder: make demo OUT=demo-2    The same folder, replaced: make demo OVERWRITE=1'; exit 1; fi
	@echo '== demo: train on the bundled polymer, write every result to $(OUT)/'
	$(BIN)/polyvae demo -o '$(OUT)' $(if $(OVERWRITE),--overwrite)

# The tests come last, so that their summary is the last line.
test: lint types imports wheel docs unit

lint: $(DEVELOPER)
	@echo '== style'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPER)
	@echo '== types'
	$(BIN)/basedpyright --pythonpath $(BIN)/python

imports: $(DEVELOPER)
	@echo '== import directions'
	$(BIN)/lint-imports

wheel: $(DEVELOPER)
	@echo '== wheel'
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	$(BIN)/python -m zipfile --list build/wheel/polyvae-*.whl | grep 'polyvae/data/.*\.\(npz\|xtc\|pdb\|md\)'

docs: $(DEVELOPER)
	@echo '== documentation'
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo 'docs/_build/html/index.html'

unit: $(DEVELOPER)
	@echo '== tests'
	$(BIN)/python -m pytest -n 2 -m 'not science'

test-science: $(DEVELOPER)
	@echo '== scientific checks'
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(BIN)/python -m pytest -m science

bench: $(DEVELOPER)
	@echo '== install: the libraries that polyvae is compared with'
	$(INSTALL) --editable '.[bench]'
	@set -e; for script in $$(grep -l '__main__' benchmarks/*.py); do \
	  echo "== benchmark: $$script"; $(BIN)/python "$$script"; done

format: $(DEVELOPER)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

picture: $(DEVELOPER)
	$(BIN)/python docs/draw_rooms.py

gallery: $(DEVELOPER)
	$(BIN)/python docs/make_gallery.py

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find polyvae tests benchmarks examples docs data -name __pycache__ -type d -prune -exec rm -rf {} +
