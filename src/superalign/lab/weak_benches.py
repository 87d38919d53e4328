"""Items for weak supervision: claims that a bundled base has worked out, and statements that a real model has read.

Shape suffixes: N items, L layers, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer
from torch import nn

from superalign import problems
from superalign.errors import DataError
from superalign.kit.run import Run
from superalign.lab.truth_reading import STATE, SetRead, read_files, rows_of, states_in
from superalign.lab.weak_supervision import Bench
from superalign.models import activations, encode, lora, open_weights, sites
from superalign.problems import claims
from superalign.problems.family import split_of
from superalign.problems.table_family import TableFamily
from superalign.stats.streams import seed_for, stream
from superalign.train.answering import HeadOdds, NewHead, TokenOdds, answer_odds
from superalign.types import Record

CHARACTERS, WORDS, EARLY = "pairs of characters", "words", "first layers"
AUTHOR, LIKELIHOOD = "another author", "likelihood"
Topic: TypeAlias = Literal["programs", "chains"]
DRAWN = {"programs": claims.draw_program, "chains": claims.draw_chain}
# The smallest base whose first block is a weak supervisor, by training items: of a larger one it knows nothing of programs, of
# a smaller one everything of chains.
FIRST_BLOCK_OF = {"programs": "small", "chains": "large"}
UNKNOWN_TO_AUTHOR = {"programs": "increment", "chains": "*"}
TRUTHS = {CHARACTERS: 40, WORDS: 60, EARLY: 300}  # labels that a supervisor learns from, at most
RANK = 4  # of an adapter


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
    """Statements of one topic in both polarities that a model has read; its states lie in files."""

    topic: str
    policy: str
    files: tuple[str, ...]
    sets: tuple[SetRead, ...]
    texts: tuple[str, ...]
    questions: tuple[str, ...]  # a statement and its negation are of one
    true: tuple[bool, ...]
    student: Literal["head", "adapter"]


Source: TypeAlias = Claims | Read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A bench, and what the student says outright, before it is trained: log-odds of true."""

    bench: Bench
    says_N: Float[np.ndarray, " N"]


@functools.lru_cache(maxsize=2)
def bench_of(source: Source, student: str = "") -> Found:
    """Make the bench of a source.

    Args:
        source: Where items come from.
        student: The base that is asked outright, where there are several.
    """
    return claims_bench(source, student) if isinstance(source, Claims) else read_bench(source)


def claims_of(source: Claims) -> tuple[list[str], np.ndarray]:
    """Draw different claims of all levels: training ones, then test ones, which are marked."""
    rng = stream(source.seed, "claims", source.topic)
    found: dict[str, dict[str, None]] = {"train": {}, "test": {}}
    wanted = {"train": source.pool, "test": source.test}
    for _ in range(40 * sum(wanted.values())):
        prompt = DRAWN[source.topic](rng, int(rng.choice(claims.LEVELS)))
        split = split_of(prompt)
        if len(found[split]) < wanted[split]:
            found[split][prompt] = None
    prompts = [*found["train"], *found["test"]]
    return prompts, np.arange(len(prompts)) >= len(found["train"])


