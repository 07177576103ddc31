"""The repository as a whole: what is committed, and what a user installs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spanverdict", "collector", "analytics", "sql")
LONGEST = 400

LONGER_FOR_A_REASON: dict[str, str] = {
    "analytics/report/schema/report.schema.json": "a JSON Schema is published as one file",
}
"""Path of a longer file → why it is one idea still."""

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
IN_IMAGES = r"var/lib/(?:spanverdict|postgresql)\b"
"""Folders inside of containers, which are nobody's machine."""

MACHINE = re.compile(rf"(?<![\w.])/(?!{IN_IMAGES})(root|home|Users|work|tmp|mnt|var/lib)/[\w.]")
INDEX = re.compile(r"(index-url|://[^\s/]+/(simple|pypi|root/pypi)\b|files\.pythonhosted)", re.IGNORECASE)


def tracked() -> list[Path]:
    """The files of the repository: committed, or about to be."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is not a git repository")
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def texts() -> dict[str, str]:
    """Path → content of every text file of the repository."""
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\x00" not in data and path.suffix not in {".gz", ".parquet", ".pb"}:
            found[path.relative_to(ROOT).as_posix()] = data.decode("utf-8")
    return found


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern occurs, this file apart."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name != "tests/test_project.py"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_marked_unfinished() -> None:
    """Open work lives in the issue tracker, not in marks in files."""
    assert lines_with(UNFINISHED) == []


def test_no_machine_and_no_index_is_named() -> None:
    """No path of somebody's machine and no address of a package index is committed."""
    assert lines_with(MACHINE) == []
    assert lines_with(INDEX) == []


def test_files_are_short() -> None:
    """A file of the packages is one idea: at most 400 lines, or with a reason."""
    long = {
        name: len(text.splitlines())
        for name, text in texts().items()
        if name.startswith(tuple(f"{package}/" for package in PACKAGES)) and len(text.splitlines()) > LONGEST
    }
    assert set(long) == set(LONGER_FOR_A_REASON), long


