"""What the critique study says of real models' solutions: their ranking, and how far planted flaws are from real errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from superalign import stats
from superalign.errors import BadInput
from superalign.grants.checks import check_grounds
from superalign.problems.gsm8k import SOURCES, Gsm8k, ModelSolution
from superalign.problems.gsm8k_text import Solution
from superalign.report import Section, Table
from superalign.stats import share
from superalign.studies.critic_transfer.page import Found, Part, bars, claim, in_words
from superalign.studies.critic_transfer.trial import Pairs, chosen_on, first_false, first_from_nowhere, read, real_pairs
from superalign.types import Claim, Unmeasured

BAR = 0.72  # set beforehand; a prototype reached 0.71


def check_real(family: Gsm8k) -> None:
    """Refuse files whose model solutions cannot be ranked within questions.

    Raises:
        BadInput: If fewer than two questions that the claim may use have both a right and a wrong solution.
    """
    models = family.model_solutions
    able = {models[i].question for i in real_pairs(family).right if not chosen_on(models[i].question)}
    if len(able) < 2:
        raise BadInput(
            f"{family.path} has {len(able)} questions for the claim with a right and a wrong model solution. Ranking is "
            "measured within questions, over questions. Give the whole example_model_solutions.jsonl."
        )


def _simple_scores(
    models: Sequence[ModelSolution], solutions: Sequence[Solution], wrong: np.ndarray, source: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores that know nothing of the flaws: what a critic must beat."""
    return {
        "which model wrote it, by its share of right ones": np.array([wrong[source == s].mean() for s in source]),
        "length of the solution": np.array([float(len(s.text())) for s in solutions]),
        "number of steps": np.array([float(len(s.steps)) for s in solutions]),
        "one rule: operand from nowhere": _ruled(models, solutions, first_from_nowhere),
        "exact arithmetic": _ruled(models, solutions, first_false),
        "length of the question": np.array([float(len(m.question)) for m in models]),
    }


def real_part(family: Gsm8k, *, main: Mapping[str, Any], shuffled: Mapping[str, Any], seed: int) -> Part:
    """Rank the labelled solutions of real models within their questions."""
    pairs, models = real_pairs(family), family.model_solutions
    solutions = [read(m.text) for m in models]
    asked = list(dict.fromkeys(m.question for m in models))
    chosen = np.array([chosen_on(asked[q]) for q in pairs.question], bool)
    kept, used = pairs.where(~chosen), pairs.where(chosen)
    wrong = np.array([not m.correct for m in models])
    source = np.array([SOURCES.index(m.source) for m in models])
    scores = {"critic": np.array(main["real"]), **_simple_scores(models, solutions, wrong, source)}

    def row(s: np.ndarray) -> tuple[Found, ...]:
        return (
            ranked(kept, s, seed=seed),
            balanced(kept, s, source, seed=seed),
            ranked(used, s, seed=seed),
            ranked(pairs, s, seed=seed),
            stats.auroc_delong(s[wrong], negatives=s[~wrong]),
        )

    nulls = np.array(shuffled["real"])
    floors = tuple(
        stats.mean_interval([float(of(n)) for n in nulls])
        for of in (
            lambda n: kept.wins(n).mean(),
            lambda n: kept.balanced_wins(n, source).mean(),
            lambda n: used.wins(n).mean(),
            lambda n: pairs.wins(n).mean(),
            lambda n: float(stats.auroc(n[wrong], negatives=n[~wrong])),
        )
    )
    first = row(scores["critic"])
    table: dict[str, tuple[Found, ...]] = {
        "critic": first,
        f"critics of shuffled labels, mean of {len(nulls)}": floors,
        **{name: row(s) for name, s in scores.items() if name != "critic"},
    }
    text = (
        f"{len(models)} labelled solutions of four models to {len(asked)} test questions make {len(pairs.right)} pairs of a "
        f"right and a wrong one to the same question, {len(kept.right)} of them kept for the claim. The critic was trained on "
        "none of these solutions and none of these questions; it sees a question and one solution. Pooled over questions a "
        "score profits from knowing which questions are hard; within a question it cannot. It may still profit from knowing "
        "how the better models write; with the models balanced it cannot."
    )
    by_source = _by_source(models, pairs, scores["critic"], seed=seed)
    return Part(
        claims=_claims(
            first,
            floors,
            highest=max(float(kept.wins(n).mean()) for n in nulls),
            draws=len(nulls),
            only_model=table["which model wrote it, by its share of right ones"],
        ),
        section=_section(text, table, by_source),
    )


COLUMNS = (
    "score",
    "questions kept for the claim",
    "these, models balanced",
    "questions used for choosing",
    "all questions",
    "pooled AUROC (confounded by difficulty)",
)


