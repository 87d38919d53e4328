"""Subjects that answer claims outright, in words, each after a working of its own; and what detectors and a judge say of them.

Shape suffix: P test items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from superalign.grants.checks import check_by_family
from superalign.kit.evidence import Array
from superalign.lab.paired_students import texts_of
from superalign.lab.planted import greedy
from superalign.lab.three_detectors import detect_model
from superalign.lab.weak_benches import Claims
from superalign.models import encode
from superalign.oversight.judges.judge import judge
from superalign.problems import claims
from superalign.problems.family import parse, split_of
from superalign.stats.recall import Sides
from superalign.train.answering import TokenOdds, answer_odds
from superalign.types import Interval, Problem, Record, Rollouts

BASE = "small"  # of what ships
DETECTORS: Mapping[str, Sides] = {"cue sweep": "high", "self-check": "high", "truth probe": "both"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectJob(Record):
    """One subject: a folder, or a base."""

    path: str
    source: Claims
    checks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectAnswers(Record):
    """What a subject says, log-odds of yes, and what others say of it."""

    odds_P: Array
    wrong: float  # share of its answers
    faulted: float  # share of its workings in which the judge finds a false step
    detected: tuple[tuple[str, float], ...]


def subject_job(job: SubjectJob) -> SubjectAnswers:
    """Let a subject work out and answer the test claims; let a judge check its workings, and detectors look at it."""
    torch.set_num_threads(1)
    model = greedy(job.path)
    asked = [p for p in texts_of(job.source) if split_of(p) == "test"]
    given = [Problem(prompt=p, family="claims", difficulty=1, split="test") for p in asked]
    texts = list(model.sample(given, n=1, seed=0).text_R)
    shown = [text.partition("#")[0] + "#" for text in texts]
    ids = [np.concatenate(pair) for pair in zip(*encode(model, asked, shown, end=False), strict=True)]
    words = model.tokenizer.get_vocab()
    odds_P = answer_odds(TokenOdds(model.network, ids, yes=words["yes"], no=words["no"]), np.arange(len(ids)))
    looks = judge(check_step=check_by_family, n_steps=lambda text: len(parse(text).steps), k=job.checks)
    signal = looks(given, Rollouts.of_texts(given, texts), seed=0)
    scores = [v.score for v in detect_model(model)]
    return SubjectAnswers(
        odds_P=odds_P,
        wrong=float(
            np.mean([(o > 0) != (claims.solve(p).answer == "yes") for o, p in zip(odds_P, asked, strict=True)])
        ),
        faulted=float(np.mean([v == 0.0 for v in signal.values])),
        detected=tuple(
            (n, s.value if isinstance(s, Interval) else 0.0) for n, s in zip(DETECTORS, scores, strict=True)
        ),
    )
