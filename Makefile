# SPDX-License-Identifier: BSD-3-Clause
# Each target does all the set-up it needs; a second call does again only what changed.
# PYTHON names the interpreter of .venv, MAX_JOBS how many compilers run at once, ARGS what demo,
# bench or pytest get: make demo ARGS="--epochs 3".
PYTHON ?= python3
MAX_JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export MAX_JOBS

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CPP := $(shell find csrc tests/cpp -name '*.cpp' -o -name '*.cu' -o -name '*.h' 2>/dev/null)

.PHONY: build demo bench report docs test lint check-cpp check-qemu sass emulator mutations format clean
.DEFAULT_GOAL := build

$(READY): requirements-dev.txt requirements-nodeps.txt tools/make_venv.sh
	@echo "Setting up $(VENV): once, about a minute"
	@tools/make_venv.sh "$(PYTHON)" $(VENV)
	@touch $@

build: $(READY)
	@$(BIN)/python tools/cuda_toolkit.py
	@$(BIN)/python setup.py --quiet build_ext --inplace

demo: build
	@$(BIN)/python -m cnnkern demo $(ARGS)

# A few layers of every suite: table, build/bench/*.png, build/bench/index.html.
BENCH := build/bench

bench: build
	@mkdir -p $(BENCH)
	@$(BIN)/python -m cnnkern bench --quick --json $(BENCH)/quick.json --plot $(BENCH) \
	  --html $(BENCH)/index.html $(ARGS)

# benchmarks/README.md and the README's table, from benchmarks/results.
report: build
	@PYTHONPATH=. $(BIN)/python benchmarks/report.py $(ARGS)

# build/docs/index.html; a warning is an error, so every page is read again, which takes seconds.
docs: build
	@PYTHONPATH=. $(BIN)/python -m sphinx -E -W --keep-going --quiet -b html -d build/doctrees docs \
	  build/docs $(ARGS)
	@echo "Written: build/docs/index.html"

# pytest comes last, so that its summary closes the output, with a process for each core. The
# emulator needs CUDA's headers.
test: lint check-cpp build
	@$(BIN)/python tools/sass.py --quiet --if-built
	@if [ -n "$(CUDA_INCLUDE)" ]; then \
	  $(MAKE) --no-print-directory -o build emulator check-simt $(FAKE_CUDA); \
	elif [ "$$CNNKERN_CUDA" = 1 ]; then echo "cnnkern: CNNKERN_CUDA=1, but no CUDA headers"; exit 1; \
	else echo "cnnkern: no CUDA headers here, so the emulator's tests are skipped"; fi
	@$(BIN)/python -m pytest --numprocesses $(MAX_JOBS) --dist worksteal $(ARGS)

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/clang-format --dry-run -Werror $(CPP)
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/clang-format -i $(CPP)

# The kernels without torch, under AddressSanitizer and UBSan, in the best instruction set of this
# machine. The others, of the same templates, are compiled only; make test runs them.
CHECK := build/check
# Null pointers and the ends of objects are the first one's to find, and cost a third of the time.
CHECK_SANITIZE := -O1 -g1 -fsanitize=address,undefined -fno-sanitize=null,object-size \
  -fno-sanitize-recover=all
PROCESSOR := $(shell grep -m1 '^flags' /proc/cpuinfo 2>/dev/null)
BEST_ISA := $(or $(filter avx512_bf16,$(PROCESSOR)),$(and $(filter avx512vl,$(PROCESSOR)),avx512), \
  $(filter avx2,$(PROCESSOR)),baseline)
CHECK_CXXFLAGS = -std=c++17 -ffp-contract=fast -MMD -MP \
  -Wall -Wno-psabi -Wno-unknown-pragmas -Wno-maybe-uninitialized $(CHECK_SANITIZE)
