"""pip's entry: CMake builds the kernels, torch.utils.cpp_extension the op library, pybind11 the introspection module.

Without a C++ compiler, or with SPECTRANS_BUILD=none, the package is installed as pure Python and runs on torch.fft;
spectrans.info() then gives the reason, which is kept in spectrans/_build.json. A compiler that fails is an error.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))
from environment import find_compiler, recent_enough, site_packages  # noqa: E402

KERNELS = "spectrans_kernels"
# Any other command describes or packs the source: it needs neither a compiler nor torch.
BUILDS = {"bdist_wheel", "build", "build_ext", "build_py", "develop", "editable_wheel", "install"}


def import_build_requirements() -> Any:
    """torch, from the environment being installed into where an isolated build has none of its own."""
    sys.path.extend(path for path in site_packages() if path not in sys.path)
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    try:
        import pybind11  # noqa: F401
        import torch
        import torch.utils.cpp_extension
    except ImportError as error:
        raise SystemExit(f"spectrans: the native build needs torch and pybind11 installed first: {error}") from error
    if not recent_enough(torch.__version__):
        raise SystemExit(f"spectrans: torch must be at least 2.10, got {torch.__version__}")
    if missing := [tool for tool in ("cmake", "ninja") if shutil.which(tool) is None]:
        raise SystemExit(f"spectrans: the native build needs {' and '.join(missing)} installed first")
    return torch


def build_facts(compiler: str | None, reason: str | None) -> dict[str, Any]:
    """What spectrans.info() tells about this installation."""
    if compiler is None:
        return {"native": False, "reason": reason}
    version = subprocess.run([*shlex.split(compiler), "--version"], capture_output=True, text=True, check=False).stdout
    import torch

    return {"native": True, "reason": None, "compiler": version.split("\n")[0], "torch": torch.__version__}


class BuildPython(build_py):
    """Copies the Python files and leaves the build's facts beside them."""

    facts: dict[str, Any]

    def run(self) -> None:
        super().run()
        package = (ROOT if self.editable_mode else Path(self.build_lib)) / "spectrans"
        package.mkdir(parents=True, exist_ok=True)
        (package / "_build.json").write_text(json.dumps(self.facts) + "\n")
        if not self.facts["native"]:  # an earlier build's libraries would still be loaded
            for library in package.glob("*.so"):
                library.unlink()


def native(compiler: str) -> dict[str, Any]:
    """setup()'s arguments for the three native parts."""
    os.environ["CXX"] = compiler
    if not os.environ.get("CC") and not shutil.which("cc") and not shutil.which("gcc"):
        os.environ["CC"] = compiler
    import_build_requirements()
    import pybind11
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    class Build(BuildExtension):  # type: ignore[misc]
        """CMake first, then the glue that links to what it made."""

        def run(self) -> None:
            try:
                super().run()
            except Exception as error:
                hint = "SPECTRANS_BUILD=none installs without it, on torch.fft"
                raise SystemExit(f"spectrans: the native build failed: {error}\n{hint}") from error

        def build_extensions(self) -> None:
            package = Path(self.get_ext_fullpath("spectrans._ops_cpu")).resolve().parent
            package.mkdir(parents=True, exist_ok=True)
            build = Path(self.build_temp).resolve() / "kernels"
            jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
            # Named at every build: a build folder left by pip remembers the tools of an isolated environment now gone.
            tools = [
                f"-DCMAKE_CXX_COMPILER={';'.join(shlex.split(compiler))}",
                f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}",
            ]
            subprocess.run(["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *tools], check=True)
            subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)
            subprocess.run(["cmake", "--install", str(build), "--prefix", str(package)], check=True)
            self.kernels = package / f"lib{KERNELS}.so"
            for extension in self.extensions:
                extension.library_dirs.append(str(package))
            super().build_extensions()

        def copy_extensions_to_source(self) -> None:  # editable installs
            super().copy_extensions_to_source()
            shutil.copy(self.kernels, ROOT / "spectrans")

    flags = ["-O2", "-g0", "-std=c++20", "-fvisibility=hidden"]
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


arguments: dict[str, Any] = {"cmdclass": {}}
if not BUILDS.isdisjoint(sys.argv):
    compiler, reason = find_compiler()
    if compiler is None:
        print(f"spectrans: installing as pure Python, running on torch.fft: {reason}", file=sys.stderr)
        # pip shows nothing that a build prints, but it shows the wheel's name: say it there too, as the build tag.
        arguments["options"] = {"bdist_wheel": {"build_number": "0.pure_python"}}
    else:
        arguments = native(compiler)
    BuildPython.facts = build_facts(compiler, reason)
    arguments["cmdclass"]["build_py"] = BuildPython
setup(**arguments)
