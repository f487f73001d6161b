"""Building, installing, importing: what each library holds, what setup.py decides, and what damage does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import spectrans

PACKAGE = Path(spectrans.__file__).parent
ROOT = Path(__file__).parents[1]
OPS, INTROSPECTION, KERNELS = "_ops_cpu*.so", "_C*.so", "libspectrans_kernels.so"
CUDA_OPS, CUDA_KERNELS = "_ops_cuda*.so", "libspectrans_cuda_kernels.so"

# What decides the outcome of a build or an import is set by each test.
DECIDES = ("CC", "CXX", "PYTHONPATH", "CUDAHOSTCXX", "TORCH_CUDA_ARCH_LIST")
CLEAN = {name: value for name, value in os.environ.items() if name not in DECIDES}
CLEAN = {name: value for name, value in CLEAN.items() if not name.startswith("SPECTRANS_")}


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=CLEAN | environment, capture_output=True, text=True, check=False
    )


def native_file(pattern: str) -> Path:
    """The library of the installed package; without one, whatever is asked of it is meaningless."""
    if found := sorted(PACKAGE.glob(pattern)):
        return found[0]
    pytest.skip(f"installed without {pattern}: {spectrans.info()['cuda' if 'cuda' in pattern else 'build']['reason']}")


# -- what is in the libraries ------------------------------------------------------------------------------------------
# The kernels' objects, one set per instruction set, are read by CTest: tests/cpp/kernel_symbols.cmake.


def dynamic_symbols(library: Path) -> list[str]:
    """Mangled names, those defined and those expected from elsewhere."""
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    listed = subprocess.run(["nm", "-D", str(library)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-1] for line in listed.strip().split("\n")]
    assert symbols
    return symbols


PYTHON = re.compile(r"_?Py[A-Z_]")
TORCH_C = re.compile(r"aoti_|torch_")  # the stable ABI
CUDART = re.compile(r"cuda[A-Z]")  # linked statically, and nobody else's
TORCH_CXX = re.compile(r"_Z\w*(2at|3c10|5torch)")  # what changes from one torch to the next


@pytest.mark.parametrize(
    ("pattern", "holds", "lacks"),
    [
        (KERNELS, (), (PYTHON, TORCH_C, TORCH_CXX)),
        (OPS, (TORCH_C,), (PYTHON, TORCH_CXX)),
        (CUDA_KERNELS, (), (PYTHON, TORCH_C, TORCH_CXX, CUDART)),
        (CUDA_OPS, (TORCH_C,), (PYTHON, TORCH_CXX, CUDART)),
        (INTROSPECTION, (PYTHON,), (TORCH_C, TORCH_CXX)),
    ],
)
def test_symbols(pattern: str, holds: tuple[re.Pattern[str], ...], lacks: tuple[re.Pattern[str], ...]) -> None:
    symbols = dynamic_symbols(native_file(pattern))
    for kind in holds:
        assert any(map(kind.match, symbols))
    for kind in lacks:
        assert [symbol for symbol in symbols if kind.match(symbol)] == []


# -- the CUDA library, in a torch without CUDA ------------------------------------------------------------------------

LOAD_CUDA = """
import sys, torch, spectrans
has = torch._C._dispatch_has_kernel_for_dispatch_key
ops = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("spectrans::") and has(name, "CPU")]
torch.ops.load_library(sys.argv[1])
lacking = [name for name in ops for each in (name, f"{name}_why_not") if not has(each, "CUDA")]
assert torch.version.cuda or len(ops) > 10 and not any(has(f"{name}_why_not", "CPU") for name in ops)
print(*lacking)
"""


def test_cuda_library_loads_anywhere_and_has_every_op(native_library: None) -> None:
    done = run("-c", LOAD_CUDA, str(native_file(CUDA_OPS)), cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_cuda_library_keeps_its_reference_to_libtorch() -> None:
    # libtorch_cuda comes with it; nothing else tells the loader to look there for the current stream.
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    command = ["readelf", "-d", str(native_file(CUDA_OPS))]
    needed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "[libtorch.so]" in needed and "[libspectrans_cuda_kernels.so]" in needed and "libcudart" not in needed


# -- importing ---------------------------------------------------------------------------------------------------------

USE = """
import json, pathlib, torch, spectrans
assert pathlib.Path(spectrans.__file__).is_relative_to(pathlib.Path.cwd())
x = torch.randn(2, 9, 6)
y = spectrans.functional.fourier_mixing(x)
assert torch.allclose(y.double(), torch.fft.fft2(x.double(), norm="ortho").real, atol=1e-5)
print(json.dumps(spectrans.info()["libraries"]), flush=True)
"""

# torch is imported once, and forked for each folder: a library that kills its process is seen, and seen to be the one.
USE_EACH = f"""
import os, sys, torch
for folder in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        sys.path.insert(0, folder)
        exec({USE!r})
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def copy_of_package(folder: Path) -> Path:
    return shutil.copytree(PACKAGE, folder / "spectrans", ignore=shutil.ignore_patterns("__pycache__"))


