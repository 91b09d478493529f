# SPDX-License-Identifier: BSD-3-Clause
# Each target does all the set-up it needs; a second call does again only what changed.
# PYTHON names the interpreter of .venv, MAX_JOBS how many compilers run at once, ARGS what demo or
# pytest get: make demo ARGS="--epochs 3".
PYTHON ?= python3
MAX_JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export MAX_JOBS

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CPP := $(shell find csrc tests/cpp -name '*.cpp' -o -name '*.h' 2>/dev/null)

.PHONY: build demo test lint check-cpp mutations format clean
.DEFAULT_GOAL := build

$(READY): requirements-dev.txt requirements-nodeps.txt tools/make_venv.sh
	@echo "Setting up $(VENV): once, about a minute"
	@tools/make_venv.sh "$(PYTHON)" $(VENV)
	@touch $@

build: $(READY)
	@$(BIN)/python setup.py --quiet build_ext --inplace

demo: build
	@$(BIN)/python -m cnnkern demo $(ARGS)

# pytest comes last, so that its summary closes the output.
test: lint check-cpp build
	@$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/clang-format --dry-run -Werror $(CPP)
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/clang-format -i $(CPP)

# The kernels without torch, under AddressSanitizer and UBSan, once for each instruction set that
# this machine has.
CHECK := build/check
CHECK_CXXFLAGS := -std=c++17 -O1 -g1 -ffp-contract=fast -MMD -MP \
  -Wall -Wno-psabi -Wno-unknown-pragmas -Wno-maybe-uninitialized \
  -fsanitize=address,undefined -fno-sanitize-recover=all
CHECK_SOURCES := $(wildcard csrc/cpu/*.cpp csrc/problem/*.cpp csrc/plan/*.cpp)
CHECK_OBJECTS := $(CHECK_SOURCES:%.cpp=$(CHECK)/%.o)
CHECK_PROGRAMS := $(patsubst tests/cpp/%.cpp,$(CHECK)/%,$(wildcard tests/cpp/*.cpp))

check-cpp:
	@$(MAKE) --no-print-directory -j$(MAX_JOBS) $(CHECK_PROGRAMS)
	@tools/run_checks.sh $(CHECK_PROGRAMS)

$(CHECK)/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	@echo "sanitizers: $<"
	@$(CXX) $(CHECK_CXXFLAGS) -c $< -o $@

$(CHECK)/%: $(CHECK)/tests/cpp/%.o $(CHECK_OBJECTS)
	@$(CXX) $(CHECK_CXXFLAGS) $^ -o $@

.PRECIOUS: $(CHECK)/%.o
-include $(shell find $(CHECK) -name '*.d' 2>/dev/null)

# Plants faults in the kernels, one by one, and shows that the tests find each: two minutes.
mutations: build
	@$(BIN)/python tests/mutations/run.py $(ARGS)

clean:
	rm -rf build cnnkern/_C*.so
