# SPDX-License-Identifier: BSD-3-Clause
# Each target does all the set-up it needs; a second call does again only what changed.
# PYTHON names the interpreter for .venv, MAX_JOBS the number of compilers at once.
PYTHON ?= python3
MAX_JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export MAX_JOBS

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo build test lint check-cpp pytest format clean
.DEFAULT_GOAL := build

$(READY): requirements-dev.txt requirements-nodeps.txt tools/make_venv.sh
	@echo "Setting up $(VENV): once, about a minute"
	@tools/make_venv.sh "$(PYTHON)" $(VENV)
	@touch $@

build: $(READY)
	@$(BIN)/python setup.py --quiet build_ext --inplace

demo: build
	@$(BIN)/python -m cnnkern demo $(ARGS)

clean:
	rm -rf build cnnkern/_C*.so
