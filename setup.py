"""pip's entry: CMake builds the kernels, torch.utils.cpp_extension the op libraries, pybind11 the introspection module.

Without a C++ compiler, or with SPECTRANS_BUILD=none, the package is installed as pure Python and runs on torch.fft;
spectrans.info() then gives the reason, which is kept in spectrans/_build.json. A compiler that fails is an error.

The CUDA kernels are built where nvcc is found, whatever torch is there, and need no GPU. If that fails, the rest is
installed and the reason kept; with SPECTRANS_CUDA=1 it is an error, and with SPECTRANS_CUDA=0 it is not tried.
"""

from __future__ import annotations

import importlib
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
from toolkit import Toolkit, find_toolkit  # noqa: E402

KERNELS, CUDA_KERNELS = "spectrans_kernels", "spectrans_cuda_kernels"
# Any other command describes or packs the source: it needs neither a compiler nor torch.
BUILDS = {"bdist_wheel", "build", "build_ext", "build_py", "develop", "editable_wheel", "install"}


def folders_of_tools() -> list[str]:
    """Where CMake and ninja are: those that an isolated build fetched come before what the environment has."""
    folders = []
    for module, attribute in (("cmake", "CMAKE_BIN_DIR"), ("ninja", "BIN_DIR")):
        try:
            folders.append(str(getattr(importlib.import_module(module), attribute)))
        except (ImportError, AttributeError):  # from elsewhere, then
            continue
    return [*folders, sysconfig.get_path("scripts")]


def import_build_requirements() -> Any:
    """torch, from the environment being installed into where an isolated build has none of its own."""
    sys.path.extend(path for path in site_packages() if path not in sys.path)
    os.environ["PATH"] = os.pathsep.join([*folders_of_tools(), os.environ.get("PATH", os.defpath)])
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


def native_facts(compiler: str) -> dict[str, Any]:
    """What spectrans.info() tells about this installation, but for CUDA."""
    version = subprocess.run([*shlex.split(compiler), "--version"], capture_output=True, text=True, check=False).stdout
    import torch

    return {"native": True, "reason": None, "compiler": version.split("\n")[0], "torch": torch.__version__}


def cuda_facts(toolkit: Toolkit | None, reason: str | None) -> dict[str, Any]:
    """Likewise, of the CUDA kernels."""
    if toolkit is None:
        return {"architectures": [], "toolkit": None, "reason": reason}
    return {"architectures": list(toolkit.architectures), "toolkit": toolkit.version, "reason": None}


class BuildPython(build_py):
    """Copies the Python files and leaves the build's facts beside them."""

    facts: dict[str, Any]

    def run(self) -> None:
        self.remove_deleted(Path(self.build_lib))
        super().run()
        self.write_facts((ROOT if self.editable_mode else Path(self.build_lib)) / "spectrans")

    @staticmethod
    def remove_deleted(build: Path) -> None:
        """An earlier build's copies of files that are no longer in the source would go into the wheel."""
        for copy in build.glob("spectrans/**/*.py"):
            if not (ROOT / copy.relative_to(build)).exists():
                copy.unlink()

    @classmethod
    def write_facts(cls, package: Path) -> None:
        """Leaves no library of an earlier build that these facts deny: it would still be loaded."""
        package.mkdir(parents=True, exist_ok=True)
        (package / "_build.json").write_text(json.dumps(cls.facts) + "\n")
        native, cuda = cls.facts["native"], "cuda" in cls.facts and cls.facts["cuda"]["reason"] is None
        for library in package.glob("*.so"):
            if not native or ("_cuda" in library.name and not cuda):
                library.unlink()


def warn_of_other_cuda(toolkit: Toolkit, of_torch: str | None) -> None:
    """Nothing of torch's CUDA is linked, so that another version does no harm, if the driver is recent enough."""
    if of_torch is not None and of_torch != toolkit.version:
        print(
            f"spectrans: compiling with CUDA {toolkit.version} for a torch with CUDA {of_torch}: this works with a "
            f"driver that supports both",
            file=sys.stderr,
        )


