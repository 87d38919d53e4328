"""The parts of the critique study that need no report: flaws planted for training, the critic's work, and the judge's trial.

`measure` is one critic as a pure function of its spec, so that the critic and its null can be trained side by side. What
a critic is given is a `Text`: the question and one solution. The labels stay here.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from superalign.grants.checks import check_grounds
from superalign.oversight.steps.critic import Pair, StepCritic, StepCriticConfig, shuffled_scores, train_step_critic
from superalign.oversight.steps.reading import Reading, Text, read_question, trace
from superalign.problems.gsm8k import (
    Gsm8k,
    common_knowledge,
    load_gsm8k,
    mentions,
    question_numbers,
)
from superalign.problems.gsm8k_flaws import FLAW_KINDS, first_unreached, flaw, plantable, reached
from superalign.problems.gsm8k_placebo import harmless
from superalign.problems.gsm8k_text import Solution, read_solution
from superalign.types import Record

HELD_OUT = 12  # one training question in twelve sets the threshold and is not trained on


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Record):
    """One critic: all that `measure` reads."""

    path: str
    seed: int
    questions: int
    flaws: int
    members: int
    epochs: int
    shuffles: int = 0  # if any: not the critic, but so many critics of shuffled labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One solution of the trial; `step` is the first wrong one, -1 where there is none to see."""

    question: str
    solution: Solution
    edited: Solution | None  # the same after a placebo edit
    kind: str  # empty if clean
    step: int
    edited_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A planted pair of a training question that no critic was trained on."""

    pair: Pair
    kind: str


@lru_cache(maxsize=50_000)
def read(text: str) -> Solution:
    """Read a solution, once."""
    return read_solution(text)


def shown(question: str, solution: Solution) -> Text:
    """What a critic is given."""
    return Text(question=question, mentions=mentions(question), common=common_knowledge(question), solution=solution)


def fold_of(question: str, parts: int, *, salt: str) -> int:
    """Put a question into one of some parts, by its hash alone.

    Example:
        >>> fold_of("How many?", 1, salt="x")
        0
    """
    return int.from_bytes(hashlib.sha256(f"{salt}{question}".encode()).digest()[:4], "big") % parts


def chosen_on(question: str) -> bool:
    """Whether the model solutions to a test question were looked at while the critic was designed.

    Two draws of a third each were used, one to choose features and networks and one to choose the amount of training. No
    claim rests on a question of either.
    """
    digest = hashlib.sha256(f"part{question}".encode()).digest()
    return int.from_bytes(digest, "big") % 3 == 0 or digest[0] % 3 == 0


def planted_pairs(family: Gsm8k, *, questions: int, flaws: int, seed: int) -> tuple[list[Pair], list[HeldOut]]:
    """Plant flaws in right training solutions, and placebo edits on either side of each pair.

    Args:
        family: The folder.
        questions: At most so many training questions.
        flaws: Different kinds of flaw per question.
        seed: Of everything drawn.

    Returns:
        Pairs for training; pairs of other training questions for the threshold.
    """
    rng = np.random.default_rng([seed, 3])
    rows = list(family.answers["train"].items())
    train: list[Pair] = []
    kept: list[HeldOut] = []
    for i in rng.permutation(len(rows))[:questions]:
        question, right = rows[i][0], read(rows[i][1])
        if not plantable(right):
            continue
        # both sides are edited equally often, else "edited" would mean "right"
        edited = harmless(rng, right)
        rights = [shown(question, s) for s in (right, edited) if s is not None]
        numbers, values = question_numbers(question), reached(right)
        for kind in rng.permutation(FLAW_KINDS)[:flaws]:
            made = flaw(rng, right, numbers, str(kind))
            if made is None:
                continue
            flawed, step, _ = made
            if rng.random() < 0.5 and (again := harmless(rng, flawed)) is not None:
                flawed, step = again, first_unreached(again, values)
            pair = Pair(right=rights[int(rng.integers(len(rights)))], flawed=shown(question, flawed), step=step)
            if fold_of(question, HELD_OUT, salt="threshold") == 0:
                kept.append(HeldOut(pair=pair, kind=str(kind)))
            else:
                train.append(pair)
    return train, kept


def trial_items(family: Gsm8k, *, seed: int) -> list[Item]:
    """Randomise each test solution to clean or to one planted flaw, the kind drawn evenly."""
    rng = np.random.default_rng([seed, 7])
    items = []
    for question, answer in family.answers["test"].items():
        right = read(answer)
        if not plantable(right):
            continue
        values, solution, kind, step = reached(right), right, "", -1
        if rng.random() < 0.5:
            for name in rng.permutation(FLAW_KINDS):
                made = flaw(rng, right, question_numbers(question), str(name))
                if made is not None:
                    (solution, step, _), kind = made, str(name)
                    break
        edited = harmless(rng, solution)
        items.append(
            Item(
                question=question,
                solution=solution,
                edited=edited,
                kind=kind,
                step=step,
                edited_step=first_unreached(edited, values) if edited is not None and kind else -1,
            )
        )
    return items


def measure(spec: Spec) -> dict[str, Any]:
    """Train one critic and let it work: on the trial's solutions, on those of real models, and on held-out pairs."""
    family = load_gsm8k(spec.path)
    pairs, kept = planted_pairs(family, questions=spec.questions, flaws=spec.flaws, seed=spec.seed)
    config = StepCriticConfig(members=spec.members, epochs=spec.epochs)
    models = [shown(m.question, read(m.text)) for m in family.model_solutions]
    if spec.shuffles:
        null = shuffled_scores(pairs, models, draws=spec.shuffles, seed=spec.seed, config=config)
        return {"pairs": len(pairs), "real": null.tolist()}
    critic = train_step_critic(pairs, seed=spec.seed, config=config)
    return {
        "pairs": len(pairs),
        "real": critic.scores(models).tolist(),
        "trial": _work(critic, trial_items(family, seed=spec.seed)),
        "held_out": _held_out(critic, kept),
    }


