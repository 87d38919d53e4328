"""The command `superalign vault try`: a person at a terminal as a researcher, before the same vault and by the same rules."""

from __future__ import annotations

import ast
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superalign.errors import BadInput
from superalign.exits import exit_codes

if TYPE_CHECKING:
    from superalign.researcher.client import Client
    from superalign.types import Question, Tier

PERSON = "person"  # a person's name in plans
WORDS: Mapping[str, str] = {
    "better": "Better than everything before",
    "not better": "Not better than the best before",
    "passed": "Passed: it holds on fresh items, and may be revealed (--reveal)",
    "not passed": "Not passed: on fresh items it gains nothing beyond chance",
    "unmeasured": "Unmeasured: it crashed, took too long, or gave no scores",
    "unchanged": "Unchanged: this method, or one that behaves alike, was submitted before",
    "refused": "Refused: a monitor, or a person, did not let it run",
    "used up": "Used up: nothing more is answered in this tier",
    "not allowed": "Not allowed: the vault takes no such submission, or is closed",
}


def try_file(
    file: Annotated[
        Path | None,
        typer.Argument(help="A method: Python that defines solve(public, inputs, seed).", show_default=False),
    ] = None,
    vault: Annotated[Path, typer.Option("--vault", help="The socket of a vault.")] = Path("vault.sock"),
    question: Annotated[str, typer.Option("--question", help="Which question; none lists them.")] = "",
    hypothesis: Annotated[str, typer.Option("--hypothesis", help="What it does, and why that should help.")] = "",
    predicted: Annotated[
        float, typer.Option("--predicted", help="Gain over the baseline that you expect.", show_default=False)
    ] = math.nan,
    family: Annotated[str, typer.Option("--family", help="Of methods, in a word.")] = "other",
    confirm: Annotated[bool, typer.Option("--confirm", help="Spend a try on fresh items.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Open the sealed family for it, once.")] = False,
) -> None:
    """Be a researcher: list questions, see one (its arrays are written here, and your time counts), submit a method."""
    with exit_codes():
        from superalign.researcher.client import Client, VaultError

        desk = Client(vault, attempts=2)
        try:
            if not question:
                print("\n".join(f"{q.name}: {q.asks} {_left(desk, q)}" for q in _questions(desk).values()))
            elif file is None:
                print(_show(desk, _one(desk, question)))
            elif reveal:
                print(_reveal(desk, _one(desk, question), _source(file)))
            else:
                tier: Tier = "confirm" if confirm else "climb"
                print(_submit(desk, _one(desk, question), _source(file), tier, (hypothesis, predicted, family)))
        except VaultError as error:
            raise BadInput(
                f"The vault at {vault} says: {error}. Nothing came of it. See that it is served (superalign vault serve) and "
                "not closed, that a method is confirmed before it is revealed, and name its socket with --vault."
            ) from None


def _questions(desk: Client) -> dict[str, Question]:
    from superalign.researcher.notebook import NOUNS
    from superalign.types import rebuild

    return {asked["name"]: rebuild(asked, NOUNS) for asked in desk.questions()}


def _one(desk: Client, name: str) -> Question:
    known = _questions(desk)
    if name not in known:
        raise BadInput(f"There is no question {name!r}. Nothing could be answered. Choose from {', '.join(known)}.")
    return known[name]


def _source(file: Path) -> str:
    """Read a method; what cannot run is refused here, before it is charged."""
    try:
        source = file.read_text()
        defined = [n.args for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "solve"]
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(
            f"{file} cannot be read as Python ({error}). It would be charged, and not run. Mend it."
        ) from None
    if not any(len(args.args) == 3 for args in defined):
        raise BadInput(f"{file} defines no solve(public, inputs, seed). It would be charged, and not run. Define it.")
    return source


def _left(desk: Client, question: Question) -> str:
    """Say what is still answered of a question, to whoever shares its vault."""
    from superalign.researcher.notebook import read_notebook

    notebook = read_notebook(desk.history())
    used = [sum(e.answer is not None for e in notebook.about(question.name, tier=t)) for t in ("climb", "confirm")]
    return f"Left: {question.climbs - used[0]} submissions, {question.tries - used[1]} tries at confirmation."


