"""The example project in an environment of its own, with nothing of ours but the built wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import AnyStack

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "pipeline_tests"


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(900)
def test_the_example_passes_with_the_wheel_alone(
    stack: AnyStack, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    if uv is None:
        pytest.skip("uv, which builds the wheel, is not installed")
    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    wanted = (f"{wheel}[harness]", "pytest-timeout")
    run(uv, "pip", "install", "--quiet", "--python", python, *wanted, cwd=tmp_path)
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    (project / ".tailrace").symlink_to(stack.folder.parent)  # the stack that runs here already
    same = (f"--stack={pytestconfig.getoption('--stack')}", "-o", "stack_per_worker=true")
    told = run(python, "-m", "pytest", "-q", *same, "-p", "no:cacheprovider", cwd=project)
    assert "4 passed" in told
