"""Tree search over scripts: draft a few, improve the best one that is not exhausted, debug what crashes (after AIDE).

Who writes them is a seam: programs, or a language model. The tree stands in the notebook: a script cites its parent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import Program, dials, mutate, random_program, read_program
from superalign.researcher.proposing import Bench, Proposal, draws, proposal_of
from superalign.researcher.rehearsing import Arrays, rehearse_apart
from superalign.types import Question, Unmeasured

Move: TypeAlias = Literal["draft", "improve", "debug"]
DRAFTS, CHILDREN, DEBUGS = 3, 3, 2  # roots; improvements of one script; attempts to mend one


class Writer(Protocol):
    """Whoever writes scripts."""

    def write(
        self, move: Move, question: Question, history: Notebook, source: str, why: str, rng: np.random.Generator
    ) -> Proposal | Unmeasured:
        """Write a script: a new one, a better one than `source`, or `source` without what went wrong with it."""


class Programs:
    """Writes scripts that are programs: needs neither a key nor a network."""

    def write(
        self, move: Move, question: Question, history: Notebook, source: str, why: str, rng: np.random.Generator
    ) -> Proposal | Unmeasured:
        """Draw a program, change one setting of one, or go back to the plainest one."""
        if move == "debug":
            return proposal_of(Program(), 0.0)
        parent = read_program(source.partition("\n")[0]) if move == "improve" else None
        space = dials(question)
        return proposal_of(mutate(parent, rng, space) if parent else random_program(rng, space), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Sources by their digest, in a folder of the researcher's: the vault's notebook has digests alone."""

    folder: Path

    def put(self, source: str) -> None:
        """Keep a source."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{hashlib.sha256(source.encode()).hexdigest()}.py").write_bytes(source.encode())

    def get(self, artefact: str) -> str:
        """Return a source; empty where it is not here."""
        file = self.folder / f"{artefact}.py"
        return file.read_bytes().decode() if file.exists() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch:
    """Best first, over its own scripts."""

    seed: int
    shelf: Shelf
    writer: Writer
    name: str = "tree"

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the next script that ran in rehearsal."""
        rng, bench = draws(self.seed, self.name, question, history), Bench(question, public)
        own = history.about(question.name, researcher=self.name)
        cited = [ticket for e in own for ticket in e.plan.cites]
        worth = {e.ticket: value for e, value in history.values(question.name)}
        open_ = [
            e for e in own if e.ticket in worth and cited.count(e.ticket) < CHILDREN and self.shelf.get(e.plan.artefact)
        ]
        best = max(open_, key=lambda e: worth[e.ticket]) if open_ and len(own) >= DRAFTS else None
        move: Move = "improve" if best else "draft"
        source = self.shelf.get(best.plan.artefact) if best else ""
        made = self.writer.write(move, question, history, source, best.plan.hypothesis if best else "", rng)
        made = mended(made, self.writer, bench, history, rng)
        if isinstance(made, Unmeasured) or made.artefact in history.artefacts(question.name):
            return made if isinstance(made, Unmeasured) else Unmeasured("the script had been submitted before")
        return replace(made, cites=(best.ticket,) if best else ())


def mended(
    made: Proposal | Unmeasured, writer: Writer, bench: Bench, history: Notebook, rng: np.random.Generator
) -> Proposal | Unmeasured:
    """Rehearse a script, have it debugged where it crashes, and return it with its rehearsed gain."""
    for attempt in range(DEBUGS + 1):
        if isinstance(made, Unmeasured):
            return made
        score = rehearse_apart(made.source, bench.less, bench.question.metric)
        if not isinstance(score, Unmeasured):
            return replace(made, predicted=bench.over(score))
        if attempt < DEBUGS:
            made = writer.write("debug", bench.question, history, made.source, score.why, rng)
    return Unmeasured("the script did not run, and could not be mended")
