"""Examples run in a process of their own, as a user runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def run_quick() -> Callable[[str, Path], tuple[dict[str, float], str]]:
    """Runs an example in its quick preset; returns the numbers that it returns, and what it prints."""

    def run(name: str, folder: Path) -> tuple[dict[str, float], str]:
        code = (
            "import json, runpy, sys;"
            "numbers = runpy.run_path(sys.argv[1])['main'](['--quick', '--output', sys.argv[2]]);"
            "print(json.dumps(numbers))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(EXAMPLES / f"{name}.py"), str(folder)],
            capture_output=True,
            text=True,
            # Training is long enough here for optimized code to pay.
            env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"},
            check=True,
        )
        printed, _, numbers = done.stdout.rstrip().rpartition("\n")
        return json.loads(numbers), printed

    return run
