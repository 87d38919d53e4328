"""Who may import whom is who may know what: a table of rooms, no circle of files, and tests that these tests can fail."""

import ast
import functools
import graphlib
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "superalign"
EVERYTHING = {"*"}
BELOW = {
    "canonical", "control", "detectors", "early", "explanations", "files", "gate", "inputs", "interp", "jobs", "ledger",
    "models", "monitors", "organisms", "oversight", "policy_names", "problems", "prompting", "report", "researcher",
    "runner", "sealed_folder", "settings", "stats", "train", "trials", "types", "vault",
}  # fmt: skip
# Numbers of the house that may only fall. `lines` are of Python under src.
MOST = {
    "lines": 89_410,
    "functions of more than 60 lines": 10,
    "fmt: skip": 32,
    "lines of a study": 550,
    "percent of a room": 20,
}
# Files of lab that hold a shape of evidence and the parts of a page that show it.
SHAPES = {
    "lab.arm_names",
    "lab.compliance",
    "lab.critic_race",
    "lab.critic_reward",
    "lab.exam_parts",
    "lab.exposed_pairs",
    "lab.given_prompts",
    "lab.overoptimisation",
    "lab.overseen",
    "lab.pace",
    "kit.panel",
    "lab.people_page",
    "lab.planted_page",
    "lab.players",
    "lab.responses",
    "lab.research_parts",
    "lab.right_answers",
    "lab.stated",
    "lab.to_read",
    "lab.trained",
    "lab.unit_rows",
}
# What the files of a study may import beside their own study's evidence and settings.
FILES = {
    "study": {"kit.study", "errors", "types"},
    "evidence": {"types", "stats", "trials", "kit.evidence", *SHAPES},
    "page": {
        "types",
        "stats",
        "report",
        "trials",
        "lab.detection_page",
        "kit.evidence",
        "kit.parts",
        "lab.outside_page",
        "lab.side_by_side",
        *SHAPES,
    },
}
OWN = {"study": set(), "evidence": {"study"}, "page": {"evidence"}, "measure": {"study", "evidence"}}
# Studies that are not four files yet. Only ever shorter.
WHOLE: set[str] = set()
# They import by a name that is given: a module of the user's; the files of the study that was asked for.
PLUG_INS = {"lab/own_overseer.py", "kit/study.py", "lookup.py"}

