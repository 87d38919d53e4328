"""A critic of annotated solutions, trained only on flaws planted in right ones, that ranks solutions and names a step.

It learns by contrast: a flawed solution must look worse than a right solution of the same question, so that how hard a
question is cannot help it. What it reads is in `step_reading` and `step_features`: the question and one solution,
nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from superalign.errors import BadInput
from superalign.oversight.step_features import (
    ROLES,
    Expected,
    largest,
    last_operator,
    roles,
    size,
    solution_features,
    step_features,
)
from superalign.oversight.step_reading import HASHES, Reading, Text, Trace, read_question, trace
from superalign.types import Instrument

CARD = Instrument(
    name="step critic",
    version="1",
    catches="operands from nowhere, numbers of the question left out or used twice, results never used, implausible "
    "operations and answers, false equations; where the wording of a question leads to expect something else",
    misses="a wrong plan that uses each number once in the usual way; anything that takes understanding of the words",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCriticConfig:
    """How the critic is trained; see docs/studies/critique.md for what the settings were chosen on."""

    folds: int = 3
    """What right solutions lead to expect of a question is learned without that question, in so many folds."""
    members: int = 3
    """Networks whose scores are averaged."""
    hidden: int = 48
    """Width of a network's first layer."""
    epochs: int = 5
    """Passes over the pairs."""
    batch: int = 512
    """Pairs per update."""
    lr: float = 2e-3
    """Peak of the learning rate."""
    dropout: float = 0.3
    """Share of hidden units left out while training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A right and a flawed solution of one question, and the flawed one's first wrong step (-1: a step is missing)."""

    right: Text
    flawed: Text
    step: int


@dataclass(frozen=True, slots=True)
class _Cues:
    """Four small models from a question's wording; each learned from right solutions."""

    role: LogisticRegression
    last: LogisticRegression
    operations: Ridge
    answer: Ridge
    role_columns: np.ndarray
    columns: np.ndarray

    def expect(self, readings: Sequence[Reading]) -> list[Expected]:
        """Say what the wording of each question leads to expect."""
        flat = [n.cues for r in readings for n in r.numbers]
        table = np.full((len(flat), len(ROLES)), -8.0)
        if flat:
            table[:, self.role.classes_] = self.role.predict_log_proba(_sparse(flat)[:, self.role_columns])
        words = _sparse([r.cues for r in readings])[:, self.columns]
        last, operations, answer = (
            self.last.predict_log_proba(words),
            self.operations.predict(words),
            self.answer.predict(words),
        )
        out, at = [], 0
        for i, r in enumerate(readings):
            mine = table[at : at + len(r.numbers)]
            at += len(r.numbers)
            out.append(
                Expected(
                    roles=mine.tolist(),
                    last=dict(zip(self.last.classes_, last[i].tolist(), strict=True)),
                    operations=float(operations[i]),
                    answer=float(answer[i]) + largest(r),
                )
            )
        return out


def _sparse(rows: Sequence[Sequence[int]]) -> sp.csr_matrix:
    ends = np.cumsum([0, *(len(r) for r in rows)])
    columns = np.fromiter((c for r in rows for c in r), dtype=np.int64, count=int(ends[-1]))
    return sp.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(rows), HASHES))


def _common_columns(table: sp.csr_matrix, least: int) -> np.ndarray:
    return np.flatnonzero(np.asarray(table.sum(axis=0)).ravel() >= least)


def _fit_cues(readings: Sequence[Reading], traces: Sequence[Trace], answers: Sequence[float]) -> _Cues:
    flat = _sparse([n.cues for r in readings for n in r.numbers])
    used = [ROLES.index(role) for r, t in zip(readings, traces, strict=True) for role in roles(r, t)]
    role_columns = _common_columns(flat, 5)
    words = _sparse([r.cues for r in readings])
    columns = _common_columns(words, 4)
    # C and alpha from planted flaws held out of training; the classifiers are far from separable, so few steps do
    role = LogisticRegression(C=0.03, max_iter=40, tol=1e-3)
    last = LogisticRegression(C=0.03, max_iter=40, tol=1e-3)
    grown = [a - largest(r) for a, r in zip(answers, readings, strict=True)]
    return _Cues(
        role=role.fit(flat[:, role_columns], used),
        last=last.fit(words[:, columns], [last_operator(t) for t in traces]),
        operations=Ridge(alpha=30.0).fit(words[:, columns], [len(t.operations()) for t in traces]),
        answer=Ridge(alpha=30.0).fit(words[:, columns], grown),
        role_columns=role_columns,
        columns=columns,
    )


