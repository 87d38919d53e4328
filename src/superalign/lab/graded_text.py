"""Texts of graded hardness that a real model reads: evaluators of its states are taught a part, a generator is shown some.

Shape suffixes: N texts, M that are taught, P that are tested, L layers, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from superalign import problems
from superalign.grants.setting import Setting, setting
from superalign.interp import fit_probe, read_out
from superalign.kit.run import Run
from superalign.lab.arm_names import PERMUTED, RANDOM, UNTAUGHT
from superalign.lab.form_runs import rounded
from superalign.lab.graded_work import EVERY, SPLITS, Taught, lesson_of, verdicts
from superalign.lab.truth_reading import (
    SetRead,
    as_statements,
    best_layer,
    draw_labelled,
    read_files,
    rows_of,
    states_in,
)
from superalign.models import in_half, open_weights, response_logprobs
from superalign.oversight.judges.statements import truth_question
from superalign.problems.family import split_of
from superalign.problems.table_family import Row, TableFamily
from superalign.stats.streams import stream
from superalign.types import Record

LIKELY = "likelihood"
STEPS, LENGTH, RARE = "steps", "length, characters", "rare words (tokens a word)"
SOLUTIONS = (
    "gsm8k:",
    "jsonl:",
)  # problems with worked solutions; of a test problem the right one and one with a flaw are read
LEAST = 0.25  # share of texts that must lie on either side of a measure's median for it to be used


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts(Record):
    """Texts of one topic, half of them true, that a model has read; its states lie in a file."""

    topic: str
    file: str
    read: SetRead
    questions: tuple[str, ...]
    true: tuple[bool, ...]
    test: tuple[bool, ...]
    said: tuple[str, ...]  # the solution; of a statement all of it
    steps: tuple[int, ...]
    length: tuple[int, ...]  # of the question, where the text is a solution
    pieces: tuple[float, ...]  # tokens a word

    @property
    def true_N(self) -> Bool[np.ndarray, " N"]:
        """Which are true."""
        return np.array(self.true)

    @property
    def test_N(self) -> Bool[np.ndarray, " N"]:
        """Which are tested on."""
        return np.array(self.test)

    @property
    def cost_N(self) -> Int[np.ndarray, " N"]:
        """What it costs to label each: its steps where the data say how many, else its length."""
        return np.array(self.steps if STEPS in self.measures else self.length)

    @property
    def pairs_P2(self) -> Int[np.ndarray, "P 2"]:
        """The true and the false test text on each question that has both."""
        place = {
            (q, true): i for i, (q, true) in enumerate(zip(self.questions, self.true, strict=True)) if self.test[i]
        }
        both = [(i, place[q, False]) for (q, true), i in place.items() if true and (q, False) in place]
        return np.array(both, int).reshape(-1, 2)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of hardness by which texts differ; the first is what the data say, where they say it."""
        train_N = ~self.test_N
        split = np.median(np.array(self.steps)[train_N])
        apart = min((np.array(self.steps)[train_N] > split).mean(), (np.array(self.steps)[train_N] <= split).mean())
        return (*((STEPS,) if apart >= LEAST else ()), LENGTH, RARE, RANDOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextJob(Record):
    """One evaluator, or one generator."""

    texts: Texts
    measure: str
    arm: str
    seed: int
    few: int = 0  # hard ones among mixed ones
    policy: str = ""  # of a generator
    shots: int = 0  # solutions that it is shown
    half: bool = False  # whether it reads in 16 bits


def hardness_of(texts: Texts, measure: str) -> Float[np.ndarray, " N"]:
    """Say how hard each text is by one measure; ties are broken at random, the same way each time."""
    noise_N = stream(0, "hardness", texts.topic, measure).random(len(texts.true))
    value = {STEPS: texts.steps, LENGTH: texts.length, RARE: texts.pieces}.get(measure)
    out_N: Float[np.ndarray, " N"] = noise_N if value is None else np.array(value, float) + 1e-9 * noise_N
    return out_N


def hard_of(texts: Texts, measure: str) -> Bool[np.ndarray, " N"]:
    """Say which texts are hard: above the median of the training ones; of whole steps, above that number of steps."""
    if measure == STEPS:
        steps_N = np.array(texts.steps)
        return steps_N > np.median(steps_N[~texts.test_N])
    value_N = hardness_of(texts, measure)
    return value_N > np.median(value_N[~texts.test_N])


def hard_pairs(texts: Texts, measure: str) -> Int[np.ndarray, "P 2"]:
    """Return the right and the flawed solution of each hard test problem."""
    return texts.pairs_P2[hard_of(texts, measure)[texts.pairs_P2[:, 0]]]


def read_texts(name: str, topics: Sequence[str], *, policy: str, each: int, every: int, run: Run) -> dict[str, Texts]:
    """Draw texts of every topic and let a model read them.

    Args:
        name: Of the problems, as KIND:PATH.
        topics: Of statements, as their files are called; else the kind alone.
        policy: What reads them.
        each: Texts of a topic, or as many as there are.
        every: Layers from one that is read to the next.
        run: Whose folder holds the states.
    """
    chosen = {(t, "graded"): texts_of(name, t, each=each, seed=run.seed) for t in topics}
    run.stage(f"reading {sum(map(len, chosen.values()))} texts: states, likelihood, and what the model says of each")
    found = read_files(chosen, policy=policy, every=every, run=run)
    tokenizer = open_weights(policy).tokenizer
    out = {}
    for (topic, _), rows in chosen.items():
        file, read = found[topic, "graded"]
        out[topic] = Texts(
            topic=topic,
            file=file,
            read=read,
            questions=tuple(r.question for r in rows),
            true=tuple(r.right == "True" for r in rows),
            test=tuple(split_of(r.question) == "test" for r in rows),
            said=tuple(r.text.removeprefix(asked(r.question)) for r in rows),
            steps=tuple(r.difficulty for r in rows),
            length=tuple(len(r.question if r.text.startswith(asked(r.question)) else r.text) for r in rows),
            pieces=tuple(len(tokenizer(r.text)["input_ids"]) / len(r.text.split()) for r in rows),
        )
    return out


def texts_of(name: str, topic: str, *, each: int, seed: int) -> tuple[Row, ...]:
    """Draw texts that are true or false: statements, answers to questions, or worked solutions, half of them flawed.

    Raises:
        DataError: If there are too few.
    """
    most = {"train": each // 3, "test": each // 6}
    if name.startswith(SOLUTIONS):
        able = worked_statements(setting(name), n=4 * each, test=most["test"], seed=seed)
    else:
        family = problems.named(name)
        assert isinstance(family, TableFamily)
        if family.kind.name == "statements":
            return rows_of(family, topic, "plain", **most, seed=seed)
        able = as_statements(family)
    return draw_labelled(able, f"{name} has {{}} texts", **most, rng=stream(seed, "texts", topic))


def asked(question: str) -> str:
    """Put a problem in front of its solution."""
    return f"Problem: {question}\n\n"


def worked_statements(about: Setting, *, n: int, test: int, seed: int) -> list[Row]:
    """State of worked solutions that every step is right; half of them have a planted flaw.

    Args:
        about: The problems.
        n: That are drawn, or as many as there are.
        test: Problems of which both a right and a flawed solution are given: as many are tested on.
        seed: Of the draw.
    """
    drawn = [p for split in ("train", "test") for p in about.problems(split, min(n, about.stock.get(split, n)), seed)]
    family, rows, pairs = about.family, [], 0
    for k, problem in enumerate({p.prompt: p for p in drawn if p.split in ("train", split_of(p.prompt))}.values()):
        text = family.worked(problem)
        planted = family.plant(problem, text, seed=k)
        tested = split_of(problem.prompt) == "test"
        if planted is None or (tested and pairs == test):
            continue
        pairs += tested
        rows += [
            Row(
                prompt=truth_question(f"{said}\n\nEvery step of this solution is right."),
                text=said,
                question=problem.prompt,
                right=str(true),
                wrong=str(not true),
                difficulty=problem.difficulty,
            )
            for true in ((True, False) if tested else (k % 2 == 0,))
            for said in [asked(problem.prompt) + (text if true else planted.text)]
        ]
    return rows


def judge_jobs(texts: Texts, *, few: int, seeds: Sequence[int]) -> list[TextJob]:
    """Name all evaluators: every arm by the first measure, fewer by the others."""
    return [
        TextJob(texts=texts, measure=m, arm=arm, seed=seed, few=few)
        for m in texts.measures
        for arm in ((UNTAUGHT, LIKELY, *EVERY[2:]) if m == texts.measures[0] else SPLITS)
        for seed in seeds
    ]


def judge_job(job: TextJob) -> Taught:
    """Teach one evaluator: a linear probe at the layer that its own labels choose; before, what the model says outright."""
    texts, hard_N, n = job.texts, hard_of(job.texts, job.measure), 0
    if job.arm in (UNTAUGHT, LIKELY):
        scores_N = np.array(texts.read.says if job.arm == UNTAUGHT else texts.read.likelihood)
    else:
        train = np.flatnonzero(~texts.test_N)
        n = 2 * int(min(hard_N[train].sum(), (~hard_N[train]).sum())) // 3
        lesson = lesson_of(job.arm, train=train, hard_N=hard_N, cost_N=texts.cost_N, n=n, few=job.few, seed=job.seed)
        n, x_NLD, y_M = len(lesson.rows), states_in(Path(texts.file), texts.read), verdicts(lesson, texts.true_N)
        layer = best_layer(x_NLD[lesson.rows], y_M, [texts.questions[i] for i in lesson.rows])
        scores_N = read_out(fit_probe(x_NLD[lesson.rows, layer], y_M), x_NLD[:, layer])
    right_P, flawed_P = hard_pairs(texts, job.measure).T
    picked = tuple((scores_N[right_P] > scores_N[flawed_P]).tolist())
    return Taught(n=n, score_P=scores_N[texts.test_N], steps_PK=np.zeros((0, 0), int), picked=picked)


def show_jobs(texts: Texts, policy: str, *, shots: int, seeds: Sequence[int]) -> list[TextJob]:
    """Name all generators: every arm by the first measure, fewer by the second and by nothing."""
    half = in_half(open_weights(policy)).rounded  # decided once: each process would time it for itself
    return [
        TextJob(texts=texts, measure=m, arm=arm, seed=seed, policy=policy, shots=shots, half=half)
        for m in dict.fromkeys((*texts.measures[:2], RANDOM))
        for arm in ((*SPLITS, PERMUTED) if m == texts.measures[0] else SPLITS)
        for seed in (seeds[:1] if arm == UNTAUGHT else seeds)
    ]


def show_job(job: TextJob) -> Taught:
    """Show some training solutions to a generator: is the right solution of a hard problem likelier than the flawed one?"""
    texts, pairs_P2, n = job.texts, hard_pairs(job.texts, job.measure), 0 if job.arm == UNTAUGHT else job.shots
    able, hard_N = np.flatnonzero(~texts.test_N & texts.true_N), hard_of(texts, job.measure)
    rows = lesson_of(job.arm, train=able, hard_N=hard_N, cost_N=texts.cost_N, n=n, few=0, seed=job.seed).rows
    solved = np.roll(rows, 1) if job.arm == PERMUTED else rows  # else some would keep their own
    turns = [(("user", texts.questions[q]), ("assistant", texts.said[a])) for q, a in zip(rows, solved, strict=True)]
    shown = [turn for both in turns for turn in both]
    chats = [(*shown, ("user", texts.questions[i])) for i in pairs_P2[:, 0]]
    model = rounded(job.policy, half=job.half)
    right_P, flawed_P = (response_logprobs(model, chats, [texts.said[i] for i in s])[0].sum(1) for s in pairs_P2.T)
    more_P = (right_P > flawed_P).astype(float)
    return Taught(n=len(rows), score_P=more_P, steps_PK=np.zeros((0, 0), int), picked=())
