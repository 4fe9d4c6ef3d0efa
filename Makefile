# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
WORKERS ?= 2
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=120
QUICK := not slow and not kernel and not browser and not notebook and not benchmark
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo lab test test-quick gates bench browser clean
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.for-lab ## run the first notebook headless, kill its kernel half-way, watch it recover
	@$(PY) -m aionlab.cli demo --folder build/demo

lab: $(VENV)/.for-lab ## open JupyterLab on notebooks/
	@$(PY) -m aionlab.cli lab

test: $(VENV)/.for-test browser gates ## everything: gates, tests with coverage, notebooks, the browser
	@mkdir -p build/coverage && rm -f build/coverage/data*
	@status=0; $(PY) -m coverage run -m pytest -n $(WORKERS) --dist loadfile -m "not benchmark" $(NBVAL) tests $(NOTEBOOKS) \
		2>&1 | tee build/pytest.log || status=$$?; \
	$(PY) -m coverage combine --quiet || true; \
	echo; echo "Coverage of the pure layers:"; \
	$(PY) -m coverage report --include='aionlab/core/*,aionlab/authoring/*,aionlab/replay/*' || true; \
	echo; tail -n 1 build/pytest.log; exit $$status

test-quick: $(VENV)/.for-test gates ## gates and the tests that need neither kernel nor browser, in under 90 seconds
	@$(PYTEST) -m "$(QUICK)" tests

gates: $(VENV)/.for-test ## ruff, mypy --strict, the import contracts
	@$(PY) tests/gates/run.py

bench: $(VENV)/.for-test ## the benchmarks: one table, and build/bench.json (BENCH="--rounds 5 --only replay" to choose)
	@$(PY) -m tests.benchmarks $(BENCH)

clean: ## remove what the commands made, except the virtual environment
	@rm -rf build dist .artifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	@find aionlab tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment: made once, by whichever Python >= 3.11 is found, or by hand before; filled again when pyproject.toml changes.
$(PY):
	@python=; for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "aionlab needs Python 3.11 or newer with its venv module, and none is on the PATH." >&2; \
		echo "Install one (Debian and Ubuntu: apt-get install python3 python3-venv) or make $(VENV) by hand, then run make again." >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$($$python --version)"; $$python -m venv $(VENV)

$(VENV)/.for-lab: pyproject.toml | $(PY)
	@$(call install,lab$(,)fast)

$(VENV)/.for-test: pyproject.toml | $(PY)
	@$(call install,lab$(,)fast$(,)test$(,)dev)
	@touch $(VENV)/.for-lab

, := ,
define install
$(PY) -c 'import sys; sys.exit("$(VENV) holds Python " + sys.version.split()[0] + ", and aionlab needs 3.11 or newer: remove it and run make again" if sys.version_info < (3, 11) else 0)'; \
$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade >/dev/null; \
echo "installing aionlab[$(1)] into $(VENV)"; $(PY) -m pip install --quiet -e ".[$(1)]"; touch $@
endef

browser:
	@if [ -x /usr/bin/chromium ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The browser tests need Debian's Chromium at /usr/bin/chromium, and it can't be installed from here (not root, or no apt-get): they will be skipped."; \
	elif ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }; then \
		echo "apt-get could not install chromium: the browser tests will be skipped."; \
	fi