# Room -> the rooms it may import. `errors` is open to all: it knows nothing.
TABLE: dict[str, set[str]] = {
    "errors": set(),
    "canonical": set(),
    "types": {"canonical"},
    "stats": {"types"},
    "files": set(),  # files written whole or not at all: it knows nothing
    "sealed_folder": {"canonical", "files"},  # folders that people pass to one another, whatever is in them
    "ledger": {"types", "files"},
    "named_models": set(),  # which models have a name, where they come from and where they lie
    "prompting": set(),  # how a model is prompted, as its name says it
    "inputs": {"named_models", "prompting"},  # digests of files, whoever names them
    "settings": {"types"},  # bounds, files and words of settings, whatever they are of
    "jobs": {"types", "inputs", "files"},
    "policy_names": {"named_models", "prompting"},  # what names of models mean, told without opening any
    "models": {"types", "files", "named_models", "policy_names", "prompting"},
    "problems": {"types"},
    "early": {
        "control",
        "policy_names",
        "problems",
        "prompting",
        "sealed_folder",
    },  # what is refused before anything heavy is imported
    "oversight": {"types", "stats", "models", "files", "policy_names"},
    "train": {"types", "stats", "models", "files"},
    "explanations": {"types", "stats"},  # programs that say what a unit responds to: from activations and text alone
    "interp": {"types", "stats", "models", "explanations"},
    "control": {"types"},  # it holds code that nobody trusts, whoever wrote it and why
    "runner": {"types", "control"},  # it has inputs; neither answers, nor what is thought of an artefact
    "monitors": {"types", "files", "runner"},  # they see code and traces, and no answer
    "gate": {"types", "stats", "ledger"},
    "report": {"types", "stats", "ledger"},
    "researcher": {"types", "stats", "ledger", "jobs", "control"},
    "organisms": {"types", "stats", "files", "models", "problems", "train"},
    "detectors": {"types", "stats", "models", "interp"},
    "trials": {
        "policy_names",
        "types",
        "stats",
        "models",
        "problems",
        "oversight",
        "interp",
        "control",
        "organisms",
        "detectors",
    },
    "vault": {
        "types",
        "stats",
        "models",
        "problems",
        "oversight",
        "interp",
        "control",
        "runner",
        "monitors",
        "organisms",
        "detectors",
        "trials",
        "ledger",
        "files",
        "jobs",
        "train",
    },
    "serve": {"types", "stats", "ledger", "models", "control", "gate", "report"},
    "runs": {
        "canonical",
        "files",
        "inputs",
        "types",
        "jobs",
        "ledger",
        "report",
        "settings",
    },  # it is given a study, and knows none
    "grants": {"types", "stats", "models", "problems", "oversight", "interp", "organisms", "detectors"},
    # What every study is made of, one of one's own too: it cannot touch a model, a problem or an answer.
    "kit": {"settings", "types", "stats", "ledger", "jobs", "report", "gate", "trials"},
    "lab": BELOW | {"grants", "kit"},  # what studies share knows no study, and not how one is run
    "studies": BELOW | {"lab", "grants", "kit"},
    "lookup": {"kit", "runs", "settings", "studies"},  # from a name to a study
    "options": set(),
    "exits": {"runs"},  # how a command ends
    "cli_packs": {"exits", "lab", "options", "policy_names", "sealed_folder"},
    "cli_units": {"exits", "explanations", "files", "interp", "models", "options", "policy_names", "report"},
    "cli_models": {"exits", "models", "named_models", "policy_names"},
    "cli_try": {"exits", "kit", "lab", "researcher", "types"},
    "cli_vault": {
        "cli_try",
        "control",
        "early",
        "exits",
        "kit",
        "lab",
        "ledger",
        "monitors",
        "studies",
        "types",
        "vault",
    },
    "cli": EVERYTHING,
    "__main__": {"cli"},
}
TORCH_FREE = (
    "errors",
    "canonical",
    "explanations",
    "inputs",
    "files",
    "sealed_folder",
    "types",
    "stats",
    "ledger",
    "jobs",
    "policy_names",
    "problems",
    "settings",
    "early",
    "gate",
    "report",
    "cli",
    "cli_try",
    "cli_units",
    "cli_vault",
    "control",
    "monitors",
    "researcher",
    "runner",
    "lookup",
    "runs",
    "__main__",
)
HEAVY = {"torch", "transformers", "tokenizers", "peft", "accelerate", "trl"}


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every name that a file imports anywhere, in full: at the top, inside functions, under TYPE_CHECKING.

    A name that is computed when the program runs may be any: it is `superalign.*`.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            found |= {str(a.value) if isinstance(a, ast.Constant) else "superalign.*" for a in node.args[:1]}
    return frozenset(found)


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


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
            if module == "superalign.*" and path.relative_to(source).as_posix() in PLUG_INS:
                continue
            if parts[0] == "superalign" and "*" not in allowed and len(parts) > 1 and parts[1] not in allowed:
                wrong.append(f"{path.relative_to(source)} imports {module}")
    return wrong


def rooms(source: Path) -> dict[str, set[str]]:
    """Which other rooms each room imports."""
    graph: dict[str, set[str]] = {}
    for path in source.rglob("*.py"):
        here = room(path, source)
        used = {m.split(".")[1] for m in imports(path) if m.startswith("superalign.")}
        graph.setdefault(here, set()).update(used - {here})
    graph.pop("__init__", None)
    return graph