def _section(text: str, table: Mapping[str, tuple[Found, ...]], by_source: tuple[tuple[Any, ...], ...]) -> Section:
    """Lay the ranking out: a plot of the first column, and both tables."""
    plot = bars(
        [(name, cells[0]) for name, cells in table.items()],
        title="Right above wrong, real solutions of the same question",
        x="share of pairs",
        caption="Test questions that nothing was chosen on; ties count half; intervals by question.",
        bar=BAR,
    )
    rows = tuple((name, *cells) for name, cells in table.items())
    return Section(
        title="Real solutions",
        text=text,
        plots=(plot,),
        tables=(
            Table(title="Right ranked above wrong", columns=COLUMNS, rows=rows),
            Table(
                title="By the model of the right and of the wrong solution, all questions",
                columns=("right one by", *(f"wrong one by {s}" for s in SOURCES)),
                rows=by_source,
            ),
        ),
    )


def _claims(
    first: Sequence[Found], floors: Sequence[Found], *, highest: float, draws: int, only_model: Sequence[Found]
) -> tuple[Claim, ...]:
    """What is claimed of the ranking: on kept questions, pooled over models and with the models balanced."""
    unit = "share of pairs of one question with the wrong one more suspicious"
    null_is = f"null: mean of {draws} critics of shuffled labels, the highest {highest:.1%}"
    return (
        claim(
            "right ranked above wrong, real solutions of the same question",
            first[0],
            unit=unit,
            null=floors[0],
            bar=0.5,
            why=f"test questions that nothing was chosen on; n counts questions; {null_is}",
        ),
        claim(
            f"right ranked above wrong at least {BAR:.0%} of the time",
            first[0],
            unit=unit,
            null=floors[0],
            bar=BAR,
            why="the bar was set beforehand; holds only if the whole interval lies above it",
        ),
        claim(
            "right ranked above wrong, each ordered pair of models weighed the same",
            first[1],
            unit=unit,
            null=floors[1],
            bar=0.5,
            why=f"knowing only which model wrote a solution ranks {in_words(only_model[0])} of all pairs, half of these",
        ),
    )


def balanced(pairs: Pairs, scores: np.ndarray, source: np.ndarray, *, seed: int) -> Found:
    """As `ranked`, with each ordered pair of models weighed the same."""
    if not len(pairs.right):
        return Unmeasured("no question with a right and a wrong solution")
    return stats.cluster_bootstrap(pairs.balanced_wins(scores, source), clusters=pairs.question, seed=seed)


def _ruled(
    models: Sequence[ModelSolution], solutions: Sequence[Solution], rule: Callable[[str, Solution], int]
) -> np.ndarray:
    return np.array([float(rule(m.question, s) >= 0) for m, s in zip(models, solutions, strict=True)])


def ranked(pairs: Pairs, scores: np.ndarray, *, seed: int) -> Found:
    """The share of pairs that a score ranks rightly, ties half, with an interval over questions."""
    if not len(pairs.right):
        return Unmeasured("no question with a right and a wrong solution")
    return stats.cluster_bootstrap(pairs.wins(scores), clusters=pairs.question, seed=seed)


def _by_source(
    models: Sequence[ModelSolution], pairs: Pairs, scores: np.ndarray, *, seed: int
) -> tuple[tuple[Any, ...], ...]:
    source = np.array([m.source for m in models])
    alone = Unmeasured("one solution per question and model")

    def cell(right: str, wrong: str) -> Found:
        rows = (source[pairs.right] == right) & (source[pairs.wrong] == wrong)
        return alone if right == wrong else ranked(pairs.where(rows), scores, seed=seed)

    return tuple((right, *(cell(right, wrong) for wrong in SOURCES)) for right in SOURCES)


def distance_part(family: Gsm8k, *, main: Mapping[str, Any]) -> Section:
    """Say how far planted flaws are from real errors, in numbers that can be compared."""
    models = family.model_solutions
    solutions = [read(m.text) for m in models]
    wrong = np.array([not m.correct for m in models])
    false = _ruled(models, solutions, first_false) > 0
    nowhere = _ruled(models, solutions, first_from_nowhere) > 0
    visible = np.array(
        [
            any(not check_grounds(m.question, s, i) for i in range(len(s.steps)))
            for m, s in zip(models, solutions, strict=True)
        ]
    )
    held = main["held_out"]
    planted = share(np.array(held["flawed"]) > np.array(held["right"]))
    names = ("a false equation", "an operand from nowhere", "any step that the judge's check rejects")
    rows = tuple(
        (name, share(has[wrong]), share(has[~wrong]))
        for name, has in zip(names, (false, nowhere, visible), strict=True)
    )
    text = (
        f"Real errors are errors of reasoning: {in_words(rows[0][1])} of the wrong real solutions contain a false "
        f"equation, and {in_words(rows[2][1])} have any step that the judge could reject, against "
        f"{in_words(rows[2][2])} of the right ones. A planted flaw is ranked worse than its right solution "
        f"{in_words(planted)} of the time, a real wrong solution much less often."
        "\n\nThe help that the critic gives the judge in the trial does not carry over to real errors, most of which "
        "no single check of this judge can show. What carries over is the ranking, in part. Nothing here shows that "
        "the critic finds where a real solution goes wrong: real solutions are labelled by their answers, not by their "
        "steps."
    )
    table = Table(title="Real solutions that contain", columns=("", "wrong ones", "right ones"), rows=rows)
    return Section(title="How far planted flaws are from real errors", text=text, tables=(table,))
