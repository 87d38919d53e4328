"""Tree search over a language model's scripts, after AIDE: draft, improve the best, debug. A script cites its parent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from superalign.researcher.language_model import LanguageModel, Move
from superalign.researcher.notebook import Notebook
from superalign.researcher.proposing import Arrays, Proposal, gains
from superalign.researcher.rehearsing import rehearse_apart
from superalign.types import Question, Unmeasured, digest_of

CHILDREN, DEBUGS = 3, 2  # improvements of one script; attempts to mend one


def kept(folder: Path, artefact: str) -> str:
    """Return a source by its digest: the vault's notebook has no more of it. Empty where it is not in this folder."""
    file = folder / f"{artefact}.py"
    return file.read_bytes().decode() if file.exists() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch:
    """Best first, over its own scripts. With more drafts than there are submissions, one new idea after another."""

    folder: Path  # of sources
    writer: LanguageModel
    drafts: int = 3
    name: str = "tree"

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the next script that ran in rehearsal and that its writer wants to submit."""
        own = history.about(question.name, researcher=self.name)
        cited = [ticket for e in own for ticket in e.plan.cites]
        worth = {e.ticket: value for e, value in history.values(question.name)}
        free = [e for e in own if e.ticket in worth and cited.count(e.ticket) < CHILDREN]
        best = max(free, key=lambda e: worth[e.ticket]) if free and len(own) >= self.drafts else None
        source = kept(self.folder, best.plan.artefact) if best else ""
        move: Move = "improve" if best and source else "draft"
        made = self.writer.write(question, history, move, source, best.plan.hypothesis if best else "")
        made = self._rehearsed(made, question, public, history)
        if isinstance(made, Unmeasured):
            return made
        if digest_of(made.source.encode()) in {e.plan.artefact for e in history.about(question.name)}:
            return Unmeasured("the script had been submitted before")
        return self.writer.decide(replace(made, cites=(best.ticket,) if best and source else ()), question)

    def _rehearsed(
        self, made: Proposal | Unmeasured, question: Question, public: Arrays, history: Notebook
    ) -> Proposal | Unmeasured:
        """Rehearse a script, have it debugged where it crashes, and return it with its rehearsed gain."""
        for attempt in range(DEBUGS + 1):
            if isinstance(made, Unmeasured):
                return made
            score = rehearse_apart(made.source, public, question.metric)
            if not isinstance(score, Unmeasured):
                return replace(made, predicted=gains(question, public)(score))
            if attempt < DEBUGS:
                made = self.writer.write(question, history, "debug", made.source, score.why)
        return Unmeasured("the script did not run, and could not be mended")
