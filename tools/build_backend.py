"""The build backend: setuptools, asking for torch only where the environment to be installed into has none.

An isolated build would otherwise fetch the newest torch, gigabytes of it, beside the one that is there; and the
extension should be built against the torch it will run with.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (a backend is the module's functions)

TORCH = "torch>=2.10"


def target_site_packages() -> list[str]:
    """Where the interpreter running pip keeps its packages, also inside an isolated build."""
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def _needs_torch() -> list[str]:
    there = any((Path(site) / "torch" / "version.py").exists() for site in target_site_packages())
    return [] if there else [TORCH]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What pip installs into the isolated environment before it builds a wheel."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_needs_torch()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """The same for an editable install."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_needs_torch()]
