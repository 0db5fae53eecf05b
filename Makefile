# Two commands on a fresh machine (Python >= 3.11; no C compiler needed):
#   make demo   lean runtime with its viewer (no torch, no onnx), then `humanrt demo`
#   make test   everything CI needs, then lint, types and tests. With TensorRT for RTX (228 MB), which builds plans
#               without a GPU: the suite builds those of the shipped bundles and of a small Multi-HMR
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; exit; fi; done)
VENV := .venv
# Pinned before the extras are resolved: an open range makes pip fetch the newest build with gigabytes of CUDA.
TORCH := 2.13.0
# What an installation is made of: the compiled library is made anew when its sources change.
BUILD := pyproject.toml hatch_build.py $(wildcard runtime/humanrt/_native/*.[ch])
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint types pytest slow wheel-check bench clean

demo: $(VENV)/lean.stamp
	$(BIN)/humanrt demo $(DEMO)

test: lint types pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

pytest: $(VENV)/test.stamp
	$(BIN)/python -m pytest

slow: $(VENV)/test.stamp
	$(BIN)/python -m pytest -m slow

# The wheel, installed away from the checkout, must run the demo on its own.
wheel-check: $(VENV)/test.stamp
	$(BIN)/python tests/wheel_check.py

bench: $(VENV)/lean.stamp
	$(BIN)/humanrt bench hands
	$(BIN)/humanrt bench retarget

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "humanrt needs Python 3.11 or newer on the PATH (or: make PYTHON=/path/to/python3)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/lean.stamp: $(BIN)/python $(BUILD)
	$(BIN)/python -m pip install -q -e '.[view]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python $(BUILD)
	$(BIN)/python -m pip install -q torch==$(TORCH)
	$(BIN)/python -m pip install -q -e '.[view,export,engine,test]'
	touch $@ $(VENV)/lean.stamp

clean:
	rm -rf $(VENV) build dist
