"""The README's example runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from superalign.studies import STUDIES

README = Path(__file__).parents[1] / "README.md"


def test_the_first_study_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "right by right steps: Interval(value=" in done.stdout


def test_files_that_pages_name_exist() -> None:
    for page in (README, *(README.parent / "docs").rglob("*.md")):
        for name in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / name).exists(), f"{page.name} names {name}"


def test_every_study_has_a_page_or_is_named_in_one() -> None:
    pages = "\n".join(p.read_text() for p in (README, *(README.parent / "docs").rglob("*.md")))
    for name in STUDIES:
        assert re.search(rf"`?superalign (run )?{name}\b|`run {name}`", pages), name
