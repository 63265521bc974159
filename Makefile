# `make demo` and `make test` work on a fresh machine with Python 3.11 to 3.13; PYTHON names another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# TensorFlow imports three times faster from compiled files.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-long torture lint audit bench bench-quality bench-proposals bench-equal-time bench-endurance bench-large bench-plan docs lock clean

demo: $(VENV)/installed
	$(BIN)/hptune search configs/digits.yaml

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

# Tests that take ten seconds or more each: a third of the time of all. CI runs both.
test-long: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m long

# Every case of tests/torture/register.py, also those that take long; about half an hour on two cores. Ends with
# a table: faults tried, results equal, announced trials lost, files damaged outside the run folder. With
# HPTUNE_TORTURE=whole every operation on the disk fails in every way under every strategy, which takes hours.
torture: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/torture tests/test_workers.py tests/test_strategies_killed.py tests/test_short_of_memory.py -m 'torture or not torture' -rs --durations=40

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 0 tests/test_architecture.py

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/against_peers.py
	$(BIN)/python benchmarks/cost.py

# Six public tables that are not part of this project: half a minute to two minutes of search for each of three seeds, or
# twenty splits: one hour.
bench-quality: $(VENV)/installed-dev
	$(BIN)/python benchmarks/quality.py

# Nothing is trained, but KerasTuner takes seconds a proposal: half an hour, which may be broken off and goes on.
bench-proposals: $(VENV)/installed-dev
	$(BIN)/python benchmarks/proposals.py

# What is found in the same 60 and 300 s, five seeds on two tables: less than two hours, which may be broken off and
# goes on.
bench-equal-time: $(VENV)/installed-dev
	$(BIN)/python benchmarks/equal_time.py

# Ten thousand trials in one run: fails where a process grows.
bench-endurance: $(VENV)/installed-dev
	$(BIN)/python benchmarks/endurance.py

# Half a million rows: fails where a worker takes more than 4 GiB.
bench-large: $(VENV)/installed-dev
	$(BIN)/python benchmarks/large_table.py

# `hptune plan` against the searches that it plans, one after another on a machine that does nothing else.
bench-plan: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 0 -s -m torture tests/test_plan.py

# The dependencies: what is locked with which hashes, what is installed under which licence, and which known
# vulnerabilities it has. The last needs the network (pip-audit asks the advisory service of PyPI), and pip-audit itself
# is installed into an environment of its own, because it is no part of hptune. Without network it says so and ends well.
audit: $(VENV)/installed-dev
	$(BIN)/python tests/audit.py

# The site, to open from disk: build/docs/index.html.
docs: $(VENV)/installed-dev
	$(BIN)/mkdocs build --quiet --strict

$(BIN)/python:
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("hptune needs Python 3.11 to 3.13, $(PYTHON) is %d.%d; try make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/installed-dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(VENV)/installed $@

# Needs uv; resolves for every supported Python and platform at once.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements-dev.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
