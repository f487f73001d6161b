"""The build backend: setuptools, asking for torch only where the environment to be installed into has none.

An isolated build would otherwise fetch the newest torch, gigabytes of it, beside the one that is there; and the
extension should be built against the torch it will run with. A pure Python build needs no torch at all.
"""

from __future__ import annotations

from typing import Any

from environment import TORCH, find_compiler, has_torch
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (a backend is the module's functions)


def _torch() -> list[str]:
    compiler, _ = find_compiler()
    return [] if compiler is None or has_torch() else [f"torch>={TORCH[0]}.{TORCH[1]}"]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What pip installs into the isolated environment before it builds a wheel."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_torch()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """The same for an editable install."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_torch()]
