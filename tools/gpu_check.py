"""Everything that only a GPU can tell, in nine minutes: build, tests, compute-sanitizer, benchmarks.

Needs what a CUDA build of torch, the CUDA toolkit, cmake, ninja, pybind11, pytest, numpy and rich provide,
and no network. Builds from source for the GPU that is there, into the environment this runs in. Each part has a limit
of its own; what follows runs all the same, but if the build fails. Exit status 1 if a part fails; the benchmarks are
written to benchmarks/results, with the commit.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOTAL = 540.0  # seconds
BUILD, SUITE, STREAMS, SANITIZER, BENCHMARKS = 200.0, 200.0, 60.0, 45.0, 150.0  # at most, each
SPARE = 10.0  # of the total, for what is neither
PROCESSES = 6  # that share the GPU
SHOWN = 6000  # characters of what a command printed
# Small shapes of every op: a sanitizer is a hundred times slower.
SANITIZED = "test_kernels_run or test_what_has_no_kernel"


@dataclass
class Part:
    """What was run, and how it went."""

    name: str
    outcome: str
    seconds: float

    @property
    def failed(self) -> bool:
        return self.outcome not in ("passed", "not run")


def run_together(commands: list[list[str]], limit: float, environment: dict[str, str] | None = None) -> str:
    """Runs commands at once, shows the end of what each printed, and says how that went."""
    end = time.monotonic() + limit
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile(mode="w+")) for _ in commands]
        started = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it starts ends with it
            )
            for command, output in zip(commands, outputs, strict=True)
        ]
        outcomes = []
        for process, output in zip(started, outputs, strict=True):
            try:
                status = process.wait(max(0.0, end - time.monotonic()))
                outcomes.append("passed" if status == 0 else "failed")
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                outcomes.append(f"stopped after {limit:.0f} s")
            output.seek(0)
            print(output.read()[-SHOWN:], flush=True)
    return next((outcome for outcome in outcomes if outcome != "passed"), "passed")


# -- the parts ---------------------------------------------------------------------------------------------------------


def architecture() -> str:
    """That of the GPU, as TORCH_CUDA_ARCH_LIST has it."""
    code = "import torch; print('.'.join(map(str, torch.cuda.get_device_capability())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"gpu-check: no CUDA device for torch here: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def build(limit: float) -> str:
    variables = {
        "SPECTRANS_CUDA": "1",
        "TORCH_CUDA_ARCH_LIST": os.environ.get("TORCH_CUDA_ARCH_LIST") or architecture(),
        "MAX_JOBS": str(os.cpu_count() or 1),
    }
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "-e", "."]
    return run_together([pip], limit, variables)


def pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=20", *arguments]


def suite(limit: float) -> str:
    chosen = ["tests/ops", "tests/layers", "--device", "cuda", "-k", "not gradcheck and not opcheck"]
    shards = [pytest(*chosen, "--shard", f"{part}/{PROCESSES}") for part in range(1, PROCESSES + 1)]
    return run_together(shards, limit)


def streams(limit: float) -> str:
    return run_together([pytest("tests/test_cuda.py")], limit)


def sanitizer(limit: float) -> str:
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if tool is None:
        print("compute-sanitizer is not installed")
        return "not run"
    ours = ["--error-exitcode", "9", "--kernel-regex", "kns=spectrans", *pytest("tests/test_cuda.py", "-k", SANITIZED)]
    commands = [[tool, "--tool", kind, *ours] for kind in ("memcheck", "racecheck")]
    # torch's caching allocator would hide an access beyond a tensor.
    return run_together(commands, limit, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})


def benchmarks(limit: float) -> str:
    return run_together([[sys.executable, "-m", "benchmarks.cuda", "--seconds", f"{limit - 20:.0f}"]], limit)


PARTS: tuple[tuple[str, Callable[[float], str], float], ...] = (
    ("build", build, BUILD),
    ("streams and graphs", streams, STREAMS),
    ("suite", suite, SUITE),
    ("compute-sanitizer", sanitizer, SANITIZER),
    ("benchmarks", benchmarks, BENCHMARKS),
)


def main() -> int:
    begin = time.monotonic()
    if importlib.util.find_spec("torch") is None:
        raise SystemExit("gpu-check: no torch in this environment")
    print(f"gpu-check: compute capability {architecture()}", flush=True)
    done: list[Part] = []
    for name, part, most in PARTS:
        start = time.monotonic()
        # What the benchmarks need is kept for them: they are what is left when all is done.
        kept = BENCHMARKS if name not in ("build", "benchmarks") else 0.0
        limit = min(most, TOTAL - SPARE - kept - (start - begin))
        print(f"\n== {name}: at most {limit:.0f} s", flush=True)
        outcome = part(limit) if limit > 20 else "not run"
        done.append(Part(name, outcome, time.monotonic() - start))
        if name == "build" and done[-1].failed:
            break
    print("\n".join(f"{part.name:20} {part.outcome:24} {part.seconds:6.1f} s" for part in done))
    print(f"{'all':45} {time.monotonic() - begin:6.1f} s")
    return 1 if any(part.failed for part in done) else 0


if __name__ == "__main__":
    sys.exit(main())
