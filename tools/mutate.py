"""Change one thing at a time in the files that every number rests on, and see whether the room's own fast tests notice.

    make mutate                          # twelve changes a file, chosen at random with a seed
    make mutate ARGS="--each 0"          # every change: days
    make mutate ARGS="--only stats/power --again"

The changes are cosmic-ray's: a comparison, a sign, a constant, and / or, true / false, not. One for each place that is drawn.
Annotations and decorators are left alone: no rule stands there. It works in a copy of the tree, keeps every result in a session
under --out, and goes on there when it is started again; `--again` asks again about what was not caught, after a test was written.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import hashlib
import importlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).resolve().parent.parent
SRC = "src/superalign"
# File -> its room's own tests. What only other rooms' tests would catch counts as not caught.
TESTS = {
    "gate/rule": "gate/test_rule",
    "trials/calibration": "trials/test_calibration",
    "trials/combination": "trials/test_calibration",
    "trials/unsealed": "trials/test_calibration",
    "trials/stopping": "trials/test_stopping",
    "organisms/acceptance": "organisms/test_acceptance_edges",
    "report/claims": "report/test_claims",
    "oversight/judges/judge": "oversight/judges/test_judge",
    "problems/arithmetic": "problems/test_graders",
    "problems/claims": "problems/test_graders",
    "problems/programs": "problems/test_graders",
    "problems/host": "problems/test_graders",
    "problems/family": "problems/test_graders",
    "train/losses": "train/test_losses",
    **{f"stats/{name}": f"stats/test_pinned stats/test_{name}" for name in (
        "comparisons", "elo", "inputs", "means", "power", "proportions", "ranking", "recall", "resampling", "scaling_curve",
        "sequential",
    )},
}  # fmt: skip
ORDERED = "Eq|NotEq|Lt|LtE|Gt|GtE"
CHANGES = re.compile(
    rf"core/(ReplaceComparisonOperator_(({ORDERED})_({ORDERED})|Is_IsNot|IsNot_Is)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul|BitAnd_BitOr|BitOr_BitAnd)"
    r"|ReplaceUnaryOperator_\w+|NumberReplacer|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceTrueWithFalse|ReplaceFalseWithTrue|AddNot)"
)


def main() -> None:
    """Draw changes, try them, and print what was caught as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=12, help="changes a file; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument("--again", action="store_true", help="ask again about what was not caught")
    parser.add_argument("--show", action="store_true", help="try nothing, print what is there")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutate", help="folder of the sessions")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    names = [n for n in TESTS if given.only in n]
    if not given.show:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            for part in ("src", "tests"):
                shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", copy)
            os.chdir(copy)
            sys.path.insert(0, str(copy / "src"))
            os.environ["PYTHONPATH"] = str(copy / "src")
            os.environ["OMP_NUM_THREADS"] = "1"
            for heavy in (
                "hypothesis",
                "beartype",
                "jaxtyping",
                "scipy.stats",
                "scipy.optimize",
                "sklearn.metrics",
                "torch",
                "transformers",
            ):
                with contextlib.suppress(ImportError):
                    importlib.import_module(heavy)
            for name in names:
                attempt(name, given)
    table(names, given)


def session(name: str, given: argparse.Namespace) -> Path:
    """Where results of this text of a file are kept."""
    digest = hashlib.sha256((ROOT / SRC / f"{name}.py").read_bytes()).hexdigest()[:8]
    return Path(given.out) / f"{name.replace('/', '.')}-{given.each}-{given.seed}-{digest}.sqlite"


def attempt(name: str, given: argparse.Namespace) -> None:
    """Try every drawn change of one file that has no result yet."""
    path, tests = Path(SRC) / f"{name}.py", [f"tests/{test}.py" for test in TESTS[name].split(" ")]
    # The parent has imported pytest's plugins already, which they warn of.
    arguments = ["-q", "-x", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests, str(path)]
    kept = session(name, given)
    fresh = not kept.exists()
    with use_db(str(kept), WorkDB.Mode.create) as db:
        if fresh:
            init([path], db, {})
            draw(db, path, given)
        if given.again:
            alive = [job for job, result in db.results if result.test_outcome == TestOutcome.SURVIVED]
            db.set_multiple_results(alive, WorkResult(worker_outcome=WorkerOutcome.NO_TEST))
        todo = list(waiting(db))
        if not todo:
            return
        started = time.monotonic()
        sys.dont_write_bytecode = False  # what does not change is compiled once
        if passing(arguments, limit_s=3600) is not True:
            sys.exit(
                f"The tests of {name} fail without any change. Nothing could be told from their failing. Mend them first."
            )
        sys.dont_write_bytecode = True  # two changes of one second and one size would look the same
        limit = 60 + 10 * (time.monotonic() - started)  # an endless loop is caught, a busy machine is not
        for n, item in enumerate(todo, start=1):
            (change,) = item.mutations
            operator = get_operator(change.operator_name)()
            with use_mutation(change.module_path, operator, change.occurrence) as (before, after):
                passed = passing(arguments, limit_s=limit)
            result = WorkResult(
                worker_outcome=WorkerOutcome.NORMAL,
                test_outcome=TestOutcome.SURVIVED if passed else TestOutcome.KILLED,
                output="timeout" if passed is None else "",
                diff="\n".join(difflib.unified_diff(before.splitlines(), (after or "").splitlines(), lineterm="", n=0)),
            )
            db.set_result(item.job_id, result)
            print(f"{name} {n}/{len(todo)} {result.test_outcome}", flush=True)


