"""Write docs/map.md: where each study stands, and what one opens to change it.

    python tools/map.py            # write it; a test compares

The cost of changing a study is how many files one may have to read before the general rooms begin (types, stats, models,
oversight and so on, and the kit that every study is made of): its own, and those of lab and grants that it imports,
directly or through others.
"""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "superalign"
SPECIAL = ("lab", "grants", "studies")  # rooms that are not general


def imported(path: Path) -> set[Path]:
    """Files of the special rooms that a file imports anywhere."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "superalign" and len(parts) > 2 and parts[1] in SPECIAL:
                file = SOURCE.joinpath(*parts[1:]).with_suffix(".py")
                found |= {file} if file.exists() else set()
    return found


def closure(study: Path) -> set[Path]:
    """All files of special rooms that a study's folder needs, its own among them."""
    found: set[Path] = set()
    waiting = [p for p in study.glob("*.py") if p.name != "__init__.py"]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    return found


def lines(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text().splitlines())


def question(study: Path) -> str:
    """What a study asks, in its own words."""
    for node in ast.parse((study / "study.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DESCRIPTION":
            return str(ast.literal_eval(node.value))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STUDY":
            given = {k.arg: k.value for k in node.value.keywords} if isinstance(node.value, ast.Call) else {}
            return str(ast.literal_eval(given["question"]))
    raise SystemExit(f"{study} does not say what it asks: its study.py has no STUDY with a question.")


def text() -> str:
    """Everything that docs/map.md says."""
    rows, costs = [], []
    for study in sorted(p for p in (SOURCE / "studies").iterdir() if (p / "study.py").exists()):
        name = study.name.replace("_", "-")
        own = sorted(p for p in study.glob("*.py") if p.name != "__init__.py")
        costs.append(len(closure(study)))
        page = f"studies/{name}.md"
        tests = ROOT / "tests" / "studies" / study.name
        rows.append(
            f"| `superalign run {name}` | {question(study).rstrip('.')} | {', '.join(p.stem for p in own)} "
            f"| {sum(map(lines, own))} | {costs[-1]} | {f'[page]({page})' if (ROOT / 'docs' / page).exists() else ''} "
            f"| {', '.join(p.stem for p in sorted(tests.glob('test_*.py')))} |"
        )
    head = (
        "# Map of the studies\n\nOne name everywhere: `superalign run NAME` is `src/superalign/studies/NAME/` (hyphens become "
        "underscores), `docs/studies/NAME.md`\nand `tests/studies/NAME/`. Written by `python tools/map.py`; a test holds it to "
        "the tree.\n\n"
        "To change a study one may have to read this many files before the general rooms begin: median "
        f"**{statistics.median(costs):g}**, largest {max(costs)}.\n\n"
        "| command | question | files | lines | files to read | page | tests |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "map.md").write_text(text())