def remove(library: Path) -> None:
    library.unlink()


def cut_short(library: Path) -> None:
    """Keeps the headers and loses code: what a full disk or an interrupted copy leaves."""
    os.truncate(library, 8192)


def garble(library: Path) -> None:
    library.write_bytes(b"not a library\n" * 1000)


DAMAGES = [(pattern, damage) for pattern in (KERNELS, OPS, INTROSPECTION) for damage in (remove, cut_short, garble)]


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Any], tuple[str, str]]:
    """The libraries as a copy of the package with each damage sees them, and the exit status of its use."""
    folders = []
    for pattern, damage in DAMAGES:
        folders.append(tmp_path_factory.mktemp("damaged"))
        damage(copy_of_package(folders[-1]) / native_file(pattern).name)
    done = run("-c", USE_EACH, *map(str, folders), cwd=folders[0])
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = iter(done.stdout.strip().split("\n"))
    return {case: (next(lines), next(lines)) for case in DAMAGES}


@pytest.mark.parametrize(("pattern", "damage"), DAMAGES)
def test_import_survives_a_damaged_library(
    imports: dict[tuple[str, Any], tuple[str, str]], pattern: str, damage: Any
) -> None:
    libraries, status = imports[pattern, damage]
    assert status == "0"
    lost = {KERNELS: {"ops_cpu", "introspection"}, OPS: {"ops_cpu"}, INTROSPECTION: {"introspection"}}[pattern]
    for name in ("ops_cpu", "introspection"):
        facts = json.loads(libraries)[name]
        assert facts["loaded"] == (name not in lost)
        if name in lost:
            gone = damage is remove and pattern != KERNELS
            assert ("missing from the package folder" if gone else native_file(pattern).name) in facts["reason"]


def test_import_without_native(tmp_path: Path) -> None:
    copy_of_package(tmp_path)
    done = run("-c", USE, cwd=tmp_path, SPECTRANS_NATIVE="0")
    assert done.returncode == 0, done.stderr
    assert {library["loaded"] for library in json.loads(done.stdout).values()} == {False}


@pytest.mark.parametrize("native", ["0", "1"])
def test_import_brings_nothing_heavy(tmp_path: Path, native: str) -> None:
    code = (
        "import sys, torch; before = set(sys.modules); import spectrans; new = set(sys.modules) - before\n"
        "print(*sorted(name for name in new if name.split('.')[0] not in sys.stdlib_module_names))"
    )
    done = run("-c", code, cwd=tmp_path, SPECTRANS_NATIVE=native)
    assert done.returncode == 0, done.stderr
    new = [name for name in done.stdout.split() if name.split(".")[0] != "spectrans"]
    assert [name for name in new if not name.startswith("torch.")] == []
    assert [name for name in new if name.startswith(("torch._dynamo", "torch._inductor", "torch.distributed"))] == []


# -- setup.py and the build backend ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree as it comes, without what builds and tests leave in it."""
    pytest.importorskip("setuptools", minversion="77", reason="a build needs setuptools >= 77")
    if not (ROOT / "setup.py").exists():
        pytest.skip("the tests run away from the source tree")
    tree = tmp_path_factory.mktemp("pristine") / "tree"
    left = shutil.ignore_patterns("__pycache__", "*.so", "_build.json", "*.egg-info", "output")
    for name in ("benchmarks", "csrc", "docs", "examples", "spectrans", "tests", "tools"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tree / name, ignore=left)
    for name in (".clang-format", "CHANGELOG.md", "CMakeLists.txt", "LICENSE", "MANIFEST.in", "Makefile", "README.md"):
        shutil.copy(ROOT / name, tree)
    for name in ("constraints.txt", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tree)
    return tree


@pytest.fixture
def tree(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "tree")


def files_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


# Shadows a module with one that cannot be imported.
ABSENT = "raise ImportError('absent for this test')\n"


