# Two commands matter: `make run` (the main study) and `make test` (what CI runs). Both work from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: run test test-slow isolation check bench mutate lock clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[models,trl,eval,research,dev]'
	touch $@

# What code that nobody trusts runs in (`run research`, `vault serve`): bubblewrap, and three users of the system that cannot
# read one another. Needs root, and a package manager of Debian where bubblewrap is missing.
isolation: $(VENV)/installed
	command -v bwrap > /dev/null || { apt-get update -qq && apt-get install --yes -qq bubblewrap; }
	$(BIN)/superalign vault setup

run: $(VENV)/installed
	$(BIN)/superalign run $(ARGS)

test: $(VENV)/installed check
	# A file a worker: what its tests share (a trained model, a whole run) is made once.
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# What takes more than ten seconds a test: the larger ground truth, and commands on a real model.
test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --slow -m slow $(ARGS)

check: $(VENV)/installed
	$(BIN)/ruff check src tests benchmarks tools examples
	$(BIN)/ruff format --check src tests benchmarks tools examples
	$(BIN)/mypy

# One change at a time in the files that every number rests on: what the tests catch, and what they do not (docs/mutation.md).
mutate: $(VENV)/installed
	$(BIN)/python tools/mutate.py $(ARGS)

# The peers that the benchmarks compare with live in an environment of their own.
$(VENV)-bench/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-bench/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[models,trl,cluster,bench]'
	touch $@

bench: $(VENV)-bench/installed
	$(VENV)-bench/bin/python -m benchmarks $(ARGS)

lock:
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url --no-emit-find-links --no-header --upgrade-package torch==2.13.0 pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-bench runs
