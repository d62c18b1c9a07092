# make book   the book in _build/html          make test    the tests but the slow ones; make test-all    every test
# Both make the virtual environment first and install from requirements.lock; nothing else is asked of you.
# make book PROFILE=conus ARGS="-p seed=1"     another profile; parameters are refused by name if no page declares them
# make evaluate                                the full-size runs behind results/ (hours on 2 cores, resumable)

SHELL    := /bin/sh
PYTHON   ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3 python,$(if $(shell command -v $(p)),$(p))))
VENV     ?= .venv
BIN      := $(VENV)/bin
PROFILE  ?= twin
ARGS     ?=
ifneq ($(MAKECMDGOALS),clean)
ifeq ($(strip $(PYTHON)),)
$(error No Python was found: install Python 3.11 or later, or name one: make PYTHON=/path/to/python3)
endif
ifeq ($(shell command -v "$(PYTHON)"),)
$(error There is no program $(PYTHON): name a Python of 3.11 or later: make PYTHON=/path/to/python3)
endif
endif
LOCK_SUM := $(shell "$(PYTHON)" -c "import hashlib; print(hashlib.sha256(open('requirements.lock','rb').read()).hexdigest()[:16])")
STAMP    := $(VENV)/.installed-$(LOCK_SUM)

.PHONY: book test test-all env lock check-pages evaluate lint clean
.DEFAULT_GOAL := book

book: $(STAMP)
	$(BIN)/python -m workflow.build --profile $(PROFILE) $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

env: $(STAMP)

# The environment is stamped with the lock it was installed from: the same lock again installs nothing.
$(STAMP):
	@"$(PYTHON)" -c "import sys; v = sys.version_info; sys.exit(v < (3, 11) and 'Python 3.11 or later is needed, this is %d.%d; name one: make PYTHON=python3.11' % v[:2])"
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

lock: $(STAMP)
	$(BIN)/python -m workflow.lock $(ARGS)

# Opens every built page in headless Chromium with the network off: errors, failed requests, screenshots.
check-pages: $(STAMP)
	$(BIN)/python -m workflow.check_pages $(ARGS)

evaluate: $(STAMP)
	$(BIN)/tssmnet evaluate $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src workflow tests
	$(BIN)/mypy

clean:
	rm -rf _build .snakemake