def _work(critic: StepCritic, items: Sequence[Item]) -> dict[str, Any]:
    plain = [shown(i.question, i.solution) for i in items]
    edited = [shown(i.question, i.edited or i.solution) for i in items]
    return {
        "point": critic.point(plain).tolist(),
        "point_edited": critic.point(edited).tolist(),
        "score": critic.scores(plain).tolist(),
    }


def _held_out(critic: StepCritic, kept: Sequence[HeldOut]) -> dict[str, Any]:
    return {
        "kind": [h.kind for h in kept],
        "right": critic.scores([h.pair.right for h in kept]).tolist(),
        "flawed": critic.scores([h.pair.flawed for h in kept]).tolist(),
        "point": critic.point([h.pair.flawed for h in kept]).tolist(),
        "step": [h.pair.step for h in kept],
        "steps": [len(h.pair.flawed.solution.steps) for h in kept],
    }


def best_threshold(right: np.ndarray, flawed: np.ndarray) -> float:
    """The score above which calling a solution flawed is right most often, both classes weighing the same.

    Example:
        >>> best_threshold(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
        1.5
    """
    values = np.unique(np.concatenate([right, flawed]))
    cuts = (values[1:] + values[:-1]) / 2
    if not len(cuts):
        return float(values[0])
    rights, wrongs = np.sort(right), np.sort(flawed)
    hits = np.searchsorted(rights, cuts) / len(right) + 1 - np.searchsorted(wrongs, cuts) / len(flawed)
    return float(cuts[int(hits.argmax())])


@lru_cache(maxsize=20_000)
def _reading(question: str) -> Reading:
    return read_question(shown(question, Solution(steps=(), answer="")))


def first_from_nowhere(question: str, solution: Solution) -> int:
    """One rule as a critic: the first step with an operand that neither the question nor an earlier result has; else -1."""
    made = trace(_reading(question), solution)
    return next((i for i, s in enumerate(made.steps) if any(o.kind == "nowhere" for o in s.sources)), -1)


def first_false(_: str, solution: Solution) -> int:
    """An exact evaluator as a critic: the first step whose equation does not hold; else -1."""
    return next((i for i, s in enumerate(solution.steps) if s.expression is not None and not s.true), -1)


def first_broken(question: str, solution: Solution) -> int:
    """Both rules as one critic: the first step that is false or has an operand from nowhere; else -1."""
    named = [i for i in (first_false(question, solution), first_from_nowhere(question, solution)) if i >= 0]
    return min(named, default=-1)


def pointers(items: Sequence[Item], *, critic: Sequence[int], edited: bool, seed: int) -> dict[str, np.ndarray]:
    """Say which step the judge checks in each arm, shape (N,) per arm.

    Arms with no step of their own to name fall back on the same random step as the judge alone. The placebo is the critic's
    own pointers, dealt out anew among solutions of equally many steps.
    """
    rng = np.random.default_rng([seed, 9, int(edited)])
    solutions = [(i.edited or i.solution) if edited else i.solution for i in items]
    counts = np.array([len(s.steps) for s in solutions])
    random = (rng.random(len(items)) * counts).astype(np.int64)
    told = np.asarray(critic, np.int64)
    placebo = told.copy()
    for n in np.unique(counts):
        rows = np.flatnonzero(counts == n)
        placebo[rows] = told[rng.permutation(rows)]
    truth = np.array([i.edited_step if edited else i.step for i in items])

    def ruled(rule: Callable[[str, Solution], int]) -> np.ndarray:
        named = np.array([rule(i.question, s) for i, s in zip(items, solutions, strict=True)])
        return np.where(named >= 0, named, random)

    return {
        "judge alone": random,
        "judge + placebo": placebo,
        "judge + critic": told,
        "judge + one rule (operand from nowhere)": ruled(first_from_nowhere),
        "judge + exact arithmetic": ruled(first_false),
        "judge + both rules": ruled(first_broken),
        "ceiling (told where)": np.where(truth >= 0, truth, random),
    }


