"""A search in which nothing can be found: a scripted researcher spends a whole budget on an impossible twin.

Server, desk and judge are the vault's own, in this process and for our own researchers alone: without a sandbox a submission
takes a tenth of the time, so that thousands can be made. No monitor reads them, so the tiers stand alone. Each twin has a desk of
its own, whose level is not divided by other questions: a harder test than a campaign, where it is.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign.lab.attackers import judging
from superalign.lab.research_parts import Searched
from superalign.researcher.campaign import Campaign, Settings, researchers_of
from superalign.researcher.client import Client, VaultError
from superalign.types import Record
from superalign.vault import read_bench
from superalign.vault.judging import Judge
from superalign.vault.server import answer

NOBODY = ""  # digest of no token: nobody here can close the vault


@dataclass(frozen=True, slots=True, kw_only=True)
class NullJob(Record):
    """One twin, and how hard it is searched."""

    bench: str  # folder of the question, as a vault keeps it
    submissions: int
    seed: int
    researchers: tuple[str, ...] = ("random",)  # it rehearses one method a submission, others many


class Direct(Client):
    """A client that speaks to a judge in the same process."""

    def __init__(self, judge: Judge) -> None:
        super().__init__("")
        self.judge = judge

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask as over the socket, word for word."""
        reply = json.loads(json.dumps(answer(self.judge, json.dumps(request).encode(), NOBODY)))
        if "error" in reply:
            raise VaultError(str(reply["error"]))
        return dict(reply)


def search_null(job: NullJob) -> Searched:
    """Search one question to the end of a budget, confirm and open what there is; return what came of it."""
    bench = read_bench(Path(job.bench))
    with judging(bench) as judge, tempfile.TemporaryDirectory() as own:
        settings = Settings(
            vault="", folder=own, researchers=job.researchers, submissions=job.submissions, seed=job.seed
        )
        Campaign(settings=settings, vault=Direct(judge), researchers=researchers_of(settings), log=lambda _: None).run()
        words = Counter((judge.desk.plans[t].tier, a.word) for t, a in judge.desk.answers.items())
        found = [f for f in judge.desk.findings.values() if f.replicated is True]
    return Searched(
        question=bench.question.name,
        twin=bench.twin,
        submissions=sum(n for (tier, _), n in words.items() if tier == "climb"),
        better=words["climb", "better"],
        tried=sum(n for (tier, _), n in words.items() if tier == "confirm"),
        passed=words["confirm", "passed"],
        found=bool(found),
    )