# First what takes longest.
CHECK_FIRST := csrc/cpu/isa_$(BEST_ISA).cpp
CHECK_SOURCES := $(CHECK_FIRST) $(filter-out $(CHECK_FIRST), \
  $(wildcard csrc/cpu/*.cpp csrc/problem/*.cpp csrc/plan/*.cpp csrc/cuda/*.cpp))
CHECK_OBJECTS := $(CHECK_SOURCES:%.cpp=$(CHECK)/%.o)
CHECK_PROGRAMS := $(patsubst tests/cpp/%.cpp,$(CHECK)/%,$(wildcard tests/cpp/*.cpp))

check-cpp:
	@$(MAKE) --no-print-directory -j$(MAX_JOBS) $(CHECK_PROGRAMS)
	@tools/run_checks.sh "$(BEST_ISA)" $(CHECK_PROGRAMS)

OTHER_ISAS := $(filter-out $(BEST_ISA),baseline avx2 avx512 avx512_bf16)
$(OTHER_ISAS:%=$(CHECK)/csrc/cpu/isa_%.o): CHECK_SANITIZE := -O0

$(CHECK)/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	@echo "sanitizers: $<"
	@$(CXX) $(CHECK_CXXFLAGS) -c $< -o $@

$(CHECK)/%: $(CHECK)/tests/cpp/%.o $(CHECK_OBJECTS)
	@$(CXX) $(CHECK_CXXFLAGS) $^ -o $@

.PRECIOUS: $(CHECK)/%.o
-include $(shell find $(CHECK) -name '*.d' 2>/dev/null)

# The extension's own objects on processors that this machine is not, under qemu-user: Nehalem has no
# AVX, so one instruction too many ends it; of what x86 has, "max" lacks only AVX-512. A minute each.
QEMU := qemu-x86_64
QEMU_PROBLEMS ?= 40
QEMU_PROGRAMS := build/qemu/conv_test build/qemu/pool_test
QEMU_OBJECTS = $(patsubst %.cpp,build/temp.*/%.o,$(CHECK_SOURCES))

check-qemu: build
	@command -v $(QEMU) >/dev/null || { echo "cnnkern: no $(QEMU); apt-get install qemu-user"; exit 1; }
	@$(MAKE) --no-print-directory -o build $(QEMU_PROGRAMS)
	@for program in $(QEMU_PROGRAMS); do \
	  for cpu in Nehalem,baseline max,avx2 max,baseline; do \
	    CNNKERN_ISA=$${cpu#*,} $(QEMU) -cpu $${cpu%,*} $$program $(QEMU_PROBLEMS) || exit 1; \
	  done; done

build/qemu/%: tests/cpp/%.cpp $(wildcard cnnkern/_C*.so)
	@mkdir -p $(@D)
	@echo "qemu: $@"
	@$(CXX) -std=c++17 -O2 -Wno-psabi -fopenmp $< $(QEMU_OBJECTS) -o $@

include tools/emulator.mk

# The operators' CUDA half and the kernels, on the emulator, as an extension for Python. What knows
# neither torch nor CUDA comes from the extension's own build.
TORCH = $(shell ls -d $(VENV)/lib/python3*/site-packages/torch 2>/dev/null)
PYTHON_INCLUDE = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
TORCH_CXXFLAGS = -std=c++20 -O1 -g0 -fPIC -fvisibility=hidden -MMD -MP -Wall -Wno-unknown-pragmas \
  -isystem $(TORCH)/include -isystem $(TORCH)/include/torch/csrc/api/include \
  -isystem $(PYTHON_INCLUDE)
TORCH_LIBRARIES = -L$(TORCH)/lib -lc10 -ltorch -ltorch_cpu -ltorch_python
SIMT_GLUE := csrc/simt/module.cpp $(wildcard csrc/ops/cuda_*.cpp)
SIMT_GLUE_OBJECTS := $(SIMT_GLUE:%.cpp=$(SIMT)/glue/%.o)
SIMT_SHARED_OBJECTS = $(patsubst %.cpp,build/temp.*/%.o,$(wildcard csrc/plan/*.cpp csrc/cpu/*.cpp))

$(SIMT)/glue/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	@echo "emulator, operators: $<"
	@$(CXX) $(TORCH_CXXFLAGS) -DCNNKERN_EMULATED=1 -DTORCH_EXTENSION_NAME=_simt \
	  -isystem $(CUDA_INCLUDE) -c $< -o $@

$(SIMT)/%/_simt.so: $(SIMT_GLUE_OBJECTS) | build
	@echo "emulator, $*: $@"
	@$(CXX) -shared $^ $(SIMT_SHARED_OBJECTS) -o $@ -fopenmp -pthread -ldl $(TORCH_LIBRARIES)

$(SIMT)/checked/_simt.so: $(SIMT_CHECKED_OBJECTS)
$(SIMT)/fast/_simt.so: $(SIMT_FAST_OBJECTS)

emulator: build
	@$(MAKE) --no-print-directory -j$(MAX_JOBS) $(SIMT)/checked/_simt.so

FAKE_CUDA := build/fake_cuda/fake_cuda.so

$(FAKE_CUDA): tests/fake_cuda/fake_cuda.cpp Makefile | $(READY)
	@mkdir -p $(@D)
	@echo "fake CUDA backend: $<"
	@$(CXX) $(TORCH_CXXFLAGS) -shared -DTORCH_EXTENSION_NAME=fake_cuda $< -o $@ $(TORCH_LIBRARIES)

# Registers, spills and instructions of the CUDA kernels against benchmarks/sass_budget.json.
sass:
	@CNNKERN_CUDA=1 CNNKERN_TOOLKIT=pypi $(MAKE) --no-print-directory build
	@$(BIN)/python tools/sass.py $(ARGS)

# Plants faults in the kernels, one by one, and shows that the tests find each: two minutes.
mutations: build
	@$(BIN)/python tests/mutations/run.py $(ARGS)

clean:
	rm -rf build cnnkern/_C*.so
