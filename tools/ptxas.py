"""What ptxas makes of the CUDA kernels: registers, shared memory, and an exit status of 1 if any spills.

Reads what was kept of it when csrc/cuda/*.cu were compiled for the library, and
compiles what it finds nothing about: that needs nvcc, and no GPU. A stack frame
is as bad as a spill: both put registers into memory that every thread has its
own copy of.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolkit import find_nvcc, gencode

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = ("8.0", "9.0")


@dataclass(frozen=True)
class Kernel:
    """One instantiation for one architecture; sizes in bytes."""

    name: str
    architecture: str
    registers: int
    shared: int  # static: what a launch asks for is not known here
    stack: int
    spills: int

    @property
    def in_memory(self) -> bool:
        return self.stack > 0 or self.spills > 0


ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
FUNCTION = re.compile(r"Function properties for (\w+)")
PROPERTIES = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def parse(text: str) -> list[Kernel]:
    """The functions that `ptxas -v` tells of; one that is called, not inlined, has no registers of its own."""
    kernels: list[Kernel] = []
    architecture, name, sizes = "", "", (0, 0)
    for line in text.splitlines():
        if found := ENTRY.search(line):
            architecture = found[2]
        elif found := FUNCTION.search(line):
            name = found[1]
        elif found := PROPERTIES.search(line):
            sizes = int(found[1]), int(found[2]) + int(found[3])
            if any(sizes):  # told once more below, if it is a kernel
                kernels.append(Kernel(name, architecture, 0, 0, *sizes))
        elif found := USED.search(line):
            shared = SHARED.search(line)
            kernels = [kernel for kernel in kernels if (kernel.name, kernel.architecture) != (name, architecture)]
            kernels.append(Kernel(name, architecture, int(found[1]), int(shared[1]) if shared else 0, *sizes))
    return kernels


def readable(mangled: list[str]) -> list[str]:
    """Names without arguments and without the namespaces that all of them share."""
    if shutil.which("c++filt") is None or not mangled:
        return mangled
    filtered = subprocess.run(["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    common = re.compile(r"^void |spectrans::(cuda::)?|\(anonymous namespace\)::|_GLOBAL__N__\w+::")
    names = (common.sub("", line) for line in filtered.strip().split("\n"))
    return [re.sub(r"(?<=>)\(.*\)$|(?<=\w)\(.*\)$", "", name) for name in names]


def kept(folder: Path, source: Path) -> str:
    """What ptxas said of a source when the library was built in that folder."""
    return "".join(path.read_text() for path in folder.rglob(f"{source.name}.o.ptxas"))


def compiled(nvcc: str, source: Path, architectures: list[str]) -> str:
    """What ptxas says of a source, compiled as it is for the library."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", "-O3", *gencode(architectures), "-fatbin", "-Xptxas", "-v"]
        command += [str(source), "-o", str(Path(folder) / "kernels.fatbin")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{source.name} does not compile:\n{done.stderr}")
    return done.stderr


def of_each(architectures: list[str], nvcc: str, source: Path, folder: Path | None) -> list[Kernel]:
    """The kernels of a source, for all of these architectures and no others."""
    wanted = {name.replace(".", "") for name in architectures}
    kernels = parse(kept(folder, source)) if folder is not None else []
    if not wanted <= {kernel.architecture for kernel in kernels}:
        kernels = parse(compiled(nvcc, source, architectures))
    return [kernel for kernel in kernels if kernel.architecture in wanted]


def table(kernels: list[Kernel]) -> str:
    """A line a kernel, a column group an architecture."""
    rows = [("kernel", "sm", "registers", "shared", "stack", "spills")]
    names = readable([kernel.name for kernel in kernels])
    rows += [
        (name, *map(str, (kernel.architecture, kernel.registers, kernel.shared, kernel.stack, kernel.spills)))
        for name, kernel in sorted(zip(names, kernels, strict=True), key=lambda pair: (pair[0], pair[1].architecture))
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join((first.ljust(widths[0]), *(t.rjust(w) for t, w in zip(rest, widths[1:], strict=True))))
        for first, *rest in rows
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, help="instead of csrc/cuda/*.cu")
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES, help=f"({' '.join(ARCHITECTURES)})")
    parser.add_argument("--built", type=Path, metavar="FOLDER", help="where the library was built from these sources")
    options = parser.parse_args(arguments)
    nvcc = find_nvcc()
    if nvcc is None:
        raise SystemExit("make cuda-check needs nvcc, from the CUDA toolkit")
    sources = options.sources or sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [pool.submit(of_each, options.arch, nvcc, source, options.built) for source in sources]
        kernels = [kernel for task in tasks for kernel in task.result()]
    if not kernels:
        raise SystemExit("no kernels: nothing was checked")
    print(table(kernels))
    spilling = [kernel for kernel in kernels if kernel.in_memory]
    print(f"{len(kernels)} kernels, {len(spilling)} with registers in memory")
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
