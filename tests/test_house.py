"""Who may import whom is who may know what: the table, a test of it, and a test that this test can fail."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "superalign"
EVERYTHING = {"*"}

# Room -> the rooms it may import. `errors` is open to all: it knows nothing.
TABLE: dict[str, set[str]] = {
    "errors": set(),
    "canonical": set(),
    "types": {"canonical"},
    "stats": {"types"},
    "ledger": {"types"},
    "inputs": set(),  # digests of files, whoever names them: it knows nothing
    "jobs": {"types", "inputs"},
    "models": {"types"},
    "problems": {"types"},
    "oversight": {"types", "stats", "models"},
    "train": {"types", "stats", "models"},
    "interp": {"types", "stats", "models"},
    "control": {"types", "stats", "models"},
    "gate": {"types", "stats", "ledger"},
    "report": {"types", "stats", "ledger"},
    "researcher": {"types", "stats", "ledger", "jobs", "control"},
    "organisms": {"types", "stats", "models", "problems", "train"},
    "detectors": {"types", "stats", "models", "interp"},
    "trials": {"types", "stats", "models", "problems", "oversight", "interp", "control", "organisms", "detectors"},
    "vault": {
        "types",
        "stats",
        "models",
        "problems",
        "oversight",
        "interp",
        "control",
        "organisms",
        "detectors",
        "trials",
        "ledger",
        "jobs",
        "train",
    },
    "serve": {"types", "stats", "ledger", "models", "control", "gate", "report"},
    "runs": EVERYTHING,
    "recipes": EVERYTHING,
    "cli": EVERYTHING,
    "__main__": {"cli"},
}
TORCH_FREE = (
    "errors",
    "canonical",
    "inputs",
    "types",
    "stats",
    "ledger",
    "jobs",
    "problems",
    "gate",
    "report",
    "cli",
    "runs",
    "__main__",
)
HEAVY = {"torch", "transformers", "tokenizers", "peft", "accelerate", "trl"}


def imports(path: Path, package: str = "superalign") -> set[str]:
    """Every module a file imports anywhere: at the top, inside functions, under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from superalign import x` names a room too.
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == package
                else {node.module or ""}
            )
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "import_module",
            "__import__",
        ):
            found |= {str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)}
    return found


def room(path: Path, source: Path) -> str:
    return path.relative_to(source).parts[0].removesuffix(".py")


def violations(source: Path, table: dict[str, set[str]]) -> list[str]:
    wrong = []
    for path in sorted(source.rglob("*.py")):
        here = room(path, source)
        if here == "__init__":
            continue
        if here not in table:
            wrong.append(f"{path.relative_to(source)}: the room {here} is not in the table")
            continue
        allowed = table[here] | {here, "errors", "__version__"}
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "superalign" and "*" not in allowed and len(parts) > 1 and parts[1] not in allowed:
                wrong.append(f"{path.relative_to(source)} imports {module}")
    return wrong


def cycles(source: Path) -> list[str]:
    """Rooms that import each other, directly or through others."""
    graph: dict[str, set[str]] = {}
    for path in source.rglob("*.py"):
        here = room(path, source)
        used = {m.split(".")[1] for m in imports(path) if m.startswith("superalign.")}
        graph.setdefault(here, set()).update(u for u in used if u != here)
    graph.pop("__init__", None)
    found: list[str] = []

    def visit(node: str, trail: tuple[str, ...]) -> None:
        if node in trail:
            found.append(" -> ".join((*trail[trail.index(node) :], node)))
            return
        for following in sorted(graph.get(node, ())):
            visit(following, (*trail, node))

    for start in sorted(graph):
        visit(start, ())
    return found


def test_every_import_is_in_the_table() -> None:
    assert violations(SOURCE, TABLE) == []


def test_rooms_do_not_import_each_other_in_circles() -> None:
    assert [c for c in cycles(SOURCE) if not c.startswith(("recipes", "cli", "runs"))] == []


def test_torch_free_rooms_import_nothing_heavy() -> None:
    bad = [
        f"{path.relative_to(SOURCE)} imports {module}"
        for path in SOURCE.rglob("*.py")
        if room(path, SOURCE) in TORCH_FREE
        for module in imports(path)
        if module.split(".")[0] in HEAVY
    ]
    assert bad == []


@pytest.mark.parametrize(
    "text",
    [
        "from superalign.problems import load",
        "import superalign.problems.arithmetic",
        "def f():\n    from superalign.problems.family import Grade",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from superalign.problems import Grade",
        "from superalign import problems",
        "import importlib\nimportlib.import_module('superalign.problems')",
    ],
)
def test_the_table_test_can_fail(tmp_path: Path, text: str) -> None:
    (tmp_path / "oversight").mkdir()
    (tmp_path / "oversight" / "judge.py").write_text(text)
    assert violations(tmp_path, TABLE) != []


def test_the_cycle_test_can_fail(tmp_path: Path) -> None:
    (tmp_path / "stats.py").write_text("from superalign.types import Interval")
    (tmp_path / "types.py").write_text("from superalign.stats import wilson")
    assert cycles(tmp_path) != []


def test_types_is_small() -> None:
    assert len((SOURCE / "types.py").read_text().splitlines()) <= 300
