"""What the tests of the deployment share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The folder of the deployment."""
    return DEPLOY


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Finds a program beside Python or on the path; without it the test is skipped."""

    def find(name: str) -> str:
        found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
        return found or pytest.skip(f"{name} is not on this machine")

    return find


@pytest.fixture
def secrets(deploy: Path, tmp_path: Path) -> Path:
    """A copy of the deployment in which the secrets are drawn; the folder that holds them."""
    copy = tmp_path / "deploy"
    shutil.copytree(deploy, copy, ignore=shutil.ignore_patterns("secrets"))
    return copy / "secrets"
