# SPDX-License-Identifier: BSD-3-Clause
# The emulator (csrc/simt) and the CUDA kernels compiled for it, twice: "checked" with the hooks that
# -fsanitize=thread calls (they are the emulator's own: libtsan is not linked), "fast" without.
#   SIMT_CHECKED_OBJECTS, SIMT_FAST_OBJECTS   all that a program or an extension links
#   make check-simt                           builds and runs tests/simt in both builds
SIMT := build/simt

# CUDA's headers: of the toolkit in the virtual environment, else of the nvcc on the path.
CUDA_INCLUDE ?= $(shell for d in .venv/lib/python3*/site-packages/nvidia/cu13/include \
  "$$(nvcc --dryrun -c x.cu 2>&1 | sed -n 's/.*[ ]TOP=//p')/include" /usr/local/cuda/include; do \
  if [ -f "$$d/cuda_runtime.h" ]; then echo "$$d"; break; fi; done)

# x86-64-v3 for its fused multiply-add, which fma() has to be. -g1: lines for the reports.
# No strict aliasing: kernels read arrays through vector types.
SIMT_CXXFLAGS := -std=c++20 -O2 -g1 -march=x86-64-v3 -ffp-contract=off -fno-strict-aliasing -fPIC \
  -fvisibility=hidden -fvisibility-inlines-hidden -MMD -MP -I. -Wall -Wextra -Wno-unknown-pragmas
# No sibling calls in kernels: a report takes its line from the return address.
SIMT_KERNEL := -fno-optimize-sibling-calls
# SRA would split the copy of a 16-byte vector into loads of its elements.
SIMT_CHECK := -fsanitize=thread --param tsan-instrument-func-entry-exit=0 \
  --param sra-max-scalarization-size-Ospeed=0 \
  -fsanitize=alignment,bounds,signed-integer-overflow,shift,integer-divide-by-zero

# Never instrumented: the emulator itself, and the host code that launchers need.
SIMT_PLAIN_SOURCES := $(filter-out csrc/simt/module.cpp,$(wildcard csrc/simt/*.cpp)) \
  $(wildcard csrc/cuda/*.cpp csrc/problem/*.cpp)
SIMT_PLAIN_OBJECTS := $(SIMT_PLAIN_SOURCES:%.cpp=$(SIMT)/plain/%.o)
SIMT_KERNELS := $(wildcard csrc/cuda/*.cu)
SIMT_CHECKED_OBJECTS := $(SIMT_KERNELS:%.cu=$(SIMT)/checked/%.o) $(SIMT_PLAIN_OBJECTS)
SIMT_FAST_OBJECTS := $(SIMT_KERNELS:%.cu=$(SIMT)/fast/%.o) $(SIMT_PLAIN_OBJECTS)

$(SIMT)/plain/%.o: %.cpp tools/emulator.mk
	@mkdir -p $(@D)
	@echo "emulator: $<"
	@$(CXX) $(SIMT_CXXFLAGS) -isystem $(CUDA_INCLUDE) -c $< -o $@

$(SIMT)/checked/%.o: %.cu tools/emulator.mk
	@mkdir -p $(@D)
	@echo "emulator, checked: $<"
	@$(CXX) $(SIMT_CXXFLAGS) $(SIMT_KERNEL) $(SIMT_CHECK) -isystem $(CUDA_INCLUDE) -x c++ -c $< -o $@

$(SIMT)/fast/%.o: %.cu tools/emulator.mk
	@mkdir -p $(@D)
	@echo "emulator, fast: $<"
	@$(CXX) $(SIMT_CXXFLAGS) $(SIMT_KERNEL) -isystem $(CUDA_INCLUDE) -x c++ -c $< -o $@

# The emulator's own tests link its objects and theirs, and no kernel of csrc/cuda.
SIMT_OWN_OBJECTS := $(filter $(SIMT)/plain/csrc/simt/%,$(SIMT_PLAIN_OBJECTS))
SIMT_TEST_OBJECTS := $(SIMT_OWN_OBJECTS) \
  $(patsubst %.cpp,$(SIMT)/plain/%.o,$(wildcard tests/simt/*.cpp))
SIMT_TEST_KERNELS := $(wildcard tests/simt/*.cu)

$(SIMT)/test-checked: $(SIMT_TEST_KERNELS:%.cu=$(SIMT)/checked/%.o) $(SIMT_TEST_OBJECTS)
	@$(CXX) $^ -o $@ -pthread -ldl

$(SIMT)/test-fast: $(SIMT_TEST_KERNELS:%.cu=$(SIMT)/fast/%.o) $(SIMT_TEST_OBJECTS)
	@$(CXX) $^ -o $@ -pthread -ldl

.PHONY: check-simt
check-simt:
	@$(MAKE) --no-print-directory -j$(MAX_JOBS) $(SIMT)/test-checked $(SIMT)/test-fast
	@$(SIMT)/test-checked
	@$(SIMT)/test-fast

-include $(shell find $(SIMT) -name '*.d' 2>/dev/null)