def _clock(question: Question) -> Path:
    """Return the file whose time says since when a person thinks about a question: beside the arrays, in this folder."""
    return Path(f"{question.name}.shown")


def _show(desk: Client, question: Question) -> str:
    """Show a question in words and write its arrays; from now on a person's time counts."""
    from superalign.researcher.notebook import about

    Path(f"{question.name}.npz").write_bytes(desk.public(question.name))
    _clock(question).touch() if not _clock(question).exists() else None
    arrays = f"Its public arrays are in {question.name}.npz. Your time counts from now on."
    return "\n".join((about(question), _left(desk, question), arrays, "The baseline:", question.baseline))


def _submit(desk: Client, question: Question, source: str, tier: Tier, said: tuple[str, float, str]) -> str:
    """Submit a method, with what is expected of it; the same file again gives the same answer, and costs nothing."""
    from superalign.researcher.notebook import NOUNS
    from superalign.types import rebuild

    ticket = _register(desk, question, source, tier, said)
    answer = rebuild(desk.submit(ticket, "code", source.encode()), NOUNS)
    _clock(question).touch()  # waiting for the vault is no work of a person
    best = f" The best score so far: {answer.score:g}." if isinstance(answer.score, float) else ""
    return f"{WORDS[answer.word]}.{best} Left in this tier: {answer.left}."


def _reveal(desk: Client, question: Question, source: str) -> str:
    """Open the sealed family for a confirmed method; where it was opened before, say again what it showed."""
    from superalign.kit.parts import in_words
    from superalign.researcher.notebook import verified

    before = [found for found in desk.history()["findings"] if found["question"] == question.name]
    told = before[0] if before else desk.reveal(_register(desk, question, source, "sealed", None))
    finding = verified([told], str(desk.ask({"do": "questions"})["key"]))[0].get(question.name)
    if finding is None:
        raise BadInput(
            f"The finding on {question.name} is not as the vault signed it. It was altered, or somebody typed it, and counts as "
            "none. Ask whoever keeps the vault what its ledger says."
        )
    held = {"True": "It holds", "False": "It does not hold"}.get(str(finding.replicated), "It could not be measured")
    return f"{held} on a family that was never searched: gain over the baseline {in_words(finding.gain)}."


def _register(desk: Client, question: Question, source: str, tier: Tier, said: tuple[str, float, str] | None) -> str:
    """Register a person's plan, unless it is there; return its ticket."""
    from superalign.lab.hours import timed
    from superalign.researcher.notebook import read_notebook
    from superalign.types import Plan, digest_of, to_plain

    own = [e.plan for e in read_notebook(desk.history()).entries if e.plan.researcher == PERSON]
    artefact, (hypothesis, predicted, family) = digest_of(source.encode()), said or ("", math.nan, "")
    same = [p for p in own if (p.question, p.artefact) == (question.name, artefact)]
    for plan in same:
        if plan.tier == tier:
            return desk.register(to_plain(plan))
    if same:
        return desk.register(to_plain(replace(same[0], tier=tier, number=len(own))))
    if not hypothesis or not math.isfinite(predicted):
        raise BadInput(
            "A method is submitted with what is expected of it. Without, nothing could be compared with what comes out. "
            'Add both: --hypothesis "soft labels, smoothed" --predicted .05'
        )
    if not _clock(question).exists():
        raise BadInput(
            f"Nothing here tells since when you think about {question.name}. Hours are part of the result. See it first: "
            f"superalign vault try --vault {desk.path} --question {question.name}"
        )
    plan = Plan(
        question=question.name,
        researcher=PERSON,
        hypothesis=timed(hypothesis, time.time() - _clock(question).stat().st_mtime),
        family=family,
        predicted=predicted,
        artefact=artefact,
        tier=tier,
        number=len(own),
    )
    return desk.register(to_plain(plan))
