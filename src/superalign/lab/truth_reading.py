"""Statements that are true or false: draw them, read what a model makes of each, and fit and test probes of its states.

Shape suffixes: N statements, L layers, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from superalign import jobs
from superalign.errors import DataError
from superalign.files import whole_file
from superalign.interp import Probe, fit_probe, read_out
from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.models import activations, choice_logprobs, in_half, open_weights, response_logprobs, sites
from superalign.oversight.judges.statements import truth_question
from superalign.problems.family import split_of
from superalign.problems.kinds import NO_STEP
from superalign.problems.table_family import Row, TableFamily
from superalign.stats import auroc, auroc_bootstrap, auroc_or_half, range_of_draws
from superalign.stats.streams import seed_for, stream
from superalign.types import Record, Unmeasured

STATE = "State something."  # what a statement answers when it is read
SHUFFLES = 40  # of the training labels
FEWEST = 8  # statements of a kind that a probe is trained or tested on
Key = TypeVar("Key", bound=tuple[str, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class SetJob(Record):
    """Statements to read, and the questions whether they are true."""

    policy: str
    texts: tuple[str, ...]
    questions: tuple[str, ...]
    every: int
    half: bool  # in 16 bits
    context: str  # in front of what the model is asked, if anything
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRead(Record):
    """What the model makes of them; its states lie in the file."""

    layers: tuple[str, ...]
    sha256: str
    likelihood: tuple[float, ...]  # mean log-prob a token
    says: tuple[float, ...]  # log-odds of True against False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statements:
    """One topic in one polarity, with what was read."""

    rows: tuple[Row, ...]
    read: SetRead
    states_NLD: Float[np.ndarray, "N L D"]

    @property
    def true_N(self) -> Bool[np.ndarray, " N"]:
        """Which are true."""
        return np.array([r.right == "True" for r in self.rows])

    @property
    def test_N(self) -> Bool[np.ndarray, " N"]:
        """Which are of the test split: by the question, so that a statement and its negation stand together."""
        return np.array([split_of(r.question) == "test" for r in self.rows])


def rows_of(family: TableFamily, topic: str, polarity: str, *, train: int, test: int, seed: int) -> tuple[Row, ...]:
    """Draw statements of one topic and polarity in its main language, half of each label, as far as there are.

    Args:
        family: Of statements.
        topic: As its file is called.
        polarity: plain or negated.
        train: Training statements of each label, at most.
        test: Test statements of each label, at most.
        seed: Of the draws.

    Raises:
        DataError: If there are too few.
    """
    able = [r for r in family.rows.values() if r.negated is (polarity == "negated") and _plainly_on(r, topic)]
    rng = stream(seed, "statements", topic, polarity)
    return draw_labelled(
        able, f"{family.name} has {{}} {polarity} statements on {topic}", train=train, test=test, rng=rng
    )


def _plainly_on(r: Row, topic: str) -> bool:
    """Say whether a row is of a topic's own file, in its main language, and not joined of several."""
    return r.topic == topic and not r.language and r.source.partition(".")[0].removeprefix("neg_") == topic


def pairs_of(family: TableFamily, topic: str, *, n: int, seed: int) -> list[tuple[Row, Row]]:
    """Draw statements of one topic with their negations, half of the statements true, a third of each of the test split.

    Args:
        family: Of statements.
        topic: As its file is called.
        n: Pairs, or as many as there are.
        seed: Of the draw.

    Raises:
        DataError: If there are too few.
    """
    sides: dict[bool, dict[str, Row]] = {False: {}, True: {}}
    for r in family.rows.values():
        if r.negated is not None and _plainly_on(r, topic):
            sides[r.negated].setdefault(r.question, r)
    able = [r for q, r in sides[False].items() if q in sides[True] and sides[True][q].right != r.right]
    picked = draw_labelled(
        able,
        f"{family.name} has {{}} statements on {topic} whose negation is there too",
        train=n // 3,
        test=n // 6,
        rng=stream(seed, "pairs", topic),
    )
    return [(r, sides[True][r.question]) for r in picked]