def test_every_test_says_what_it_shows() -> None:
    """Each test has a docstring of one line."""
    silent = [
        f"{name}: {node.name}"
        for name, text in texts().items()
        if re.search(r"(^|/)test_\w+\.py$", name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len((ast.get_docstring(node) or "").splitlines()) != 1
    ]
    assert silent == []


@dataclass(frozen=True)
class Built:
    """What is published: the wheel's and the source archive's names, and the wheel installed beside nothing of ours."""

    wheel: list[str]
    archive: list[str]
    site: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build both with the real build backend, in a folder of its own, and install the wheel."""
    folder = tmp_path_factory.mktemp("built")
    tools, site = folder / "tools", folder / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile", "--target"]
    got = subprocess.run([*pip, str(tools), "hatchling"], capture_output=True, text=True, check=False, timeout=120)
    if got.returncode:
        pytest.skip(f"the build backend cannot be installed here: {got.stderr.strip().splitlines()[-1]}")
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    for target in ("wheel", "sdist"):
        made = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder / "dist")],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    (archive,) = (folder / "dist").glob("*.tar.gz")
    subprocess.run([*pip, str(site), "--no-deps", str(wheel)], check=True, timeout=120)
    with tarfile.open(archive) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    return Built(zipfile.ZipFile(wheel).namelist(), names, site)


def test_the_wheel_has_all_that_is_read_at_run_time(built: Built) -> None:
    """SQL files, templates, sample traces and type markers are in the wheel and in the source archive."""
    package_files = [
        name for name in texts() if name.startswith(tuple(f"{package}/" for package in (*PACKAGES, "sample_traces")))
    ]
    package_files += [f"sample_traces/{path.name}" for path in (ROOT / "sample_traces").glob("*.jsonl.gz")]
    assert len([name for name in package_files if name.endswith(".sql")]) > 10
    assert sorted(set(package_files) - set(built.wheel)) == []
    assert sorted(set(package_files) - set(built.archive)) == []
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(built.wheel)


def test_nothing_else_is_published(built: Built) -> None:
    """Tests and work files are not in the wheel; stores, caches and environments are in neither."""
    tops = {name.partition("/")[0] for name in built.wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {*PACKAGES, "sample_traces"}
    assert [
        name for name in (*built.wheel, *built.archive) if re.search(r"\.duckdb|__pycache__|\.venv|\.pyc$", name)
    ] == []


def needed() -> set[str]:
    """The distributions that are installed with the product, dependencies of dependencies included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    waiting, found = list(project["dependencies"]), set[str]()
    while waiting:
        text = waiting.pop()
        name = re.split(r"[<>=!~\[;( ]", text)[0].lower().replace("_", "-").replace(".", "-")
        if "extra ==" in text or name in found:
            continue
        found.add(name)
        try:
            waiting += metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            found.discard(name)  # For another platform or Python.
    return found


def development_only() -> list[str]:
    """The modules of this environment that a user does not have."""
    packages = needed()
    theirs: set[str] = set()
    ours: set[str] = set()
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        modules = theirs if name in packages else ours
        for file in distribution.files or []:
            parts = file.with_suffix("").parts if file.suffix == ".py" else ()
            modules.update(".".join(parts[:depth]) for depth in (1, 2) if len(parts) >= depth)
    return sorted(ours - theirs - {*PACKAGES, "sample_traces", "..", "_distutils_hack"})


OF_EXTRAS = (
    "analytics.dask_engine",
    "spanverdict.mcp_server",
    "spanverdict.pg_answers",
    "spanverdict.pg_server",
    "spanverdict.pg_session",
    "sql.postgres_dialect",
    "sql.postgres_text",
)
"""Modules that need an extra; whoever lacks it is told by their commands."""

IMPORT_ALL = """
import importlib, importlib.abc, json, pkgutil, sys
from pathlib import Path

hidden, site, packages = set(json.loads(sys.argv[1])), Path(json.loads(sys.argv[2])), json.loads(sys.argv[3])
extras = set(json.loads(sys.argv[4]))

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in hidden or name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not installed with the product", name=name)

sys.meta_path.insert(0, Hide())
for package in packages:
    for module in pkgutil.walk_packages([str(site / package)], f"{package}."):
        if module.name != "spanverdict.__main__" and module.name not in extras:
            importlib.import_module(module.name)
    assert Path(sys.modules[package].__file__).is_relative_to(site), sys.modules[package].__file__

from sql import statements
assert statements.migrations() and statements.query_names()
for name in statements.query_names(): assert statements.query(name)
for name in statements.VIEWS: assert statements.view(name)
for name in statements.WRITES: assert statements.write(name)

sys.argv = ["spanverdict", "--help"]
from spanverdict.cli import main
main(prog_name="spanverdict")
"""


def test_the_installed_wheel_works_without_development_tools(built: Built, tmp_path: Path) -> None:
    """From the wheel alone, with only what is installed with it, every module imports and the command answers."""
    hidden = development_only()
    assert {"pytest", "hypothesis", "openai", "opentelemetry.sdk"} <= set(hidden)
    assert not {"duckdb", "grpc", "polars", "opentelemetry.proto"} & set(hidden)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *map(json.dumps, (hidden, str(built.site), PACKAGES, OF_EXTRAS))],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(built.site)}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Did the fine-tuned model regress" in done.stdout


def test_the_installed_command_makes_a_store(built: Built, tmp_path: Path) -> None:
    """Installed from the wheel, the store's schema is found: a promotion can be registered and asked for."""
    make = "from pathlib import Path; from sql.store import Store; Store(Path('s.duckdb')).close()"
    environment = {**os.environ, "PYTHONPATH": str(built.site)}
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, env=environment, check=True, timeout=60)
    query = "SELECT count(*) AS n FROM llm_calls"
    command = [sys.executable, "-m", "spanverdict", "sql", query, "--db", "s.duckdb", "--format", "csv"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "n\n0\n"), done.stderr