def _mean(expected: Sequence[Expected]) -> Expected:
    names = {k for e in expected for k in e.last}
    return Expected(
        roles=np.mean([e.roles for e in expected], axis=0).tolist(),
        last={k: float(np.mean([e.last.get(k, -6.0) for e in expected])) for k in names},
        operations=float(np.mean([e.operations for e in expected])),
        answer=float(np.mean([e.answer for e in expected])),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Names of the features, and what makes them comparable."""

    names: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray

    def apply(self, rows: Sequence[dict[str, float]]) -> np.ndarray:
        """Standardise; what lies more than four standard deviations out is as far out as that."""
        table = np.array([[row.get(n, 0.0) for n in self.names] for row in rows], np.float64)
        table = table.reshape(len(rows), len(self.names))
        return np.clip((table - self.mean) / self.sd, -4, 4).astype(np.float32)


def _scale(rows: Sequence[dict[str, float]]) -> _Scale:
    names = tuple(sorted({k for row in rows for k in row}))
    table = np.array([[row.get(n, 0.0) for n in names] for row in rows], np.float64)
    return _Scale(names, table.mean(axis=0), table.std(axis=0) + 1e-6)


def _network(width: int, config: StepCriticConfig) -> nn.Sequential:
    half = config.hidden // 2
    return nn.Sequential(
        nn.Dropout(config.dropout / 2),
        nn.Linear(width, config.hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, half),
        nn.GELU(),
        nn.Linear(half, 1),
    )


class _Described:
    """One solution in numbers; steps are described only if they are asked for."""

    def __init__(self, text: Text, reading: Reading, expected: Expected) -> None:
        self._all = (reading, trace(reading, text.solution), text.solution, expected)
        self._whole = solution_features(*self._all)

    def whole(self) -> dict[str, float]:
        return self._whole

    def steps(self) -> list[dict[str, float]]:
        return step_features(*self._all, self._whole)


@dataclass(frozen=True, eq=False)
class StepCritic:
    """A trained critic; `train_step_critic` makes it.

    Catches: see `CARD`.
    Misses: see `CARD`.
    """

    cues: tuple[_Cues, ...]
    whole: _Scale
    step: _Scale
    rankers: tuple[nn.Module, ...]
    pointers: tuple[nn.Module, ...]

    def scores(self, texts: Sequence[Text]) -> np.ndarray:
        """How suspicious each solution is, shape (N,); comparable within a question, higher is worse."""
        described = self._described(texts)
        return _mean_output(self.rankers, self.whole.apply([d.whole() for d in described]))

    def step_scores(self, texts: Sequence[Text]) -> list[np.ndarray]:
        """How suspicious each step of each solution is; comparable within a solution."""
        steps = [d.steps() for d in self._described(texts)]
        flat = _mean_output(self.pointers, self.step.apply([s for own in steps for s in own]))
        return np.split(flat, np.cumsum([len(own) for own in steps])[:-1])

    def point(self, texts: Sequence[Text]) -> np.ndarray:
        """Name one step of each solution, shape (N,); -1 where there is none."""
        return np.array([int(s.argmax()) if len(s) else -1 for s in self.step_scores(texts)], np.int64)

    def _described(self, texts: Sequence[Text]) -> list[_Described]:
        """Describe texts with what all folds expect of their questions, averaged."""
        readings = {t.question: read_question(t) for t in {t.question: t for t in texts}.values()}
        asked = list(readings.values())
        by_fold = [c.expect(asked) for c in self.cues]
        expected = {r.text: _mean([e[i] for e in by_fold]) for i, r in enumerate(asked)}
        return [_Described(t, readings[t.question], expected[t.question]) for t in texts]


def _mean_output(networks: Sequence[nn.Module], table: np.ndarray) -> np.ndarray:
    if not len(table):
        return np.zeros(0)
    with torch.no_grad():
        return torch.stack([net(torch.from_numpy(table))[:, 0] for net in networks]).mean(dim=0).double().numpy()


def train_step_critic(pairs: Sequence[Pair], *, seed: int, config: StepCriticConfig | None = None) -> StepCritic:
    """Train a critic on pairs of a right and a flawed solution of the same question.

    Args:
        pairs: Several per question; the first one's right solution also teaches what a question leads to expect.
        seed: Of the networks and of the order.
        config: See `StepCriticConfig`.

    Returns:
        The critic.

    Raises:
        BadInput: For fewer than 60 pairs.

    Source:
        Burges et al., Learning to rank using gradient descent, 2005, for the loss on pairs.
    """
    config = config or StepCriticConfig()
    if len(pairs) < 60:
        raise BadInput(
            f"{len(pairs)} pairs are too few to train a critic. It would learn their accidents. Give at least 60."
        )
    first = {p.right.question: p.right for p in reversed(pairs)}
    questions = list(first)
    readings = {q: read_question(t) for q, t in first.items()}
    traces = {q: trace(readings[q], t.solution) for q, t in first.items()}
    answers = {q: size(float(t.solution.value)) if t.solution.value is not None else 0.0 for q, t in first.items()}
    fold = {q: hashlib.sha256(q.encode()).digest()[1] % config.folds for q in questions}
    cues: list[_Cues] = []
    expected: dict[str, Expected] = {}
    for k in range(config.folds):
        known = [q for q in questions if fold[q] != k]
        fitted = _fit_cues([readings[q] for q in known], [traces[q] for q in known], [answers[q] for q in known])
        cues.append(fitted)
        asked = [q for q in questions if fold[q] == k]
        expected.update(zip(asked, fitted.expect([readings[q] for q in asked]), strict=True))
    texts = list({id(t): t for p in pairs for t in (p.right, p.flawed)}.values())
    described = {id(t): _Described(t, readings[t.question], expected[t.question]) for t in texts}
    whole = _scale([described[id(t)].whole() for t in texts])
    good = torch.from_numpy(whole.apply([described[id(p.right)].whole() for p in pairs]))
    bad = torch.from_numpy(whole.apply([described[id(p.flawed)].whole() for p in pairs]))
    located = [p for p in pairs if p.step >= 0 and len(p.flawed.solution.steps) > 1]
    steps = [described[id(p.flawed)].steps() for p in located]
    step = _scale([s for own in steps for s in own])
    longest = max((len(p.flawed.solution.steps) for p in located), default=1)
    table = torch.zeros(len(located), longest, len(step.names))
    there = torch.zeros(len(located), longest, dtype=torch.bool)
    for i, rows in enumerate(steps):
        own = torch.from_numpy(step.apply(rows))
        table[i, : len(own)], there[i, : len(own)] = own, True
    where = torch.tensor([p.step for p in located])
    rankers = tuple(_fit_ranker(good, bad, seed=seed + 100 * m, config=config) for m in range(config.members))
    pointers = tuple(
        _fit_pointer(table, there, where, seed=seed + 100 * m + 1, config=config) for m in range(config.members)
    )
    return StepCritic(cues=tuple(cues), whole=whole, step=step, rankers=rankers, pointers=pointers)


def _batches(n: int, *, rng: np.random.Generator, config: StepCriticConfig) -> list[torch.Tensor]:
    size_ = min(config.batch, max(8, n // 8))
    orders = [rng.permutation(n) for _ in range(config.epochs)]
    return [torch.from_numpy(order[b : b + size_]) for order in orders for b in range(0, n - size_ + 1, size_)]


def _fit_ranker(good: torch.Tensor, bad: torch.Tensor, *, seed: int, config: StepCriticConfig) -> nn.Module:
    """Make the flawed one of each pair score higher."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights and dropout; the caller's generator is left as it was
        net = _network(good.shape[1], config)
        batches = _batches(len(good), rng=np.random.default_rng(seed), config=config)
        optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=len(batches) + 1)
        for rows in batches:
            loss = nn.functional.softplus(net(good[rows]) - net(bad[rows])).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def _fit_pointer(
    table: torch.Tensor, there: torch.Tensor, where: torch.Tensor, *, seed: int, config: StepCriticConfig
) -> nn.Module:
    """Make the first wrong step score highest among the steps of its solution."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _network(table.shape[2], config)
        batches = _batches(len(table), rng=np.random.default_rng(seed), config=config)
        optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=len(batches) + 1)
        for rows in batches:
            scores = net(table[rows])[..., 0].masked_fill(~there[rows], -1e9)
            loss = nn.functional.cross_entropy(scores, where[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()
