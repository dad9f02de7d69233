# One command to set up and see the main job (`make demo`), one to set up and test (`make test`).
# Needs Python 3.11 or later and make. Everything is installed into .venv and nothing outside it.
#
# PYTHON  the interpreter that makes .venv (default: the first of those below that is >= 3.11)
# TORCH   what `pip install` is told about torch; constraints.txt holds its version. Plain pip
#         on Linux downloads the CUDA wheels (several GB), which is what the owner of a GPU wants.
#         Without a GPU the CPU build does: make test TORCH='torch --index-url URL' with
#         URL = https://download.pytorch.org/whl/cpu

VENV := .venv
TORCH ?= torch
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.14 python,\
	$(shell $(name) -c 'import sys, ensurepip; sys.version_info >= (3, 11) and print("$(name)")' \
		2>/dev/null)))

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXAMPLE := examples/01-conv2d-stride4
DEMO := build/demo
OTHER_TRITON = $(CURDIR)/build/triton-$(VERSION)

# Where it is set, each of the tests' processes would compile the same files again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-triton test-tritons lint format examples clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP)  ## make .venv and install into it

# The stamp is written last: an installation that was cut off is done again, a finished one is not.
# Triton is named for itself, since torch's CPU build brings none; only Linux has wheels of it.
# pip compiles what it copies, which an editable installation is not: without byte code each
# command, and each test that starts one, would compile 200 files where Python may write none.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 with venv found (Debian: apt install \
	python3-venv); name one with PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt 'triton; sys_platform == "linux"'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m compileall -q src/warpwright
	@touch $@

demo: $(STAMP)  ## answer example 01 (no GPU needed)
	$(BIN)/warpwright answer $(EXAMPLE)/request.txt --problem $(EXAMPLE)/problem.py --out $(DEMO)/answer.py
	@echo "program:     $(DEMO)/answer.py"
	@echo "explanation: $(DEMO)/answer.explanation.md"
	@echo "record:      $(DEMO)/answer.record.json"

test: $(STAMP)  ## run the tests that need no GPU, each kind of thing once
	$(BIN)/python -m pytest -m "not gpu and not slow" -n auto --dist worksteal

test-all: $(STAMP)  ## run the slow ones too, and properties on more examples
	WARPWRIGHT_THOROUGH=1 $(BIN)/python -m pytest -m "not gpu" -n auto --dist worksteal

triton-%: $(STAMP)
	@test -e build/$@/.installed || { rm -rf build/$@ && $(BIN)/python -m pip install \
		--quiet --no-deps --only-binary :all: --target build/$@ 'triton==$*.*' \
		--disable-pip-version-check --retries 1 --timeout 30 \
		&& touch build/$@/.installed; }

# Triton of another version lies in front of the one in .venv, for these tests alone.
test-triton: $(STAMP)  ## run what depends on Triton's version: make test-triton VERSION=3.6
	@test -n "$(VERSION)" || { echo "make: name a version: make test-triton VERSION=3.6" >&2; exit 2; }
	@$(MAKE) --no-print-directory triton-$(VERSION)
	WARPWRIGHT_TRITON=$(VERSION) PYTHONPATH=$(OTHER_TRITON) $(BIN)/python -m pytest \
		-m "versions and not gpu and not slow" -n auto --dist worksteal

# A wheel that cannot be had (no network, none for this Python) is no failure of the tests, so it
# is told and passed over; an installed one is kept in build/.
test-tritons: $(STAMP)  ## the same with the oldest and the newest supported, where their wheels can be had
	@failed=0; \
	for version in $$($(BIN)/python -c 'from warpwright.sandbox.toolchain import SUPPORTED_TRITON as s; \
		print(*("%d.%d" % version for version in s))'); do \
		if $(MAKE) --no-print-directory triton-$$version; \
		then $(MAKE) --no-print-directory test-triton VERSION=$$version || failed=1; \
		else echo "make: not run with Triton $$version: it cannot be installed here" >&2; fi; \
	done; exit $$failed

lint: $(STAMP)  ## ruff and mypy, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff format the code
	$(BIN)/ruff format .

examples: $(STAMP)  ## write the examples' answers, records and explanations anew
	for folder in examples/*/; do \
		$(BIN)/warpwright answer $${folder}request.txt --problem $${folder}problem.py \
			--out $${folder}answer.py --no-cache || exit; \
	done

clean:  ## remove .venv and everything else that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
