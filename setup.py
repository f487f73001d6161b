"""pip's entry: CMake builds the kernels, torch.utils.cpp_extension the op library, pybind11 the introspection module.

Without a C++ compiler, or with SPECTRANS_BUILD=none, the package is installed as pure Python and runs on torch.fft;
spectrans.info() then gives the reason, which is kept in spectrans/_build.json. A compiler that fails is an error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
KERNELS = "spectrans_kernels"


def find_compiler() -> tuple[str | None, str | None]:
    """The C++ compiler to use, or why there is none to use."""
    wanted = os.environ.get("SPECTRANS_BUILD", "native")
    if wanted not in ("native", "none"):
        raise SystemExit(f"spectrans: SPECTRANS_BUILD must be 'native' or 'none', got {wanted!r}")
    if wanted == "none":
        return None, "SPECTRANS_BUILD=none asked for a pure Python installation"
    if named := os.environ.get("CXX"):
        if shutil.which(named.split()[0]) is None:
            raise SystemExit(f"spectrans: CXX names a compiler that does not exist: {named!r}")
        return named, None
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return name, None
    return None, "no C++ compiler was found at installation (looked for CXX, c++, g++, clang++)"


def import_torch() -> Any:
    """torch, from the environment being installed into where an isolated build has none of its own."""
    sys.path.extend(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")} - set(sys.path)))
    try:
        import torch
        import torch.utils.cpp_extension
    except ImportError as error:
        raise SystemExit(f"spectrans: building the native library needs torch >= 2.10 installed first: {error}") from error
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 10):
        raise SystemExit(f"spectrans: torch must be at least 2.10, got {torch.__version__}")
    return torch


def build_facts(compiler: str | None, reason: str | None) -> dict[str, Any]:
    """What spectrans.info() tells about this installation."""
    if compiler is None:
        return {"native": False, "reason": reason}
    version = subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True, check=False).stdout
    import torch

    return {"native": True, "reason": None, "compiler": version.split("\n")[0], "torch": torch.__version__}


class BuildPython(build_py):
    """Copies the Python files and leaves the build's facts beside them."""

    facts: dict[str, Any]

    def run(self) -> None:
        super().run()
        folder = ROOT if self.editable_mode else Path(self.build_lib)
        (folder / "spectrans").mkdir(parents=True, exist_ok=True)
        (folder / "spectrans" / "_build.json").write_text(json.dumps(self.facts) + "\n")


def native(compiler: str) -> dict[str, Any]:
    """setup()'s arguments for the three native parts."""
    os.environ["CXX"] = compiler
    if not os.environ.get("CC") and not shutil.which("cc") and not shutil.which("gcc"):
        os.environ["CC"] = compiler
    import_torch()
    import pybind11
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    class Build(BuildExtension):  # type: ignore[misc]
        """CMake first, then the glue that links to what it made."""

        def build_extensions(self) -> None:
            package = Path(self.get_ext_fullpath("spectrans._ops_cpu")).resolve().parent
            package.mkdir(parents=True, exist_ok=True)
            build = Path(self.build_temp).resolve() / "kernels"
            jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
            configure = ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja"]
            subprocess.run([*configure, f"-DCMAKE_CXX_COMPILER={compiler.split()[0]}"], check=True)
            subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)
            subprocess.run(["cmake", "--install", str(build), "--prefix", str(package)], check=True)
            self.kernels = package / f"lib{KERNELS}.so"
            for extension in self.extensions:
                extension.library_dirs.append(str(package))
            super().build_extensions()

        def copy_extensions_to_source(self) -> None:  # editable installs
            super().copy_extensions_to_source()
            shutil.copy(self.kernels, ROOT / "spectrans")

    flags = ["-O2", "-std=c++20", "-fvisibility=hidden"]
    rpath = "-Wl,-rpath,$ORIGIN"
    ops = CppExtension(
        "spectrans._ops_cpu",
        sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc" / "torch").glob("*.cpp")),
        py_limited_api=True,  # no Python symbol in it: torch.ops loads it
        define_macros=[("TORCH_TARGET_VERSION", "0x020a000000000000")],
        libraries=[KERNELS],
        extra_compile_args=flags,
        extra_link_args=[rpath],
    )
    introspection = Extension(
        "spectrans._C",
        ["csrc/python/module.cpp"],
        include_dirs=[pybind11.get_include()],
        extra_compile_args=flags,
        extra_link_args=[rpath],
        libraries=[KERNELS],
        language="c++",
    )
    return {"ext_modules": [ops, introspection], "cmdclass": {"build_ext": Build}}


compiler, reason = find_compiler()
arguments: dict[str, Any] = {}
if compiler is None:
    print(f"spectrans: installing as pure Python, running on torch.fft: {reason}", file=sys.stderr)
else:
    arguments = native(compiler)
BuildPython.facts = build_facts(compiler, reason)
arguments.setdefault("cmdclass", {})["build_py"] = BuildPython
setup(**arguments)
