# Set-up and the daily commands. Everything lives in $(VENV); nothing outside the folder is touched,
# but for Debian packages where `make` runs as root and one is missing.
#
#   make frontier   the main job on the embedded toy task, no network
#   make test       every test
#   make test-cluster   brings up a cluster on this machine and pulls plugs (root, Linux)
#   make check      format, lint, types and the fast tests
#
# PYTHON    another interpreter, at least 3.11
# VENV      another folder for the virtual environment
# PIP_ARGS  more arguments for pip install, as for an index with torch's CPU build
# ARGS      more arguments for `raysearch frontier`
# TESTS     other arguments for pytest
# WORKERS   processes that share the tests; one of them runs all that start Ray
# PLAN      of `make test-cluster`: lost, idle, scaling, spot or done (tests/cluster/rehearse.py)

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
ARGS ?=
TESTS ?= tests raysearch
WORKERS ?= 2
PLAN ?= lost

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS)
FAST := not slow and not ray and not browser and not real

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help frontier test test-cluster check format venv dev system clean

help:
	@sed -n '4,7s/^#   //p' Makefile

frontier: venv
	HF_HUB_OFFLINE=1 $(BIN)/raysearch frontier --task toy --study quick --trials 24 --yes $(ARGS)

test: dev system
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

test-cluster: dev
	@$(MAKE) --no-print-directory system PACKAGES='ip:iproute2 sshd:openssh-server rsync'
	$(BIN)/python -m tests.cluster.rehearse --plan $(PLAN)

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	FAST_TESTS=1 HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "$(FAST)" $(TESTS)

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

venv: $(VENV)/.installed

dev: $(VENV)/.installed-dev

# pip first: the one that comes with Python 3.11 tries out versions for minutes.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'raysearch needs Python 3.11 or newer; name one: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory \
	  system PACKAGES="python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
	@echo 'installing into $(VENV): torch, ray and what goes with them, a few minutes'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

# Debian packages, where one is missing: the browser that the tests of the pages drive. A package
# whose command has another name is written command:package.
PACKAGES ?= chromium
system:
	@for p in $(PACKAGES); do \
	  command -v $${p%%:*} >/dev/null 2>&1 && continue; \
	  p=$${p##*:}; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing $$p"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -qq -y --no-install-recommends $$p; } >/dev/null \
	      || echo "could not be installed: $$p"; \
	  else echo "not here and not installed: $$p (as root: apt-get install $$p)"; fi; \
	done

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