def as_statements(family: TableFamily) -> list[Row]:
    """Turn questions with options, and solutions in steps, into statements that are true or false.

    Of the options the right one is stated, or a wrong one, as the question's hash says. Of a solution it is stated that every
    step is right.

    Example:
        >>> from superalign.problems.kinds import KINDS
        >>> asked = Row(prompt="?", text="Is ice cold?", question="is ice cold", right="(A)", wrong="(B)", options=("Yes", "No"))
        >>> found = as_statements(TableFamily(kind=KINDS["choices"], path="", rows={"?": asked}))[0]
        >>> found.text in ("Q: Is ice cold?\\nA: Yes", "Q: Is ice cold?\\nA: No"), found.right == str(found.text[-3:] == "Yes")
        (True, True)
    """
    made = []
    for row in family.rows.values():
        if family.kind.name == "steps":
            true = row.right == NO_STEP
            steps = "\n".join(f"Step {i}: {step}" for i, step in enumerate(row.options, 1))
            text = f"Problem: {row.text}\n\n{steps}\n\nEvery step of this solution is right."
        else:
            true = hashlib.sha256(b"stated" + row.question.encode()).digest()[0] % 2 == 0
            letter = (row.right if true else row.wrong).strip("()")
            text = f"Q: {row.text}\nA: {row.options[ascii_uppercase.index(letter)]}"
        made.append(replace(row, prompt=truth_question(text), text=text, right=str(true), wrong=str(not true)))
    return made


def draw_labelled(
    able: Sequence[Row], there_are: str, *, train: int, test: int, rng: np.random.Generator
) -> tuple[Row, ...]:
    """Draw half of each label from both splits.

    Args:
        able: Rows that are right as True or False.
        there_are: What they are, for an error; `{}` stands for how many of which label.
        train: Training rows of each label, at most.
        test: Test rows of each label, at most.
        rng: Of the draws.

    Raises:
        DataError: If there are too few.
    """
    picked: list[Row] = []
    for label in ("True", "False"):
        for split, most in (("train", train), ("test", test)):
            some = [r for r in able if r.right == label and split_of(r.question) == split]
            picked += [some[int(i)] for i in rng.permutation(len(some))[:most]]
            if (there := min(len(some), most)) < FEWEST:
                raise DataError(
                    f"{there_are.format(f'{there} {label.lower()}')} in its {split} split. A probe cannot be trained or "
                    f"tested on fewer than {FEWEST}. Choose other topics, or more statements (each)."
                )
    return tuple(picked)


def read_sets(chosen: Mapping[Key, Sequence[Row]], *, policy: str, every: int, run: Run) -> dict[Key, Statements]:
    """Read sets of statements, each in a job of its own.

    Args:
        chosen: Words that name a set -> its statements.
        policy: What reads them.
        every: Layers from one that is read to the next.
        run: Whose folder holds the states.
    """
    found = read_files(chosen, policy=policy, every=every, run=run)
    return {
        key: Statements(rows=tuple(chosen[key]), read=read, states_NLD=states_in(Path(file), read))
        for key, (file, read) in found.items()
    }


def read_files(
    chosen: Mapping[Key, Sequence[Row]], *, policy: str, every: int, run: Run, context: str = ""
) -> dict[Key, tuple[str, SetRead]]:
    """Read sets of statements as `read_sets` does; return for each the file that holds its states, and all else.

    Args:
        chosen: Words that name a set, and its file -> its statements.
        policy: What reads them.
        every: Layers from one that is read to the next.
        run: Whose folder holds the states.
        context: Stands in front of what the model is asked, if anything.
    """
    where = run.folder / "work" / "states"
    where.mkdir(parents=True, exist_ok=True)
    half = in_half(open_weights(policy)).rounded  # decided once: states in 16 and in 32 bits are not to be mixed
    if half:
        run.stage(f"{policy} is read in 16 bits, which is faster here and close enough")
    items = [
        SetJob(
            policy=policy,
            texts=tuple(r.text for r in rows),
            questions=tuple(r.prompt for r in rows),
            every=every,
            half=half,
            context=context,
            file=jobs.Into(where / f"{'-'.join(key)}.npy"),
        )
        for key, rows in chosen.items()
    ]
    found = run.map(set_job, items, name="sets", progress="reading")
    return {key: (item.file, read) for key, item, read in zip(chosen, items, found, strict=True)}