def native(compiler: str, toolkit: Toolkit | None) -> dict[str, Any]:
    """setup()'s arguments for the native parts."""
    os.environ["CXX"] = compiler
    if not os.environ.get("CC") and not shutil.which("cc") and not shutil.which("gcc"):
        os.environ["CC"] = compiler
    torch = import_build_requirements()
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
            self.destination = Path(self.get_ext_fullpath("spectrans._ops_cpu")).resolve().parent
            self.destination.mkdir(parents=True, exist_ok=True)
            # Where CUDA follows, an earlier build's stays as it is: without it here, CMake would take its objects away.
            self.build_kernels(KERNELS, *(["-DSPECTRANS_CUDA=OFF"] if toolkit is None else []))
            if toolkit is not None:
                self.build_cuda_kernels(toolkit)
            for extension in self.extensions:
                extension.library_dirs.append(str(self.destination))
            super().build_extensions()

        def build_kernels(self, target: str, *options: str) -> None:
            # setuptools makes an editable installation in a folder that it removes. Here the tests find the objects.
            build = ROOT / "build" / "kernels" if self.editable_mode else Path(self.build_temp).resolve() / "kernels"
            jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
            # Named at every build: a build folder left by pip remembers the tools of an isolated environment now gone.
            tools = [
                f"-DCMAKE_CXX_COMPILER={';'.join(shlex.split(compiler))}",
                f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}",
            ]
            subprocess.run(["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *tools, *options], check=True)
            subprocess.run(["cmake", "--build", str(build), "--parallel", jobs, "--target", target], check=True)
            install = ["cmake", "--install", str(build), "--component", target, "--prefix", str(self.destination)]
            subprocess.run(install, check=True)

        def build_cuda_kernels(self, toolkit: Toolkit) -> None:
            warn_of_other_cuda(toolkit, torch.version.cuda)
            options = ["-DSPECTRANS_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={toolkit.nvcc}"]
            options += ["-DCMAKE_CUDA_ARCHITECTURES=OFF", f"-DCMAKE_CUDA_FLAGS={' '.join(toolkit.options)}"]
            if "CUDAHOSTCXX" not in os.environ and len(shlex.split(compiler)) == 1:
                options.append(f"-DCMAKE_CUDA_HOST_COMPILER={shutil.which(compiler)}")
            try:
                self.build_kernels(CUDA_KERNELS, *options)
            except subprocess.CalledProcessError as error:
                if os.environ.get("SPECTRANS_CUDA") == "1":
                    raise
                reason = f"compiling the CUDA kernels with nvcc {toolkit.version} failed at installation"
                print(f"spectrans: installing without CUDA kernels: {reason}: {error}", file=sys.stderr)
                BuildPython.facts["cuda"] = cuda_facts(None, reason)
                BuildPython.write_facts(self.destination)
                self.extensions = [each for each in self.extensions if each.name != "spectrans._ops_cuda"]

        def build_extension(self, extension: Extension) -> None:
            temporary = self.build_temp
            self.build_temp = str(Path(temporary) / extension.name)  # two of them have the same sources
            try:
                super().build_extension(extension)
            finally:
                self.build_temp = temporary

        def copy_extensions_to_source(self) -> None:  # editable installs
            super().copy_extensions_to_source()
            for library in self.destination.glob("lib*.so"):
                shutil.copy(library, ROOT / "spectrans")
            BuildPython.write_facts(ROOT / "spectrans")

    flags = ["-O2", "-g0", "-std=c++20", "-fvisibility=hidden"]
    rpath = "-Wl,-rpath,$ORIGIN"

    def op_library(device: str, kernels: str, defines: list[tuple[str, str | None]], *link: str) -> Extension:
        return CppExtension(
            f"spectrans._ops_{device}",
            sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc" / "torch").glob("*.cpp")),
            py_limited_api=True,  # no Python symbol in it: torch.ops loads it
            define_macros=[("TORCH_TARGET_VERSION", "0x020a000000000000"), *defines],
            libraries=[kernels],
            extra_compile_args=flags,
            extra_link_args=[rpath, *link],
        )

    extensions = [
        op_library("cpu", KERNELS, []),
        Extension(
            "spectrans._C",
            ["csrc/python/module.cpp"],
            include_dirs=[pybind11.get_include()],
            extra_compile_args=flags,
            extra_link_args=[rpath],
            libraries=[KERNELS],
            language="c++",
        ),
    ]
    if toolkit is not None:
        # libtorch brings libtorch_cuda, which has what the torch linked here may lack: a reference to it has to stay.
        keep = ("-Wl,--no-as-needed", "-ltorch", "-Wl,--as-needed")
        extensions.append(op_library("cuda", CUDA_KERNELS, [("SPECTRANS_CUDA", None)], *keep))
    return {"ext_modules": extensions, "cmdclass": {"build_ext": Build}}


arguments: dict[str, Any] = {"cmdclass": {}}
if not BUILDS.isdisjoint(sys.argv):
    compiler, reason = find_compiler()
    if compiler is None:
        print(f"spectrans: installing as pure Python, running on torch.fft: {reason}", file=sys.stderr)
        # pip shows nothing that a build prints, but it shows the wheel's name: say it there too, as the build tag.
        arguments["options"] = {"bdist_wheel": {"build_number": "0.pure_python"}}
        BuildPython.facts = {"native": False, "reason": reason}
    else:
        toolkit, reason = find_toolkit()
        arguments = native(compiler, toolkit)
        BuildPython.facts = {**native_facts(compiler), "cuda": cuda_facts(toolkit, reason)}
    arguments["cmdclass"]["build_py"] = BuildPython
setup(**arguments)
