"""What the environment being installed into offers to a build: a compiler, and torch."""

from __future__ import annotations

import os
import shlex
import shutil
import site
import sys
import sysconfig
from importlib import metadata

TORCH = (2, 10)


def find_compiler() -> tuple[str | None, str | None]:
    """The C++ compiler to use, or why there is none to use."""
    wanted = os.environ.get("SPECTRANS_BUILD") or "native"
    if wanted not in ("native", "none"):
        raise SystemExit(f"spectrans: SPECTRANS_BUILD must be 'native' or 'none', got {wanted!r}")
    if wanted == "none":
        return None, "SPECTRANS_BUILD=none asked for a pure Python installation"
    if sys.platform != "linux":
        return None, f"the native kernels are built on Linux only, and this is {sys.platform}"
    if named := os.environ.get("CXX", "").strip():
        if shutil.which(shlex.split(named)[0]) is None:
            raise SystemExit(f"spectrans: CXX names a compiler that does not exist: {named!r}")
        return named, None
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return name, None
    return None, "no C++ compiler was found at installation (looked for CXX, c++, g++, clang++)"


def site_packages() -> list[str]:
    """Where the interpreter running pip keeps its packages, also inside pip's isolated build, which hides them."""
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    if sys.prefix == sys.base_prefix:  # a virtual environment does not see the user's own packages
        paths.append(site.getusersitepackages())
    return list(dict.fromkeys(paths))


def recent_enough(version: str) -> bool:
    """Whether a torch of that version can be built against."""
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2]) >= TORCH


def has_torch() -> bool:
    """Whether the environment being installed into has a torch to build against."""
    found = next(iter(metadata.distributions(name="torch", path=site_packages())), None)
    return found is not None and recent_enough(found.version)
