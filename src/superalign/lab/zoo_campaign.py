"""Planted cheats, mixed with their honest twins, before a real vault: do any of them come out as findings?

Each cheat has a question of its own, of whose climb it knows some rows, as the zoo draws it. It is submitted after its history,
confirmed where the vault said "better", and revealed where it passed: all that a cheat can try. The same is done with no monitor
before the vault, so that what the tiers alone hold back is seen.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from superalign.lab.campaigns import Done, opened, unsealed
from superalign.lab.cheats import RUNGS, Drawn, Kind, Task, draw_submission, draw_task, zoo
from superalign.stats.streams import stream
from superalign.types import Plan, Question, to_plain
from superalign.vault.benches import TIERS, Bench, Part
from superalign.vault.judging import allow_unflagged
from superalign.vault.opening import Vault, ask

TRIES, CLIMBS = 2, 40
CLIMB, FRESH = 160, 400  # items of the climb, of which a cheat may know some, and of the two tiers above
TIGHT_S = 0.05  # grid of answers: nobody here measures time
BASELINE = """import numpy as np


def solve(public, inputs, seed):
    x, y = public["x"], 2 * public["weak"] - 1
    return inputs["x"] @ np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ y)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One sequence of submissions, cheating or honest, with its question."""

    name: str  # of the question
    kind: str
    rung: str  # "twin" if it is honest
    bench: Bench
    drawn: Drawn


def planted(*, seed: int, rungs: Sequence[str] = RUNGS, kinds: int = 0) -> list[Planted]:
    """Draw kinds in some rungs, and their honest twins, in random order under names that say nothing.

    Args:
        seed: Of all that is drawn.
        rungs: Of the cheats.
        kinds: How many kinds, drawn at random; 0 for all.
    """
    drawn = stream(seed, "kinds of the zoo").permutation(len(zoo()))[: kinds or None]
    some = [(zoo()[i], rung) for i in sorted(drawn) for rung in (*rungs, "twin")]
    order = stream(seed, "order of the zoo").permutation(len(some))
    return [_planted(f"zoo-{n:02d}", *some[i], seed=seed) for n, i in enumerate(order)]


def _planted(name: str, kind: Kind, rung: str, *, seed: int) -> Planted:
    rng = stream(seed, "mixed", kind.name, rung)
    task = draw_task(rng, items=CLIMB + 2 * FRESH)
    drawn = draw_submission(kind.twin if rung == "twin" else kind.cheats[RUNGS.index(rung)], task, rng)
    return Planted(name=name, kind=kind.name, rung=rung, bench=_bench(name, task), drawn=drawn)


def _bench(name: str, task: Task) -> Bench:
    """Make a vault's question of a task: what a cheat knows is the climb's, the other tiers are drawn from the same weights."""
    ends = np.split(np.arange(len(task.truth_N)), (CLIMB, CLIMB + FRESH))
    made = [Part(inputs={k: v[i] for k, v in task.inputs.items()}, truth_NS=task.truth_N[i].astype(int)) for i in ends]
    arrays = tuple((k, "an array of the zoo") for k in (*task.public, *task.inputs))
    question = Question(
        name=name,
        kind="zoo",
        asks="Which items have label 1?",
        metric="share",
        arrays=arrays,
        published="ridge regression on the imperfect labels",
        baseline=BASELINE,
        climbs=CLIMBS,
        tries=TRIES,
    )
    public = {**task.public, "dev_true": task.public["dev"]}
    parts = dict(zip(TIERS, made, strict=True))
    return Bench(question=question, public=public, parts=parts, twin=False, floor=float("nan"), ceiling=float("nan"))


def zoo_campaign(some: Sequence[Planted], folder: Path, *, watched: bool) -> Done:
    """Submit every sequence, confirm what was better and reveal what passed; then unseal."""
    benches = [p.bench for p in some]
    with opened(folder, benches, allow=allow_unflagged, grid_s=TIGHT_S, watched=watched) as vault:
        for one in some:
            _submit_all(vault, one)
        return unsealed(vault)


def _submit_all(vault: Vault, one: Planted) -> None:
    """Climb with the whole sequence; then try to get what was better confirmed, the last of it first, and revealed."""
    pairs = [(replace(p, question=one.name), s) for p, s in zip(one.drawn.plans, one.drawn.sources, strict=True)]
    better = [pair for pair in pairs if _sent(vault, *pair) == "better"]
    for k, (plan, source) in enumerate(better[::-1][:TRIES]):
        tried = replace(plan, tier="confirm", number=len(pairs) + 2 * k)
        if _sent(vault, tried, source) == "passed":
            claim = replace(tried, tier="sealed", number=tried.number + 1)
            ticket = ask(vault.socket, {"do": "register", "plan": to_plain(claim)})["ticket"]
            ask(vault.socket, {"do": "reveal", "ticket": ticket})
            return


def _sent(vault: Vault, plan: Plan, source: str) -> str:
    ticket = ask(vault.socket, {"do": "register", "plan": to_plain(plan)})["ticket"]
    body = base64.b64encode(source.encode()).decode()
    answer = ask(vault.socket, {"do": "submit", "ticket": ticket, "form": "code", "body": body})["answer"]
    return str(answer["word"])