def set_job(job: SetJob) -> SetRead:
    """Read one set, and write the states of its statements."""
    model = open_weights(job.policy)
    if job.half:
        model = in_half(model, faster=0.0).model
    residual = [s for s in sites(model) if s.startswith("residual.")]
    layers = tuple(residual[job.every - 1 :: job.every])
    before = f"{job.context} " if job.context else ""
    front = [before + STATE] * len(job.texts)
    found = activations(model, front, job.texts, sites=layers, reduce="last")
    with whole_file(Path(job.file)) as file:
        np.save(file, np.stack([found[site] for site in layers], axis=1).astype(np.float16))
    logprobs_NT, length_N = response_logprobs(model, front, job.texts, end=False)
    says_N2 = choice_logprobs(model, [before + q for q in job.questions], ["True", "False"])
    return SetRead(
        layers=layers,
        sha256=hashlib.sha256(Path(job.file).read_bytes()).hexdigest(),
        likelihood=tuple(map(float, logprobs_NT.sum(1) / length_N)),
        says=tuple(map(float, says_N2[:, 0] - says_N2[:, 1])),
    )


def states_in(file: Path, read: SetRead) -> Float[np.ndarray, "N L D"]:
    """Load the states that a job wrote.

    Raises:
        DataError: If the file is not the one that it wrote.
    """
    if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != read.sha256:
        raise DataError(
            f"{file} is not what was written there. Probes would read something else. Run into a new folder."
        )
    states: np.ndarray = np.load(file, allow_pickle=False).astype(np.float32)
    return states


def fit_heads(
    x_NLD: Float[np.ndarray, "N L D"], y_N: Bool[np.ndarray, " N"], questions: Sequence[str], rng: np.random.Generator
) -> tuple[int, list[Probe]]:
    """Choose a layer, and fit a probe there, and others to shuffled labels: (layer, the probe and the shuffled ones)."""
    layer = best_layer(x_NLD, y_N, questions)
    labels = [y_N, *(rng.permutation(y_N) for _ in range(SHUFFLES))]
    return layer, [fit_probe(x_NLD[:, layer], y) for y in labels]


def by_chance(
    x_ND: Float[np.ndarray, "N D"],
    y_N: Bool[np.ndarray, " N"],
    at_MD: Float[np.ndarray, "M D"],
    truth_M: Bool[np.ndarray, " M"],
    rng: np.random.Generator,
) -> Estimate:
    """Measure what probes of shuffled labels reach: statements that lie together are read alike by any direction."""
    reached = []
    for _ in range(SHUFFLES):
        scores_M = read_out(fit_probe(x_ND, rng.permutation(y_N)), at_MD)
        reached.append(auroc(scores_M[truth_M], negatives=scores_M[~truth_M]))
    known = [x for x in reached if isinstance(x, float)]
    if not known:
        return Unmeasured("one class only")
    return range_of_draws(known, n=len(truth_M))


def best_layer(x_NLD: Float[np.ndarray, "N L D"], y_N: Bool[np.ndarray, " N"], questions: Sequence[str]) -> int:
    """Choose the layer at which a probe of two thirds of the training questions reads the other third best."""
    held_N = np.array([int(hashlib.sha256(b"layer" + q.encode()).hexdigest(), 16) % 3 == 0 for q in questions])
    found = []
    for layer in range(x_NLD.shape[1]):
        scores_N = read_out(fit_probe(x_NLD[~held_N, layer], y_N[~held_N]), x_NLD[held_N, layer])
        found.append(auroc_or_half(scores_N, y_N[held_N]))
    return int(np.argmax(found))


def area(scores_N: np.ndarray, true_N: np.ndarray, questions: Sequence[str], *, seed: int) -> Estimate:
    """Estimate the area under the ROC curve; statements of one question are drawn again together."""
    of_N = np.array(questions)
    return auroc_bootstrap(
        scores_N[true_N],
        negatives=scores_N[~true_N],
        clusters=(of_N[true_N], of_N[~true_N]),
        seed=seed_for(seed, "area"),
    )
