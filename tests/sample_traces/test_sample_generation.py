"""Running the generator again gives the committed bytes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "sample_traces"
# With other versions the libraries may rightly emit something else.
WRITTEN_WITH = {
    "openinference-instrumentation-openai": "0.1.66",
    "opentelemetry-instrumentation-genai-openai": "1.3b0",
    "opentelemetry-instrumentation-openai": "0.62.4",
    "opentelemetry-sdk": "1.45.2",
    "openai": "3.54.0",
}


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_generator_writes_the_committed_files(tmp_path: Path) -> None:
    """The default seed gives every data file again, byte for byte."""
    missing = {name: _installed(name) for name, version in WRITTEN_WITH.items() if _installed(name) != version}
    if missing or importlib.util.find_spec("time_machine") is None:
        pytest.skip(f"needs the samples extra in the versions that wrote the files; here: {missing}")
    subprocess.run([sys.executable, "-m", "sample_traces.generate", "--out", str(tmp_path)], check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(written) == 9
    assert written == {name: (SAMPLE / name).read_bytes() for name in written}
