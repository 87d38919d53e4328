"""Items for weak supervision: claims that a bundled base has worked out, and statements that a real model has read.

Shape suffixes: N items, L layers, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from superalign import problems
from superalign.errors import DataError
from superalign.kit.run import Run
from superalign.lab import tuned_judges
from superalign.lab.form_runs import rounded
from superalign.lab.truth_reading import STATE, SetRead, read_files, rows_of, states_in
from superalign.lab.weak_supervision import Bench
from superalign.models import activations, encode, in_half, lora, open_weights, sites
from superalign.problems import claims
from superalign.problems.family import split_of
from superalign.problems.statement_labels import labels_for
from superalign.problems.table_family import TableFamily
from superalign.stats.streams import seed_for, stream
from superalign.train.answering import HeadOdds, NewHead, TokenOdds, answer_odds
from superalign.types import Record

CHARACTERS, WORDS, EARLY = "pairs of characters", "words", "first layers"
AUTHOR, LIKELIHOOD, OWN = "another author", "likelihood", "your own labels"
Topic: TypeAlias = Literal["programs", "chains"]
Learner: TypeAlias = Literal[
    "head", "adapter", "answers"
]  # an adapter is put under a new head, or on the model's own answers
DRAWN = {"programs": claims.draw_program, "chains": claims.draw_chain}
# The smallest base whose first block is a weak supervisor, by training items: of a larger one it knows nothing of programs, of
# a smaller one everything of chains.
FIRST_BLOCK_OF = {"programs": "small", "chains": "large"}
UNKNOWN_TO_AUTHOR = {"programs": "increment", "chains": "*"}
TRUTHS = {CHARACTERS: 40, WORDS: 60, EARLY: 300}  # labels that a supervisor learns from, at most
RANK, UPPER = 4, 0.5  # of an adapter, and the share of blocks that get one: gradients end below them
RATES = {"head": 100.0, "adapter": 10.0, "answers": 10.0}  # beside a whole network: there is less to spoil
INFORMED = 0.6  # share of training statements on which a supervisor of first layers must be right


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims(Record):
    """Claims with their working, read in front of the verdict by bundled bases."""

    topic: Topic
    students: tuple[str, ...]  # bases; each seed takes the next one
    before: tuple[str, ...]  # bases that label for one another in a bootstrapping chain, before the student
    pool: int  # training claims to draw halves from
    test: int
    weak: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Record):
    """Statements of one topic that a model has read; its states lie in a file."""

    topic: str
    policy: str
    file: str
    read: SetRead
    texts: tuple[str, ...]
    questions: tuple[str, ...]  # their words decide the split
    true: tuple[bool, ...]
    labels: tuple[float, ...]  # probabilities of a supervisor of the user's own; none without one
    student: Learner
    half: bool = False  # whether adapters lie on matrices in 16 bits: decided once, for all of a run


Source: TypeAlias = Claims | Read


def sources_of(
    problems: str,
    topics: Sequence[str],
    *,
    students: tuple[str, ...],
    before: tuple[str, ...] = (),
    weak: int,
    test: int,
    run: Run,
    **reading: Any,
) -> list[Source]:
    """Name the claims on every topic, for so many labels, or let a model read statements of every topic: see `read_topics`."""
    if ":" in problems:
        return list(read_topics(problems, topics, run=run, **reading))
    pool, seed = 4 * weak + max(TRUTHS.values()), seed_for(run.seed, "claims")
    same = {"students": students, "before": before, "pool": pool, "test": test, "weak": weak, "seed": seed}
    return [Claims(topic=topic, **same) for topic in topics]  # type: ignore[arg-type]


def speed_of(source: Source) -> float:
    """Say how many times as fast as a whole network the students of a source learn."""
    return RATES[source.student] if isinstance(source, Read) else 1.0


@functools.lru_cache(maxsize=4)  # the topics of a study
def bench_of(source: Source) -> Bench:
    """Make the bench of a source."""
    return claims_bench(source) if isinstance(source, Claims) else read_bench(source)


def says_of(source: Source, seed: int) -> Float[np.ndarray, " P"]:
    """Ask the student of a seed outright, before it is trained: its log-odds of true for the test items."""
    if isinstance(source, Claims):
        return says_outright(source, source.students[seed % len(source.students)])
    return np.array(source.read.says)[bench_of(source).test_N]


@functools.lru_cache(maxsize=8)  # the students of two topics
def says_outright(source: Claims, student: str) -> Float[np.ndarray, " P"]:
    """Ask a base about claims, in the words that its pre-training gave it."""
    prompts, test_N = claims_of(source)
    asked = open_weights(student)
    words = asked.tokenizer.get_vocab()
    ids = ids_of(student, prompts, texts_in_front(prompts))
    return answer_odds(TokenOdds(asked.network, ids, yes=words["yes"], no=words["no"]), np.flatnonzero(test_N))


@functools.lru_cache(maxsize=4)  # drawing takes seconds
def claims_of(source: Claims) -> tuple[tuple[str, ...], np.ndarray]:
    """Draw different claims of all levels: training ones, then test ones, which are marked."""
    rng = stream(source.seed, "claims", source.topic)
    found: dict[str, dict[str, None]] = {"train": {}, "test": {}}
    wanted = {"train": source.pool, "test": source.test}
    for _ in range(40 * sum(wanted.values())):
        prompt = DRAWN[source.topic](rng, int(rng.choice(claims.LEVELS)))
        split = split_of(prompt)
        if len(found[split]) < wanted[split]:
            found[split][prompt] = None
    prompts = (*found["train"], *found["test"])
    return prompts, np.arange(len(prompts)) >= len(found["train"])


def texts_in_front(prompts: Sequence[str]) -> tuple[str, ...]:
    """Work claims out, up to their verdicts."""
    return tuple(claims.solve(p).text().partition("#")[0] + "#" for p in prompts)


def claims_bench(source: Claims) -> Bench:
    """Let bases read claims with their working up to the verdict; students have a new head and are trained whole."""
    prompts, test_N = claims_of(source)
    true_N = np.array([claims.solve(p).answer == "yes" for p in prompts])
    texts = texts_in_front(prompts)
    first = open_weights(FIRST_BLOCK_OF[source.topic])
    site = next(s for s in sites(first) if s.startswith("residual"))
    pairs = CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False)
    told = [f"{p} {t}" for p, t in zip(prompts, texts, strict=True)]
    counts = pairs.fit([t for t, test in zip(told, test_N, strict=True) if not test]).transform(told)
    ids = ids_of(source.before[0] if source.before else source.students[0], prompts, texts)
    unknown = UNKNOWN_TO_AUTHOR[source.topic]
    return Bench(
        true_N=true_N,
        test_N=test_N,
        question_N=np.arange(len(prompts)),
        sees={
            CHARACTERS: counts.toarray().astype(np.float32),
            EARLY: activations(first, prompts, texts, sites=[site], reduce="last")[site],
        },
        authors={AUTHOR: true_N & np.array([unknown not in p for p in prompts])},
        truths={k: TRUTHS[k] for k in (CHARACTERS, EARLY)},
        weak=source.weak,
        students=[functools.partial(new_head, (name,), ids) for name in source.before]
        + [functools.partial(new_head, source.students, ids)],
    )


def ids_of(name: str, prompts: tuple[str, ...], texts: tuple[str, ...]) -> list[np.ndarray]:
    """Return the tokens of prompts with what was written of their responses."""
    return [np.concatenate(pair) for pair in zip(*encode(open_weights(name), prompts, texts, end=False), strict=True)]


def new_head(names: Sequence[str], ids: Sequence[np.ndarray], seed: int, rows: np.ndarray) -> nn.Module:
    """Make a student of the base that is this seed's turn, under a head that says nothing yet."""
    return NewHead(open_weights(names[seed % len(names)]).network, ids)


