"""The CUDA toolkit a build may use: its compiler, and the GPU architectures to compile for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Compiled for where TORCH_CUDA_ARCH_LIST names no others, as far as nvcc knows them; and PTX, for those to come.
ARCHITECTURES = ("8.0", "9.0", "10.0", "12.0")
OLDEST = (12, 0)  # the first with C++20
USUAL = "/usr/local/cuda"


@dataclass(frozen=True)
class Toolkit:
    """A CUDA compiler, and what it is asked to compile for."""

    nvcc: str
    version: str
    architectures: tuple[str, ...]  # "8.0", "9.0a", "12.0+PTX"

    @property
    def options(self) -> list[str]:
        """nvcc's, for these architectures: see gencode()."""
        return gencode(self.architectures)


def gencode(architectures: Iterable[str]) -> list[str]:
    """nvcc's options for architectures "9.0", "9.0a", "12.0+PTX".

    Most of the time goes into making PTX, and that of the oldest serves all: it is made once. Those with a letter have
    instructions that no other has, and PTX of their own.
    """
    names = [(name.removesuffix("+PTX").replace(".", ""), name.endswith("+PTX")) for name in architectures]
    oldest = min((int(number) for number, _ in names if number.isdigit()), default=0)
    codes = []
    for number, ptx in names:
        virtual = f"compute_{oldest if number.isdigit() else number}"
        codes += [(virtual, f"sm_{number}"), *([(virtual, virtual)] if ptx else [])]
    return [f"-gencode=arch={virtual},code={code}" for virtual, code in dict.fromkeys(codes)]


def parse_architectures(text: str) -> tuple[str, ...]:
    """Those of a TORCH_CUDA_ARCH_LIST, separated by spaces, semicolons or commas."""
    names = tuple(dict.fromkeys(re.split(r"[\s;,]+", text.strip(" ;,\t\n"))))
    for name in names:
        if not re.fullmatch(r"\d+\.\d[af]?(\+PTX)?", name):
            raise SystemExit(f"spectrans: TORCH_CUDA_ARCH_LIST: expected names like '9.0' or '9.0+PTX', got {name!r}")
    return names


def wanted_architectures(known: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of what is asked for, what nvcc knows ("80", "90", ...), and what it does not."""
    if text := os.environ.get("TORCH_CUDA_ARCH_LIST", "").strip(" ;,\t\n"):
        names = parse_architectures(text)
    else:
        there = [name for name in ARCHITECTURES if name.replace(".", "") in known]
        names = (*there[:-1], *(f"{name}+PTX" for name in there[-1:]))
    number = {name: re.sub(r"\D", "", name) for name in names}
    return tuple(n for n in names if number[n] in known), tuple(n for n in names if number[n] not in known)


def find_nvcc() -> str | None:
    """The first of PATH, CUDA_HOME, CUDA_PATH and the usual place."""
    folders = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), USUAL]
    places = [None, *(str(Path(folder) / "bin") for folder in folders if folder)]
    return next((found for place in places if (found := shutil.which("nvcc", path=place))), None)


def find_toolkit() -> tuple[Toolkit | None, str | None]:
    """The toolkit to compile the CUDA kernels with, or why they are not compiled."""
    wanted = os.environ.get("SPECTRANS_CUDA", "")
    if wanted not in ("", "0", "1"):
        raise SystemExit(f"spectrans: SPECTRANS_CUDA must be '0' or '1', got {wanted!r}")
    if wanted == "0":
        return None, "SPECTRANS_CUDA=0 asked for a build without CUDA"
    toolkit, reason = _toolkit()
    if toolkit is None and wanted == "1":
        raise SystemExit(f"spectrans: SPECTRANS_CUDA=1 asked for a build with CUDA, but {reason}")
    return toolkit, reason


def _toolkit() -> tuple[Toolkit | None, str | None]:
    nvcc = find_nvcc()
    if nvcc is None:
        return None, f"no CUDA compiler was found at installation (looked for nvcc in PATH, CUDA_HOME, {USUAL})"
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    release = re.search(r"release (\d+)\.(\d+)", said)
    if release is None:
        return None, f"{nvcc} does not tell its version"
    version = int(release[1]), int(release[2])
    if version < OLDEST:
        return None, f"nvcc must be at least {OLDEST[0]}.{OLDEST[1]}, and the one found is {version[0]}.{version[1]}"
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=False).stdout
    architectures, unknown = wanted_architectures(set(re.findall(r"compute_(\d+)", listed)))
    if not architectures:
        return None, f"nvcc {version[0]}.{version[1]} compiles for none of {' '.join(unknown) or 'the architectures'}"
    if unknown:
        print(f"spectrans: nvcc {version[0]}.{version[1]} does not compile for {' '.join(unknown)}: left out")
    return Toolkit(nvcc, f"{version[0]}.{version[1]}", architectures), None