def claims_bench(source: Claims, student: str) -> Found:
    """Let bases read claims with their working up to the verdict; students have a new head and are trained whole."""
    prompts, test_N = claims_of(source)
    worked = [claims.solve(p).text() for p in prompts]
    true_N = np.array([text.endswith("#yes") for text in worked])
    texts = [text.partition("#")[0] + "#" for text in worked]
    first = open_weights(FIRST_BLOCK_OF[source.topic])
    site = next(s for s in sites(first) if s.startswith("residual"))
    pairs = CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False)
    told = [f"{p} {t}" for p, t in zip(prompts, texts, strict=True)]
    counts = pairs.fit([t for t, test in zip(told, test_N, strict=True) if not test]).transform(told)
    ids = ids_of(source.before[0] if source.before else source.students[0], tuple(prompts), tuple(texts))
    unknown = UNKNOWN_TO_AUTHOR[source.topic]
    bench = Bench(
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
    asked = open_weights(student or source.students[0])
    words = asked.tokenizer.get_vocab()
    return Found(
        bench=bench,
        says_N=answer_odds(TokenOdds(asked.network, ids, yes=words["yes"], no=words["no"]), np.arange(len(ids))),
    )


def ids_of(name: str, prompts: tuple[str, ...], texts: tuple[str, ...]) -> list[np.ndarray]:
    """Return the tokens of prompts with what was written of their responses."""
    return [np.concatenate(pair) for pair in zip(*encode(open_weights(name), prompts, texts, end=False), strict=True)]


def new_head(names: Sequence[str], ids: Sequence[np.ndarray], seed: int, rows: np.ndarray) -> nn.Module:
    """Make a student of the base that is this seed's turn, under a head that says nothing yet."""
    return NewHead(open_weights(names[seed % len(names)]).network, ids)


def with_adapter(policy: str, ids: Sequence[np.ndarray], seed: int, rows: np.ndarray) -> nn.Module:
    """Make a student of a large model: an adapter and a new head are trained."""
    return NewHead(lora(open_weights(policy), rank=RANK, seed=seed_for(seed, "adapter")).network, ids)


def read_topics(
    name: str,
    topics: Sequence[str],
    *,
    policy: str,
    each: int,
    every: int,
    student: Literal["head", "adapter"],
    run: Run,
) -> list[Read]:
    """Let a model read statements of every topic, in both polarities.

    Args:
        name: Of the statements, as statements:PATH.
        topics: As their files are called.
        policy: What reads them.
        each: Statements of a topic and polarity, or as many as there are.
        every: Layers from one that is read to the next.
        student: What will learn from them.
        run: Whose folder holds the states.
    """
    family = problems.named(name)
    assert isinstance(family, TableFamily)
    chosen = {
        (t, p): rows_of(family, t, p, train=each // 3, test=each // 6, seed=run.seed)
        for t in topics
        for p in ("plain", "negated")
    }
    run.stage(
        f"reading {sum(map(len, chosen.values()))} statements: states, likelihood, and what the model says of each"
    )
    found = read_files(chosen, policy=policy, every=every, run=run)
    out = []
    for topic in topics:
        keys = [key for key in chosen if key[0] == topic]
        rows = [r for key in keys for r in chosen[key]]
        out.append(
            Read(
                topic=topic,
                policy=policy,
                files=tuple(found[key][0] for key in keys),
                sets=tuple(found[key][1] for key in keys),
                texts=tuple(r.text for r in rows),
                questions=tuple(r.question for r in rows),
                true=tuple(r.right == "True" for r in rows),
                student=student,
            )
        )
    return out


def read_bench(source: Read) -> Found:
    """Take the states that were read: supervisors see less of them, or words alone; students are heads, or adapters.

    Raises:
        DataError: If the states are not what was written.
    """
    states_NLD = np.concatenate([states_in(Path(f), s) for f, s in zip(source.files, source.sets, strict=True)])
    likelihood_N, says_N = (np.concatenate([getattr(s, x) for s in source.sets]) for x in ("likelihood", "says"))
    layers = states_NLD.shape[1]
    if layers < 2:
        raise DataError(
            f"Of {source.policy} {layers} layer was read. A supervisor that sees first layers and a student that sees later "
            "ones need two at least. Read more layers (every)."
        )
    early, middle, late = (min(layers - 1, round(share * layers)) for share in (0.25, 0.45, 0.6))
    test_N = np.array([split_of(q) == "test" for q in source.questions])
    words = CountVectorizer(binary=True, token_pattern=r"\S+")
    counts = words.fit([t for t, test in zip(source.texts, test_N, strict=True) if not test]).transform(source.texts)
    if source.student == "adapter":
        ids = ids_of(source.policy, (STATE,) * len(source.texts), source.texts)
        students = [functools.partial(with_adapter, source.policy, ids)]
    else:
        students = [functools.partial(head_on, states_NLD[:, layer]) for layer in (early, middle, late)]
    train = int((~test_N).sum())
    bench = Bench(
        true_N=np.array(source.true),
        test_N=test_N,
        question_N=np.array(source.questions),
        sees={WORDS: counts.toarray().astype(np.float32), EARLY: states_NLD[:, early]},
        authors={LIKELIHOOD: likelihood_N > np.median(likelihood_N[~test_N])},
        truths={k: min(TRUTHS[k], train // 3) for k in (WORDS, EARLY)},
        weak=train - train // 3,
        students=students,
    )
    return Found(bench=bench, says_N=says_N)


def head_on(states_ND: np.ndarray, seed: int, rows: np.ndarray) -> nn.Module:
    """Make a head on states that were read."""
    return HeadOdds(states_ND, trained=rows)