def files(source: Path) -> dict[str, set[str]]:
    """Which files each file imports; a name that is no file stands for the package that it is taken from."""
    names = {
        ".".join(("superalign", *path.relative_to(source).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in source.rglob("*.py")
    }

    def file_of(name: str) -> str:
        return name if name in names or "." not in name else file_of(name.rpartition(".")[0])

    return {here: {file_of(m) for m in imports(path) if m.startswith("superalign.")} for here, path in names.items()}


def circle(graph: Mapping[str, set[str]]) -> str:
    """One circle of rooms or files that import each other, directly or through others; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return ""


def heavy(source: Path) -> list[str]:
    """Imports of what is slow to import, in rooms that do without."""
    return [
        f"{path.relative_to(source)} imports {module}"
        for path in source.rglob("*.py")
        if room(path, source) in TORCH_FREE
        for module in imports(path)
        if module.split(".")[0] in HEAVY
    ]


def crossings(source: Path) -> set[tuple[str, str]]:
    """Studies that import another one: (importing, imported)."""
    found = set()
    for path in (source / "studies").rglob("*.py"):
        here = path.relative_to(source / "studies").parts[0]
        parts = [m.split(".") for m in imports(path) if m.startswith("superalign.studies.")]
        found |= {(here, p[2]) for p in parts if p[2] != here and (source / "studies" / p[2]).is_dir()}
    return found


def misfits(source: Path, whole: set[str]) -> list[str]:
    """Studies that are not the same four files, and files of one that import what they must not know."""
    found = []
    for folder in sorted(
        p for p in (source / "studies").iterdir() if p.is_dir() and p.name not in {*whole, "__pycache__"}
    ):
        here = {p.stem for p in folder.glob("*.py")} - {"__init__"}
        if here != set(OWN):
            found.append(f"{folder.name} is made of {', '.join(sorted(here))}")
        for name in here & set(OWN):
            allowed = {f"superalign.{m}" for m in FILES.get(name, set())}
            own = f"superalign.studies.{folder.name}"
            for module in imports(folder / f"{name}.py"):
                inside = module.startswith(f"{own}.") and module.split(".")[3] in OWN[name]
                known = name == "measure" and not module.startswith("superalign.studies.")
                if module.startswith("superalign.") and not inside and not known:
                    found += (
                        []
                        if any(f"{module}.".startswith(f"{a}.") for a in allowed)
                        else [f"{folder.name}/{name}.py: {module}"]
                    )
            if name == "page" and "Mapping[str, Any]" in (folder / "page.py").read_text():
                found.append(f"{folder.name}/page.py reads an untyped dictionary")
    return found


def measures(source: Path) -> dict[str, int]:
    """What may only fall."""
    lines = {path: path.read_text().splitlines() for path in source.rglob("*.py")}
    whole = dict.fromkeys({path.relative_to(source).parts[0] for path in lines}, 0)
    studies: dict[str, int] = {}
    for path, text in lines.items():
        parts = path.relative_to(source).parts
        whole[parts[0]] += len(text)
        if parts[0] == "studies" and len(parts) > 2:
            studies[parts[1]] = studies.get(parts[1], 0) + len(text)
    functions = [
        node
        for text in lines.values()
        for node in ast.walk(ast.parse("\n".join(text)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        "lines": sum(whole.values()),
        "functions of more than 60 lines": sum((f.end_lineno or 0) - f.lineno + 1 > 60 for f in functions),
        "fmt: skip": sum("# fmt: skip" in line for text in lines.values() for line in text),
        "lines of a study": max(studies.values(), default=0),
        "percent of a room": round(100 * max(whole.values()) / sum(whole.values())),
    }


def write(source: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (source / name).parent.mkdir(exist_ok=True, parents=True)
        (source / name).write_text(text)


def test_every_import_is_in_the_table() -> None:
    assert violations(SOURCE, TABLE) == []


def test_rooms_do_not_import_each_other_in_circles() -> None:
    assert circle(rooms(SOURCE)) == ""


def test_files_do_not_import_each_other_in_circles() -> None:
    assert circle(files(SOURCE)) == ""


def test_a_study_imports_no_other() -> None:
    assert crossings(SOURCE) == set()


def test_that_studies_do_not_cross_can_fail(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"studies/a/study.py": "def f():\n    from superalign.studies.b.page import page", "studies/b/page.py": ""},
    )
    assert crossings(tmp_path) == {("a", "b")}


def test_studies_are_the_same_four_files_and_a_page_sees_evidence_alone() -> None:
    assert misfits(SOURCE, WHOLE) == []
    assert {p.name for p in (SOURCE / "studies").iterdir()} >= WHOLE


@pytest.mark.parametrize(
    "text",
    [
        "from superalign.models import base",
        "def f():\n    from superalign.problems import load",
        "from superalign.studies.a.measure import measure",
        "from superalign.kit.run import Run",
        "x: Mapping[str, Any]",
    ],
)
def test_that_a_page_sees_evidence_alone_can_fail(tmp_path: Path, text: str) -> None:
    write(tmp_path, {f"studies/a/{name}.py": "" for name in OWN} | {"studies/a/page.py": text})
    assert len(misfits(tmp_path, set())) == 1
    assert misfits(tmp_path, {"a"}) == []
    (tmp_path / "studies" / "a" / "evidence.py").unlink()
    assert misfits(tmp_path, set())[0] == "a is made of measure, page, study"


def test_the_house_only_shrinks() -> None:
    found = measures(SOURCE)
    assert {name: value for name, value in found.items() if value > MOST[name]} == {}


def test_that_it_shrinks_can_fail(tmp_path: Path) -> None:
    long = "def f():\n" + "    x = 1\n" * 60
    write(tmp_path, {"stats/a.py": "x = 1  # fmt: skip\n", "studies/a/study.py": long})
    assert measures(tmp_path) == {
        "lines": 62, "functions of more than 60 lines": 1, "fmt: skip": 1, "lines of a study": 61, "percent of a room": 98,
    }  # fmt: skip


def test_torch_free_rooms_import_nothing_heavy() -> None:
    assert heavy(SOURCE) == []


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
    write(tmp_path, {"oversight/judges/judge.py": text})
    assert violations(tmp_path, TABLE) != []


@pytest.mark.parametrize(
    "text",
    [
        "from superalign.studies import STUDIES",
        "def f():\n    from superalign.studies.loop.study import Config",
        "import importlib\nimportlib.import_module('superalign.studies.loop.study')",
        "from importlib import import_module\ndef f(name):\n    return import_module(name)",
    ],
)
def test_that_runs_know_no_study_can_fail(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"runs/running.py": text})
    assert violations(tmp_path, TABLE) != []


def test_the_cycle_test_can_fail(tmp_path: Path) -> None:
    write(
        tmp_path, {"stats.py": "from superalign.types import Claim", "types.py": "from superalign.stats import wilson"}
    )
    assert circle(rooms(tmp_path)) != ""


@pytest.mark.parametrize("room", ["models", "studies", "runs"])
@pytest.mark.parametrize(
    "back",
    [
        "from superalign.{room}.a import f",
        "from superalign.{room} import a",
        "from superalign.{room} import f",
        "import superalign.{room}.a",
        "def f():\n    from superalign.{room}.a import f",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from superalign.{room}.a import f",
    ],
)
def test_the_test_of_files_can_fail(tmp_path: Path, room: str, back: str) -> None:
    texts = {"__init__": "from superalign.{room}.a import f", "a": "from superalign.{room} import b", "b": back}
    write(tmp_path, {f"{room}/{name}.py": text.format(room=room) for name, text in texts.items()})
    assert circle(files(tmp_path)) != ""


def test_the_test_of_heavy_imports_can_fail(tmp_path: Path) -> None:
    write(tmp_path, {"stats.py": "def f():\n    from torch import nn"})
    assert heavy(tmp_path) == ["stats.py imports torch.nn"]


def test_types_is_small() -> None:
    pages = {path.name: len(path.read_text().splitlines()) for path in (SOURCE / "types").glob("*.py")}
    assert max(pages.values()) <= 120
    assert sum(pages.values()) - pages["__init__.py"] <= 420
