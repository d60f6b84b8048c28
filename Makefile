# The only needs are make and a Python of 3.10 or newer; all else goes into .venv.
#   make suite   run the experiments in suites/ against the stored baselines, write the report
#   make test    the same, then this project's own tests
#   make docs    the site of docs/, in build/site; it needs no torch, and has an environment of its own
# PYTHON=… chooses the interpreter, WORKERS=… the number of processes, ARGS=… goes to pytest.

SHELL := /bin/sh
VENV ?= .venv
DOCS_VENV ?= .venv-docs
# The extra [docs] of pyproject.toml, without the package and its torch.
DOCS_NEEDS := 'mkdocs>=1.6,<2' 'mkdocs-material>=9.5' 'mkdocstrings[python]>=0.26' 'ruff>=0.6'
REPORT ?= initcheck-report/index.html
ARGS ?=
WORKERS ?= 2

RIGHT := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	if $$p -c '$(RIGHT)' >/dev/null 2>&1; then command -v $$p; break; fi; done)

PY := $(VENV)/bin/python
# A copy of the pyproject.toml that was installed: a checkout that only touches the file must not
# ask a package index again.
STAMP := $(VENV)/installed.toml
PYTEST := $(PY) -m pytest
# Stealing: no worker is left with the longest tests while the other has none.
STEALING := --dist worksteal
# Tensors here are small, so that two threads of one process are slower than two processes.
export OMP_NUM_THREADS ?= 1
# The tests start many processes, each of which would compile the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: suite test docs clean
.DEFAULT_GOAL := suite

suite: $(STAMP)
	@$(run_suite); $(finish)

test: $(STAMP)
	@$(run_suite); \
	$(PYTEST) tests -n $(WORKERS) $(STEALING) $(ARGS) || status=$$?; \
	$(finish)

# By its tools alone: the reference is read from the code, not imported.
docs: $(DOCS_VENV)/installed.toml
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict --quiet; \
	echo "$(abspath build/site/index.html)"

$(DOCS_VENV)/installed.toml: pyproject.toml
	@set -e; $(PYTHON) -m venv $(DOCS_VENV); \
	$(DOCS_VENV)/bin/python -m pip install -qq --disable-pip-version-check $(DOCS_NEEDS); \
	cp pyproject.toml $@

define run_suite
rm -f $(REPORT); status=0; \
	$(PYTEST) suites -n $(WORKERS) --dist loadfile --initcheck-report=$(REPORT) $(ARGS) || status=$$?
endef

# The path comes last, also after a failure, so that it is where the eye is.
define finish
if [ -f $(REPORT) ]; then echo "The report, for your browser:"; echo "$(abspath $(REPORT))"; \
	else echo "no report was written"; fi; exit $$status
endef

$(STAMP): pyproject.toml
	@if cmp -s pyproject.toml $@ && $(PY) -c 'import pytest_initcheck'; then touch $@; exit 0; fi; \
	set -e; \
	if [ -z "$(PYTHON)" ]; then \
		echo "no Python of 3.10 or newer with venv was found: pass PYTHON=/path/to/python3" >&2; exit 1; fi; \
	echo "installing into $(VENV) with $(PYTHON); torch is large, this takes minutes once"; \
	$(PYTHON) -m venv $(VENV); \
	quiet=; [ -t 1 ] || quiet=-qq; \
	$(PY) -m pip install $$quiet --disable-pip-version-check --editable '.[dev]'; \
	cp pyproject.toml $@

clean:
	rm -rf $(VENV) $(DOCS_VENV) initcheck-report dist build