def with_adapter(source: Read, ids: Sequence[np.ndarray], seed: int, rows: np.ndarray) -> nn.Module:
    """Make a student of a large model: an adapter and a new head are trained."""
    base, own = rounded(source.policy, half=source.half), seed_for(seed, "adapter")
    return NewHead(lora(base, rank=RANK, seed=own, upper=UPPER, kept=False).network, ids)


def who_answers(source: Read, seed: int, rows: np.ndarray) -> nn.Module:
    """Make a student of a large model: an adapter changes what it says, True or False, when it is asked."""
    base = rounded(source.policy, half=source.half)
    return tuned_judges.with_adapter(base, source.texts, seed=seed, upper=UPPER, kept=False)[1]


def read_topics(
    name: str, topics: Sequence[str], *, policy: str, each: int, every: int, student: Learner, labels: str, run: Run
) -> list[Read]:
    """Let a model read plain statements of every topic: of negations no supervisor that is at hand knows anything.

    Args:
        name: Of the statements, as statements:PATH.
        topics: As their files are called.
        policy: What reads them.
        each: Statements of a topic, or as many as there are.
        every: Layers from one that is read to the next.
        student: What will learn from them.
        labels: A file of labels of the user's own supervisor, or nothing.
        run: Whose folder holds the states.
    """
    family = problems.named(name)
    assert isinstance(family, TableFamily)
    chosen = {(t, "plain"): rows_of(family, t, "plain", train=each // 3, test=each // 6, seed=run.seed) for t in topics}
    run.stage(
        f"reading {sum(map(len, chosen.values()))} statements: states, likelihood, and what the model says of each"
    )
    found = read_files(chosen, policy=policy, every=every, run=run)
    half = student != "head" and in_half(open_weights(policy)).rounded
    return [
        Read(
            topic=topic,
            policy=policy,
            file=found[topic, polarity][0],
            read=found[topic, polarity][1],
            texts=tuple(r.text for r in rows),
            questions=tuple(r.question for r in rows),
            true=tuple(r.right == "True" for r in rows),
            labels=labels_for([r.text for r in rows], labels) if labels else (),
            student=student,
            half=half,
        )
        for (topic, polarity), rows in chosen.items()
    ]


def read_bench(source: Read) -> Bench:
    """Take the states that were read: supervisors see less of them, or words alone; students are heads, or adapters.

    Raises:
        DataError: If the states are not what was written.
    """
    states_NLD = states_in(Path(source.file), source.read)
    true_N, likelihood_N = np.array(source.true), np.array(source.read.likelihood)
    layers = states_NLD.shape[1]
    if layers < 2:
        raise DataError(
            f"Of {source.policy} {layers} layer was read. A supervisor that sees first layers and a student that sees later "
            "ones need two at least. Read more layers (every)."
        )
    test_N = np.array([split_of(q) == "test" for q in source.questions])
    late = min(layers - 1, round(0.6 * layers))
    early = first_informed(states_NLD[~test_N, :late], true_N[~test_N])
    words = CountVectorizer(binary=True, token_pattern=r"\S+")
    counts = words.fit([t for t, test in zip(source.texts, test_N, strict=True) if not test]).transform(source.texts)
    if source.student == "adapter":
        ids = ids_of(source.policy, (STATE,) * len(source.texts), source.texts)
        students = [functools.partial(with_adapter, source, ids)]
    elif source.student == "answers":
        students = [functools.partial(who_answers, source)]
    else:
        students = [
            functools.partial(head_on, states_NLD[:, layer]) for layer in sorted({early, (early + late) // 2, late})
        ]
    train = int((~test_N).sum())
    return Bench(
        true_N=true_N,
        test_N=test_N,
        question_N=np.array(source.questions),
        sees={WORDS: counts.toarray().astype(np.float32), EARLY: states_NLD[:, early]},
        authors={
            LIKELIHOOD: likelihood_N > np.median(likelihood_N[~test_N]),
            **({OWN: np.array(source.labels) > 0.5} if source.labels else {}),
        },
        truths={k: min(TRUTHS[k], train // 3) for k in (WORDS, EARLY)},
        weak=train - train // 3,
        students=students,
    )


def first_informed(states_NLD: np.ndarray, true_N: np.ndarray) -> int:
    """Choose the first layer at which a probe is right on most training statements that it was not fitted to."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    right = np.array([cross_val_score(probe, x_ND, true_N, cv=5).mean() for x_ND in states_NLD.transpose(1, 0, 2)])
    known = np.flatnonzero(right >= INFORMED)
    return int(known[0]) if len(known) else int(np.argmax(right))


def head_on(states_ND: np.ndarray, seed: int, rows: np.ndarray) -> nn.Module:
    """Make a head on states that were read."""
    return HeadOdds(states_ND, trained=rows)