def hide_torch(folder: Path) -> str:
    (folder / "hidden").mkdir()
    (folder / "hidden" / "torch.py").write_text(ABSENT)
    return str(folder / "hidden")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SPECTRANS_BUILD": "none"}, "SPECTRANS_BUILD=none asked for a pure Python installation"),
        ({"PATH": ""}, "no C++ compiler was found at installation (looked for CXX, c++, g++, clang++)"),
    ],
)
def test_pure_python_wheel(tree: Path, variables: dict[str, str], reason: str) -> None:
    python_files = files_under(tree / "spectrans")
    done = run("setup.py", "-q", "bdist_wheel", "-d", "..", cwd=tree, PYTHONPATH=hide_torch(tree.parent), **variables)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.split("\n") if line.startswith("spectrans:")]
    assert said == [f"spectrans: installing as pure Python, running on torch.fft: {reason}"]
    (wheel,) = tree.parent.glob("*.whl")  # its name is all that pip shows of a build
    assert wheel.name == f"spectrans-{spectrans.__version__}-0.pure_python-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as content:
        names = {name.removeprefix("spectrans/") for name in content.namelist() if name.startswith("spectrans/")}
        assert names == python_files | {"_build.json"}
        assert json.loads(content.read("spectrans/_build.json")) == {"native": False, "reason": reason}


def test_pure_python_build_takes_old_files_away(tree: Path) -> None:
    package = tree.parent / "lib" / "spectrans"
    stale = [package / name for name in ("_ops_cpu.abi3.so", "renamed.py", "core/renamed.py")]
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    done = run("setup.py", "-q", "build_py", "--build-lib", str(package.parent), cwd=tree, SPECTRANS_BUILD="none")
    assert done.returncode == 0, done.stderr
    assert [path for path in stale if path.exists()] == []
    assert (package / "core" / "base.py").exists()


def test_unknown_kind_of_build(tree: Path) -> None:
    done = run("setup.py", "-q", "build_py", cwd=tree, SPECTRANS_BUILD="bogus")
    assert done.returncode != 0
    assert "SPECTRANS_BUILD must be 'native' or 'none', got 'bogus'" in done.stderr


def test_named_compiler_that_does_not_exist(tree: Path) -> None:
    done = run("setup.py", "-q", "build_py", cwd=tree, CXX="nosuch++ -O2")
    assert done.returncode != 0
    assert "CXX names a compiler that does not exist: 'nosuch++ -O2'" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no compiler is asked")
def test_compiler_that_fails(tree: Path) -> None:
    tools = os.pathsep.join([str(Path(sys.executable).parent), CLEAN["PATH"]])
    if missing := [tool for tool in ("cmake", "ninja") if shutil.which(tool, path=tools) is None]:
        pytest.skip(f"{missing} not installed")
    executable(tree.parent / "bin" / "c++", "#!/bin/sh\necho cannot compile today >&2\nexit 1\n")
    stub = tree.parent / "stub" / "pybind11"  # the tests' environment need not have the real one
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("def get_include() -> str:\n    return ''\n")
    path = os.pathsep.join([str(tree.parent / "bin"), tools])
    done = run("setup.py", "-q", "build_ext", cwd=tree, PATH=path, PYTHONPATH=str(stub.parent))
    assert done.returncode != 0
    assert "cannot compile today" in done.stdout + done.stderr
    assert "spectrans: the native build failed" in done.stderr