def judged(items: Sequence[Item], point: np.ndarray, *, edited: bool) -> tuple[np.ndarray, np.ndarray]:
    """Let the judge check the named steps.

    Returns:
        Called flawed, and flaw found (called flawed, and at the step that is), shape (N,) each.
    """
    called, found = np.zeros(len(items), bool), np.zeros(len(items), bool)
    for k, item in enumerate(items):
        solution = (item.edited or item.solution) if edited else item.solution
        at = int(point[k])
        called[k] = not check_grounds(item.question, solution, at)
        found[k] = called[k] and at == (item.edited_step if edited else item.step)
    return called, found


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one arm of the trial, one entry per item."""

    point: np.ndarray  # step that the judge checked
    called: np.ndarray  # called flawed
    found: np.ndarray  # called flawed, at the step that is


def outcomes(items: Sequence[Item], trial: Mapping[str, Any], *, seed: int) -> dict[bool, dict[str, Outcome]]:
    """Run every arm on the solutions as they are (False) and after a placebo edit (True)."""
    out: dict[bool, dict[str, Outcome]] = {}
    for edited, name in ((False, "point"), (True, "point_edited")):
        named = pointers(items, critic=trial[name], edited=edited, seed=seed)
        made = {arm: (point, *judged(items, point, edited=edited)) for arm, point in named.items()}
        out[edited] = {arm: Outcome(point=p, called=c, found=f) for arm, (p, c, f) in made.items()}
    return out


def evidence(items: Sequence[Item], results: Mapping[bool, Mapping[str, Outcome]], scores: Sequence[float]) -> bytes:
    """Write the trial item by item, so that every number of it can be counted again: one JSON line per item.

    A line holds the question's sha256, the planted kind and step (empty and -1 if clean), the step after the placebo edit, the
    critic's score, and for each arm and version the step checked, called flawed, and flaw found.
    """
    lines = []
    for k, item in enumerate(items):
        arms = {
            f"{arm}{', edited' if edited else ''}": [int(o.point[k]), bool(o.called[k]), bool(o.found[k])]
            for edited, by_arm in results.items()
            if item.edited is not None or not edited
            for arm, o in by_arm.items()
        }
        question = hashlib.sha256(item.question.encode()).hexdigest()
        told = {"question": question, "kind": item.kind, "step": item.step, "edited_step": item.edited_step}
        lines.append(json.dumps({**told, "score": float(scores[k]), "arms": arms}, sort_keys=True))
    return "\n".join(lines).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEvidence(Record):
    """Where the ledger keeps the trial's items: a blob that `evidence` wrote."""

    blob: str  # sha256
    items: int
    planted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Right and wrong real solutions of the same question, as indices; N pairs."""

    right: np.ndarray
    wrong: np.ndarray
    question: np.ndarray  # cluster of each pair

    def wins(self, scores: np.ndarray) -> np.ndarray:
        """1 where the wrong one is more suspicious, half for a tie, shape (N,)."""
        a, b = scores[self.right], scores[self.wrong]
        return (a < b) + 0.5 * (a == b)

    def balanced_wins(self, scores: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Wins as weighed when each ordered pair of sources counts the same; their mean is the balanced share.

        Some sources are right far more often, so a score that only recognised its source would rank well; balanced, it is at
        one half. Values are linearised around the share, so that the spread over questions is that of the weighted share.
        """
        cell = source[self.right] * (source.max() + 1) + source[self.wrong]
        _, code, count = np.unique(cell, return_inverse=True, return_counts=True)
        weight = len(cell) / (len(count) * count[code])
        wins = self.wins(scores)
        share = float((weight * wins).mean())
        return share + weight * (wins - share)

    def where(self, rows: np.ndarray) -> Pairs:
        """Keep some of the pairs."""
        return Pairs(right=self.right[rows], wrong=self.wrong[rows], question=self.question[rows])


def real_pairs(family: Gsm8k) -> Pairs:
    """Pair each right with each wrong model solution of the same question."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, m in enumerate(family.model_solutions):
        rows[m.question].append(i)
    made = [
        (i, j, q)
        for q, own in enumerate(rows.values())
        for i in own
        for j in own
        if family.model_solutions[i].correct and not family.model_solutions[j].correct
    ]
    table = np.array(made, np.int64).reshape(-1, 3)
    return Pairs(right=table[:, 0], wrong=table[:, 1], question=table[:, 2])
