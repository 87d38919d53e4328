"""The README's example runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_first_study_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "right by right steps: Interval(value=" in done.stdout


def test_files_that_the_readme_names_exist() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / name).exists(), name
