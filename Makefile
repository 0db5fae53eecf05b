# Two commands on a fresh machine (Python >= 3.11; no C compiler needed):
#   make demo   lean runtime with its viewer (no torch, no onnx), then `humanrt demo`
#   make test   everything CI needs, then lint, types and tests. With TensorRT for RTX (228 MB), which builds plans
#               without a GPU: the suite builds those of the shipped bundles and of a small Multi-HMR
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; exit; fi; done)
VENV := .venv
# torch without CUDA, installed before the extras that ask for torch are resolved. Its builds for the CPU (2.13.0+cpu)
# are on PyTorch's own index; PyPI's 2.13.0 brings gigabytes of CUDA on Linux. Beside PyPI, pip takes the `+cpu` one of
# the same version, as it counts as newer. Where only PyPI or a mirror can be reached, the index is left out: pip would
# ask it for minutes, and the mirror's own build is taken. TORCH_INDEX= (empty) does so too.
TORCH := 2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
REACHED = $(BIN)/python -c "import urllib.request as u; u.urlopen('$(TORCH_INDEX)/torch/', timeout=10)" 2>/dev/null
# What an installation is made of: the compiled library is made anew when its sources change.
BUILD := pyproject.toml hatch_build.py $(wildcard runtime/humanrt/_native/*.[ch])
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint types pytest slow wheel-check wheels bench docs clean

demo: $(VENV)/lean.stamp
	@echo "make: humanrt demo ..."
	$(BIN)/humanrt demo $(DEMO)

test: lint types pytest

lint: $(VENV)/test.stamp
	@echo "make: lint (ruff) ..."
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	@echo "make: types (mypy; about a minute the first time) ..."
	$(BIN)/mypy

pytest: $(VENV)/test.stamp
	@echo "make: tests (pytest in two processes; about 8 minutes on 2 cores) ..."
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations 30 --durations-min 4

slow: $(VENV)/test.stamp
	@echo "make: slow tests (pytest -m slow; half an hour and more) ..."
	$(BIN)/python -m pytest -m slow

# The wheel, installed away from the checkout, must run the demo on its own.
wheel-check: $(VENV)/test.stamp
	@echo "make: building the wheel and running the demo from it in a fresh environment (2 minutes) ..."
	$(BIN)/python tests/wheel_check.py

# Wheels of all platforms in dist/, cross-compiled and checked: Linux, macOS and Windows, x86-64 and Arm.
wheels: $(BIN)/python
	@echo "make: installing hatchling and Zig (about 100 MB), building six wheels (60 MB each) ..."
	$(BIN)/python -m pip install -q hatchling ziglang
	$(BIN)/python tests/wheels.py --out dist

bench: $(VENV)/lean.stamp
	$(BIN)/humanrt bench hands
	$(BIN)/humanrt bench retarget

# The documentation as a site, with the API reference: build/site/index.html. Strict: broken links fail. humanrt is read
# from its sources and not installed.
docs: $(VENV)/docs.stamp
	@echo "make: docs (mkdocs) ..."
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "humanrt needs Python 3.11 or newer on the PATH (or: make PYTHON=/path/to/python3)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/lean.stamp: $(BIN)/python $(BUILD)
	@echo "make: installing the lean runtime into $(VENV): numpy, ONNX Runtime, OpenCV, viewer (about 100 MB), and a"
	@echo "make: compiler for the build (another 100 MB, thrown away); pip is silent for a minute or two ..."
	$(BIN)/python -m pip install -q -e '.[view]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python $(BUILD)
	@if [ -n "$(TORCH_INDEX)" ] && $(REACHED); then \
		echo "make: installing torch $(TORCH) for the CPU (about 200 MB); pip is silent for a minute or two ..."; \
		$(BIN)/python -m pip install -q --extra-index-url $(TORCH_INDEX) torch==$(TORCH); \
	else \
		echo "make: installing torch $(TORCH) from PyPI, as $(or $(TORCH_INDEX),no TORCH_INDEX) cannot be reached: 200 MB,"; \
		echo "make: or on Linux several GB with CUDA, if there is no build for the CPU; pip is silent until then ..."; \
		$(BIN)/python -m pip install -q torch==$(TORCH); \
	fi
	@echo "make: installing what tests need: runtime, exporters, TensorRT for RTX, ruff, mypy, pytest (about 400 MB);"
	@echo "make: pip is silent for two or three minutes ..."
	$(BIN)/python -m pip install -q -e '.[view,export,engine,test]'
	touch $@ $(VENV)/lean.stamp

$(VENV)/docs.stamp: $(BIN)/python pyproject.toml
	@echo "make: installing mkdocs (about 60 MB) ..."
	$(BIN)/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb')); \
		print(*p['project']['optional-dependencies']['docs'], sep='\n')" > $(VENV)/docs.txt
	$(BIN)/python -m pip install -q -r $(VENV)/docs.txt
	touch $@

clean:
	rm -rf $(VENV) build dist
