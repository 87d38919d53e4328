"""A campaign: questions x researchers x budget, then what to confirm, then what to reveal. It runs inside the sandbox.

Everything that it needs to go on stands in the vault's notebook and, by digest, on its own shelf of sources: killed at any point,
the same command goes on, and no submission counts twice. Released scores choose what is confirmed and are never quoted.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from superalign.errors import ConfigError
from superalign.researcher.client import Client, VaultError
from superalign.researcher.language_model import LanguageModel, gives_orders, relayed
from superalign.researcher.notebook import NOUNS, Entry, Notebook, read_notebook, verified
from superalign.researcher.proposing import Proposal, Researcher
from superalign.researcher.rehearsing import unpacked
from superalign.researcher.searching import NEVER, Bayesian, Evolution
from superalign.researcher.tree_search import TreeSearch, kept
from superalign.types import Answer, Finding, Plan, Question, Record, Unmeasured
from superalign.types.base import digest_of, rebuild, to_plain

REFRESH = 10  # submissions after which the notebook is asked for anew: others write into it too
MODELS = ("tree", "model")  # researchers that need a relay
UNVERIFIED = "a finding that is not as the vault signed it"
NAMES = ("random", "bayesian", "evolution", *MODELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Record):
    """What a campaign is started with."""

    vault: str  # its socket
    folder: str  # of sources; the only thing that is kept here
    relay: str = ""  # socket by which a language model is reached
    researchers: tuple[str, ...] = ("evolution", "bayesian", "random")  # in turn
    submissions: int = 60  # of a question, by everybody who shares the notebook
    seed: int = 0
    minutes: float = 0.0  # after which no new experiment begins; 0: no limit
    key: str = ""  # the vault's public one, by which findings are verified; empty: as the vault tells it


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Record):
    """What came of a campaign: every submission and every lost step, whatever came of it."""

    words: tuple[tuple[str, int], ...]  # "climb better" and the like, with how often
    lost: tuple[tuple[str, int], ...]  # steps without a submission, by why
    spent: tuple[tuple[str, float], ...]  # processor seconds of one proposal, by researcher
    findings: tuple[Finding, ...]


def researchers_of(settings: Settings) -> list[Researcher]:
    """Return the researchers that settings name.

    Raises:
        ConfigError: If one does not exist, or lacks what it needs.
    """
    wrong = sorted(set(settings.researchers) - set(NAMES))
    if wrong or not settings.researchers:
        raise ConfigError(
            f"There is no researcher {', '.join(wrong) or 'at all'}. Nothing would be proposed. Name some of {', '.join(NAMES)}."
        )
    if not settings.relay and set(MODELS) & set(settings.researchers):
        raise ConfigError(
            "A language model is asked for, and no relay is named. The sandbox has no network, so that nobody would answer. Name "
            "the relay's socket, or leave out `tree` and `model`."
        )
    if "bayesian" in settings.researchers and importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            "Optuna is not installed, and Bayesian search is its estimator. That researcher cannot propose anything. Run "
            "`pip install 'superalign[research]'`, or leave `bayesian` out of the researchers."
        )
    seed, tree = (
        settings.seed,
        TreeSearch(folder=Path(settings.folder), writer=LanguageModel(say=relayed(settings.relay))),
    )
    made: Mapping[str, Researcher] = {
        "random": Evolution(seed=seed, name="random", brood=1, founders=NEVER),
        "bayesian": Bayesian(seed=seed),
        "evolution": Evolution(seed=seed),
        "tree": tree,
        "model": replace(tree, drafts=10**6, name="model"),
    }
    return [made[name] for name in settings.researchers]


@dataclass(kw_only=True)
class Campaign:
    """One campaign under way."""

    settings: Settings
    vault: Client
    researchers: Sequence[Researcher]
    log: Callable[[str], None] = print
    notebook: Notebook = field(default_factory=Notebook)
    findings: dict[str, Finding] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    spent: dict[str, list[float]] = field(default_factory=dict)

    def run(self) -> Totals:
        """Climb, confirm and reveal every question; return what came of it."""
        self.began, self.folder = time.monotonic(), Path(self.settings.folder)
        asked = self.vault.ask({"do": "questions"})
        self.key = self.settings.key or str(asked["key"])
        self.refresh()
        for e in self.notebook.entries:  # plans that were registered before a kill, and not answered
            if e.answer is None and e.plan.tier != "sealed" and (source := kept(self.folder, e.plan.artefact)):
                self._submit(e, source)
        for question in (rebuild(q, NOUNS) for q in asked["questions"]):
            self._climb(question)
            self._confirm(question)
        self.lost["orders in the notebook"] += sum(gives_orders(e.plan.hypothesis) for e in self.notebook.entries)
        words = (f"{e.plan.tier} {e.answer.word}" for e in self.notebook.entries if e.answer)
        return Totals(
            words=tuple(sorted(Counter(words).items())),
            lost=tuple(sorted((+self.lost).items())),
            spent=tuple((name, float(np.mean(each))) for name, each in sorted(self.spent.items())),
            findings=tuple(self.findings.values()),
        )

    def refresh(self) -> None:
        """Read the notebook that the vault keeps."""
        history = self.vault.history()
        self.notebook = read_notebook(history)
        self.findings, others = verified(history["findings"], self.key)
        self.lost[UNVERIFIED] = len(others)

    def _climb(self, question: Question) -> None:
        """Let researchers propose in turn, until the budget is spent or as many steps were lost as it holds."""
        public = unpacked(self.vault.public(question.name))
        budget, lost = min(self.settings.submissions, question.climbs), 0
        while (done := len(self.notebook.about(question.name))) < budget and lost < budget and not self._late():
            if done % REFRESH == REFRESH - 1:
                self.refresh()
            who = self.researchers[(done + lost) % len(self.researchers)]
            began = sum(os.times()[:4])  # its own, and of children that ended
            made = who.propose(question, public, self.notebook)
            self.spent.setdefault(who.name, []).append(sum(os.times()[:4]) - began)
            answer = made if isinstance(made, Unmeasured) else self._send(_plan(question, who, made), made.source)
            if isinstance(answer, Unmeasured):
                lost += 1
                self.lost[f"{who.name}: {answer.why}"] += 1
            elif answer.word == "used up":
                return

    def _confirm(self, question: Question) -> None:
        """Confirm the best by released score, as many as there are tries; reveal the first that passes."""
        for entry, _ in self.notebook.released(question.name):
            tried = self.notebook.about(question.name, tier="confirm")
            source = kept(self.folder, entry.plan.artefact)
            if len(tried) >= question.tries or _passed(tried) or self._late():
                break
            if source and entry.plan.artefact not in {e.plan.artefact for e in tried}:
                self._send(replace(entry.plan, tier="confirm"), source)
        passed = _passed(self.notebook.about(question.name, tier="confirm"))
        if passed and question.name not in self.findings:
            self._reveal(replace(passed[0], tier="sealed"))

    def _reveal(self, plan: Plan) -> None:
        """Register the claim, unless that was done before a kill, and open the sealed tier."""
        sealed = self.notebook.about(plan.question, tier="sealed")
        entry = next((e for e in sealed if e.plan.artefact == plan.artefact), None) or self._register(plan)
        try:
            found, others = verified([self.vault.reveal(entry.ticket if isinstance(entry, Entry) else "")], self.key)
            self.findings |= found
            self.lost[UNVERIFIED] += len(others)
        except VaultError as error:
            self.lost[f"reveal: {error}"] += 1

    def _send(self, plan: Plan, source: str) -> Answer | Unmeasured:
        """Keep the source, register its plan, submit it: in this order, so that a kill between any two loses nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{plan.artefact}.py").write_bytes(source.encode())
        entry = self._register(plan)
        return entry if isinstance(entry, Unmeasured) else self._submit(entry, source)

    def _register(self, plan: Plan) -> Entry | Unmeasured:
        plan = replace(plan, number=sum(e.plan.researcher == plan.researcher for e in self.notebook.entries))
        try:
            entry = Entry(ticket=self.vault.register(to_plain(plan)), plan=plan)
        except VaultError as error:
            return Unmeasured(f"register: {error}")
        self.notebook = Notebook(entries=(*self.notebook.entries, entry))
        return entry

    def _submit(self, entry: Entry, source: str) -> Answer | Unmeasured:
        try:
            answer = rebuild(self.vault.submit(entry.ticket, "code", source.encode()), NOUNS)
        except VaultError as error:
            return Unmeasured(f"submit: {error}")
        done = replace(entry, answer=answer)
        self.notebook = Notebook(entries=tuple(done if e.ticket == entry.ticket else e for e in self.notebook.entries))
        self.log(f"{entry.plan.question} {entry.plan.tier} {entry.plan.researcher}: {answer.word}")
        return answer

    def _late(self) -> bool:
        return 0 < self.settings.minutes * 60 < time.monotonic() - self.began


def _passed(entries: Iterable[Entry]) -> list[Plan]:
    return [e.plan for e in entries if e.answer and e.answer.word == "passed"]


def _plan(question: Question, who: Researcher, made: Proposal) -> Plan:
    return Plan(
        question=question.name,
        researcher=who.name,
        hypothesis=made.hypothesis[:1500],
        family=made.family[:60],
        predicted=made.predicted,
        artefact=digest_of(made.source.encode()),
        tier="climb",
        number=0,  # counted when it is registered
        cites=made.cites,
    )
