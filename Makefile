# Every command a person types. `make demo` and `make test` need Python, a C++ compiler and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CMAKE = $(BIN)/cmake -S . -G Ninja "-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja"
BUILD := build/kernels
PIP := $(BIN)/pip --disable-pip-version-check
# Two workers, each with as many threads as there are cores: those that wait must not keep the others from working, and
# NumPy's, which the references compute with, wait in no other way. Who has no tests left takes some of the other's: a
# few take as long as a thousand. Test files are compiled once for all the runs of them.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal
SOURCES := $(shell find csrc spectrans tools -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.py') CMakeLists.txt setup.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test pytest cpp-test cuda-test cuda-traffic cuda-check cuda-tools gpu-check neon neon-tools bench bench-cpp lint sanitize wheel clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt torch numpy
	touch $@

$(VENV)/installed: $(VENV)/torch $(SOURCES)
	$(PIP) install --quiet -c constraints.txt -e ".[demo,bench,test]"
	touch $@

demo: $(VENV)/installed  ## train a classifier on real handwritten digits
	$(BIN)/python examples/digits.py

test: pytest cpp-test  ## the whole suite: with the kernels, without them, and the C++ tests

# Derivatives are made of ops: without kernels, that those are right is enough. At the lower instruction sets, their
# results alone.
pytest: $(VENV)/installed
	$(PYTEST)
	SPECTRANS_NATIVE=0 $(PYTEST) -k "not gradcheck"
	sets=$$($(BIN)/python -c 'import spectrans; print(*spectrans.info()["cpu"]["available"][1:])') && \
	for set in $$sets; do echo "SPECTRANS_CPU=$$set"; SPECTRANS_CPU=$$set $(PYTEST) tests/ops \
	  --ignore tests/ops/test_accuracy.py -k "not gradcheck and not opcheck" || exit 1; done

# The installation's own build folder: the tests are linked to what was compiled for it. Options of all that is built
# there are given together: where one goes, CMake takes away the objects that came with it.
.PHONY: $(BUILD)
$(BUILD): $(VENV)/installed
	$(CMAKE) -B $@ -DSPECTRANS_TESTS=ON "-DSPECTRANS_TORCH=$$($(BIN)/python -c 'import torch; print(torch.__path__[0])')"

cpp-test: $(BUILD)  ## the C++ tests, at every instruction set this CPU has
	$(BIN)/cmake --build $(BUILD)
	$(BIN)/ctest --test-dir $(BUILD) --output-on-failure --parallel 2

# The kernels' sources run as C++, a fibre a thread, always in the same order: results cannot but be the same bits. The
# C++ tests have them too. A complete decomposition takes minutes that way: spectral norms are left to those.
cuda-test: $(BUILD)  ## the ops' tests on the CUDA kernels, emulated: needs no GPU
	$(BIN)/cmake --build $(BUILD) --target _ops_emulated
	SPECTRANS_NATIVE=0 SPECTRANS_EMULATED_OPS=$(BUILD)/tests/emulation/_ops_emulated.so $(PYTEST) \
	  tests/ops --ignore tests/ops/test_accuracy.py -k "not gradcheck and not opcheck and not spectral_norm and not reproducible"

cuda-traffic: $(BUILD)  ## bytes, sectors and banks of the CUDA kernels, counted by the emulation
	$(BIN)/cmake --build $(BUILD) --target cuda_traffic
	$(BUILD)/cuda_traffic

cuda-tools:
	@PYTHONPATH=tools $(PYTHON) -c 'from toolkit import find_nvcc; exit(find_nvcc() is None)' || { \
	  echo "make cuda-check needs nvcc, of NVIDIA's CUDA toolkit"; exit 1; }

# Of the architectures that TORCH_CUDA_ARCH_LIST names, where it names any.
cuda-check: ARCHITECTURES = $(strip $(subst +PTX,,$(subst ;, ,$(TORCH_CUDA_ARCH_LIST))))
cuda-check: cuda-tools $(VENV)/installed  ## registers of the CUDA kernels, and whether any spill: needs nvcc, no GPU
	$(BIN)/python tools/ptxas.py --built $(BUILD) $(if $(ARCHITECTURES),--arch $(ARCHITECTURES))

# In the environment that $(PYTHON) is of, whose torch has CUDA: nothing is downloaded.
gpu-check:  ## on a machine with a GPU: build for it, test, sanitize and time, in nine minutes
	$(PYTHON) tools/gpu_check.py

neon-tools:
	@command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null || { \
	  echo "make neon needs Debian's packages g++-aarch64-linux-gnu and qemu-user"; exit 1; }

neon: neon-tools $(VENV)/installed  ## the C++ tests for Arm NEON, cross-compiled and run under qemu
	$(CMAKE) -B build/neon "-DCMAKE_TOOLCHAIN_FILE=$(abspath tools/aarch64.cmake)" -DSPECTRANS_TESTS=ON
	$(BIN)/cmake --build build/neon
	$(BIN)/ctest --test-dir build/neon --output-on-failure --parallel 2

sanitize: $(VENV)/installed  ## the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(CMAKE) -B build/sanitize -DSPECTRANS_TESTS=ON -DSPECTRANS_SANITIZE=address,undefined
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --parallel 2

bench: $(VENV)/installed  ## kernels beside torch.fft, in one interleaved run, and over random shapes
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --sweep

bench-cpp: $(BUILD)  ## the bare kernels and transforms; needs Google Benchmark (libbenchmark-dev)
	$(CMAKE) -B $(BUILD) -DSPECTRANS_BENCHMARKS=ON
	$(BIN)/cmake --build $(BUILD) --target bench_kernels
	$(BUILD)/benchmarks/cpp/bench_kernels

lint: $(VENV)/installed  ## ruff, mypy and clang-format
	$(PIP) install --quiet ruff mypy clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(shell find csrc tests/cpp tests/emulation benchmarks/cpp -name "*.cpp" -o -name "*.cu" -o -name "*.h")

wheel: $(VENV)/installed  ## a wheel in dist/
	$(PIP) wheel --no-deps -w dist .

clean:  ## remove everything made here
	rm -rf $(VENV) build dist *.egg-info spectrans/*.so spectrans/_build.json examples/output