def passing(arguments: list[str], *, limit_s: float) -> bool | None:
    """Whether tests pass, in a fork that has everything imported but the package; None if they do not end in time."""
    child = os.fork()
    if not child:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = 99  # whatever ends it otherwise is a failure too
        try:
            code = int(pytest.main(arguments))
        finally:
            os._exit(code)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def waiting(db: WorkDB) -> Iterator[WorkItem]:
    """Items without a result."""
    done = {job for job, result in db.results if result.worker_outcome != WorkerOutcome.NO_TEST}
    return (item for item in db.work_items if item.job_id not in done)


def draw(db: WorkDB, path: Path, given: argparse.Namespace) -> None:
    """Keep one change at each of some places, and mark all others as skipped."""
    elsewhere = silent(path)
    places: dict[tuple[int, int], list[WorkItem]] = {}
    for item in db.work_items:
        (change,) = item.mutations
        if CHANGES.fullmatch(change.operator_name) and not any(a <= change.start_pos < b for a, b in elsewhere):
            places.setdefault(change.start_pos, []).append(item)
    rng = random.Random(f"{given.seed} {path}")
    chosen = rng.sample(sorted(places), min(given.each, len(places))) if given.each else sorted(places)
    kept = {rng.choice(sorted(places[p], key=order)).job_id for p in chosen} if given.each else {
        item.job_id for p in chosen for item in places[p]
    }  # fmt: skip
    others = [item.job_id for item in db.work_items if item.job_id not in kept or star(item, path)]
    db.set_multiple_results(others, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def star(item: WorkItem, path: Path) -> bool:
    """Whether a change is of the star before keyword-only arguments, which cosmic-ray takes for a product."""
    line, column = item.mutations[0].start_pos
    return path.read_text().splitlines()[line - 1][column : column + 2] == "*,"


def order(item: WorkItem) -> tuple[str, int]:
    """The same in every session; job ids are not."""
    change: MutationSpec = item.mutations[0]
    return change.operator_name, change.occurrence


def silent(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations and decorators stand: from and to (line, column)."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            found += [x for x in (node.returns, *(a.annotation for a in arguments)) if x is not None]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found += node.decorator_list
    return [((x.lineno, x.col_offset), (x.end_lineno or 0, x.end_col_offset or 0)) for x in found]


def table(names: list[str], given: argparse.Namespace) -> None:
    """Print how many changes of each file were caught, and each that was not."""
    sys.path.insert(0, str(ROOT / "src"))
    from superalign.stats import clopper_pearson

    print("\n| file | tried | caught | of these by time | not caught |\n|---|---|---|---|---|")
    tried = caught = 0
    left: list[str] = []
    for name in names:
        kept = session(name, given)
        if not kept.exists():
            continue
        with use_db(str(kept), WorkDB.Mode.open) as db:
            done = [r for _, r in db.results if r.worker_outcome == WorkerOutcome.NORMAL]
        alive = [r for r in done if r.test_outcome == TestOutcome.SURVIVED]
        late = sum(r.output == "timeout" for r in done)
        tried, caught = tried + len(done), caught + len(done) - len(alive)
        print(f"| {name} | {len(done)} | {len(done) - len(alive)} | {late} | {len(alive)} |")
        for r in alive:
            lines = [x for x in (r.diff or "").splitlines() if x[:1] in "+-" and x[:3] not in ("+++", "---")]
            at = re.search(r"@@ -(\d+)", r.diff or "")
            left.append(f"{name} line {at[1] if at else '?'}\n    " + "\n    ".join(lines))
    print(f"\ncaught {caught} of {tried}: {clopper_pearson(caught, n=tried)}")
    print("\n".join(["", *left]))


if __name__ == "__main__":
    main()
