# The README's two commands are `make demo` and `make test`; each first makes .venv.
# The recipes are one line a target; what they do stands in scripts/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# lint and test-long together with test are what .ci/run calls
.PHONY: help demo test test-long test-all lint format doctor setup sctk clean distclean

# Relative, because make splits an absolute path at a space.
PYTHON_HERE := PATH="$$PWD/.venv/bin:$$PATH" .venv/bin/python
export PYTHONUTF8 := 1

# A file's tests stay together, since they share what it makes, and in the order that
# tests/conftest.py wants. TEST_JOBS=0: one by one.
TEST_JOBS ?= 2
PYTEST := $(PYTHON_HERE) -m pytest -n $(TEST_JOBS) --dist loadfile \
	--no-loadscope-reorder

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[a-z ]* ## /  make \1\t/p' Makefile | expand -t 20

demo:  ## data, training, decoding, scoring and report (DEMO_ARGS="run.sh options")
	@scripts/demo.sh $(DEMO_ARGS)

test:  ## the unit tests (TEST_ARGS="pytest options")
	@scripts/bootstrap.sh test
	@$(PYTEST) -m "not slow and not e2e" $(TEST_ARGS)

test-long:  ## the slow tests and the whole pipeline
	@scripts/bootstrap.sh test
	@$(PYTEST) -m "slow or e2e" $(TEST_ARGS)

test-all:  ## every test, with the slow ones and the whole pipeline
	@scripts/bootstrap.sh test
	@$(PYTEST) $(TEST_ARGS)

lint:  ## black, isort, flake8, shellcheck and the house rules
	@scripts/bootstrap.sh test
	@$(PYTHON_HERE) -m pytest tests/test_style.py

format:  ## rewrite the Python files as black and isort want them
	@scripts/bootstrap.sh test
	@$(PYTHON_HERE) -m isort espnet_ext tests benchmarks setup.py
	@$(PYTHON_HERE) -m black espnet_ext tests benchmarks setup.py

doctor:  ## check this installation and say what works
	@scripts/bootstrap.sh
	@$(PYTHON_HERE) -m espnet_ext doctor

setup:  ## only make .venv (PYTHON=/path/to/python3.12 names the interpreter)
	@scripts/bootstrap.sh

sctk:  ## fetch NIST's scoring tools into .venv
	@scripts/install_sctk.sh

clean:  ## remove caches and build outputs; keeps .venv, corpora and experiments
	@rm -rf build dist *.egg-info .pytest_cache .hypothesis
	@find espnet_ext tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## also remove .venv; keeps corpora and experiments
	@rm -rf .venv
