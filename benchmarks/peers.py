"""What spanverdict, Phoenix and MLflow make of the same spans: tokens and cost of each trace, beside the truth.

    python benchmarks/peers.py --fixtures DIR --phoenix PYTHON --mlflow PYTHON
    python benchmarks/peers.py --fixtures DIR --install

PYTHON is the interpreter of an environment that has the package (`arize-phoenix`, `mlflow`); `--install` makes both in
a temporary folder. A peer that is named by neither is not run, and the table says so. Prints the table of
docs/comparison.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from peer_cases import Case, load_cases
from peer_products import mlflow, phoenix, spanverdict
from peer_table import Product, table
from peer_truth import Usage

PACKAGES = {"phoenix": "arize-phoenix", "mlflow": "mlflow"}
NAMES = {"phoenix": "Phoenix", "mlflow": "MLflow"}
RUNS: dict[str, Callable[[Path, Sequence[Case], Path], Mapping[str, Usage]]] = {"phoenix": phoenix, "mlflow": mlflow}


def install(name: str, folder: Path) -> Path:
    """Make an environment with a peer's package; returns its interpreter."""
    print(f"Installing {PACKAGES[name]} …", file=sys.stderr)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "--quiet", "install", PACKAGES[name]], check=True, timeout=1800)
    return python


def version(python: Path, package: str) -> str | None:
    """The version of a package in an environment; None if it is not installed there."""
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else None


def run_peer(name: str, python: Path | None, cases: Sequence[Case], folder: Path) -> Product:
    """Run one peer on the cases, if it is there."""
    told = version(python, PACKAGES[name]) if python else None
    if python is None or told is None:
        return Product(NAMES[name], "not installed", None)
    print(f"Running {NAMES[name]} {told} …", file=sys.stderr)
    folder.mkdir()
    return Product(NAMES[name], told, RUNS[name](python, cases, folder))


def main() -> None:
    """Run the products one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixtures", type=Path, required=True, help="folder with generated-matrix/ and langfuse/")
    for name, package in PACKAGES.items():
        parser.add_argument(f"--{name}", type=Path, help=f"interpreter of an environment with {package}")
    parser.add_argument("--install", action="store_true", help="install the peers that are not named")
    given = parser.parse_args()
    cases = load_cases(given.fixtures)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        products = [Product("spanverdict", metadata.version("spanverdict"), spanverdict(cases, folder))]
        for name in PACKAGES:
            python = getattr(given, name)
            if python is None and given.install:
                python = install(name, folder / f"{name}-environment")
            products.append(run_peer(name, python, cases, folder / name))
    print("; ".join(f"{product.name} {product.version}" for product in products), end="\n\n")
    print(table(cases, products))


if __name__ == "__main__":
    main()