# Stand-ins for a compiler and for CMake, which fails for CUDA; a real build takes minutes.
CXX = """#!/bin/sh
while [ $# -gt 0 ]; do case "$1" in -o) touch "$2";; --version) echo "fake c++ 1.0";; esac; shift; done
"""
CMAKE = """#!/bin/sh
case "$*" in *SPECTRANS_CUDA=ON*) echo "nvcc cannot compile today" >&2; exit 1;; esac
"""
NVCC = """#!/bin/sh
case "$1" in --version) echo "release 13.0, V13.0.88";; *) printf "compute_90\\ncompute_120\\n";; esac
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no compiler is asked")
@pytest.mark.parametrize("wanted", ["", "0", "1"])
def test_cuda_build_that_fails(tree: Path, wanted: str) -> None:
    for name, script in (("fake-c++", CXX), ("cmake", CMAKE), ("ninja", "#!/bin/sh\n"), ("nvcc", NVCC)):
        executable(tree.parent / "bin" / name, script)
    stub = tree.parent / "stub" / "pybind11"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("def get_include() -> str:\n    return ''\n")
    # Real tools are among the environment's scripts, as old ones may be: what an isolated build fetched comes first.
    for name, attribute in (("cmake", "CMAKE_BIN_DIR"), ("ninja", "BIN_DIR")):
        (stub.parent / f"{name}.py").write_text(f"{attribute} = {str(tree.parent / 'bin')!r}\n")
    package = tree.parent / "lib" / "spectrans"
    package.mkdir(parents=True)
    stale = [package / name for name in ("_ops_cuda.abi3.so", "libspectrans_cuda_kernels.so")]
    for library in stale:
        library.touch()
    path = os.pathsep.join([str(tree.parent / "bin"), CLEAN["PATH"]])
    variables = {"PATH": path, "PYTHONPATH": str(stub.parent), "CXX": "fake-c++", "SPECTRANS_CUDA": wanted}
    code = (
        "import sys; sys.argv = ['setup.py', '-q', 'build', '--build-lib', '../lib']\n"
        "import torch.utils.cpp_extension as cpp; cpp.is_ninja_available = lambda: False\n"
        "sys.path.insert(0, '.'); exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__file__': 'setup.py', "
        "'__name__': '__main__'})"
    )
    done = run("-c", code, cwd=tree, **variables)
    if wanted == "1":
        assert done.returncode != 0 and "spectrans: the native build failed" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    cuda = json.loads((package / "_build.json").read_text())["cuda"]
    assert cuda["architectures"] == [] and cuda["toolkit"] is None
    assert {"": "failed at installation", "0": "SPECTRANS_CUDA=0 asked for"}[wanted] in cuda["reason"]
    assert ("nvcc cannot compile today" in done.stderr) == (wanted == "")
    assert not any(library.exists() for library in stale)
    assert (package / "_ops_cpu.abi3.so").exists()


def test_native_build_needs_torch(tree: Path) -> None:
    compiler = executable(tree.parent / "c++", "#!/bin/sh\n")
    done = run("setup.py", "-q", "build_py", cwd=tree, CXX=str(compiler), PYTHONPATH=hide_torch(tree.parent))
    assert done.returncode != 0
    assert "spectrans: the native build needs torch and pybind11 installed first" in done.stderr


def test_sdist_carries_what_builds_and_tests(tree: Path) -> None:
    # What a build and a demo leave in the tree stays behind; neither a compiler nor torch is needed.
    expected = files_under(tree)
    (tree / "examples" / "output").mkdir()
    for left in ("spectrans/_ops_cpu.abi3.so", "spectrans/_build.json", "examples/output/curve.png"):
        (tree / left).touch()
    done = run("setup.py", "-q", "sdist", "-d", "..", cwd=tree, PATH="", PYTHONPATH=hide_torch(tree.parent))
    assert done.returncode == 0, done.stderr
    with tarfile.open(tree.parent / f"spectrans-{spectrans.__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    assert names - {"PKG-INFO", "setup.cfg"} - {name for name in names if ".egg-info/" in name} == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no compiler is asked")
@pytest.mark.parametrize(
    ("torch_there", "compiler", "asks"),
    [
        (None, True, ["torch>=2.10"]),
        ("2.9.1", True, ["torch>=2.10"]),
        ("2.10.0", True, []),
        ("2.13.0+cpu", True, []),
        ("3.0.0a0+git1234", True, []),
        (None, False, []),
    ],
)
def test_backend_asks_for_torch_where_there_is_none(
    tree: Path, torch_there: str | None, compiler: bool, asks: list[str]
) -> None:
    there = tree.parent / "site-packages"
    there.mkdir()
    if torch_there is not None:
        (there / f"torch-{torch_there}.dist-info").mkdir()
        (there / f"torch-{torch_there}.dist-info" / "METADATA").write_text(f"Name: torch\nVersion: {torch_there}\n")
    variables = {"CXX": str(executable(tree.parent / "c++", "#!/bin/sh\n"))} if compiler else {"PATH": ""}
    code = (
        "import environment, build_backend as backend\n"
        f"environment.site_packages = lambda: [{str(there)!r}]\n"
        "print(backend.get_requires_for_build_wheel(), backend.get_requires_for_build_editable(), sep='\\n')"
    )
    path = os.pathsep.join([str(tree / "tools"), hide_torch(tree.parent)])
    done = run("-c", code, cwd=tree, PYTHONPATH=path, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().split("\n")[-2:][0].endswith(str(asks))
    assert done.stdout.strip().split("\n")[-1] == str(asks)
