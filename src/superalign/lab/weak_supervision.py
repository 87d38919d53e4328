"""Students that learn from a supervisor who is often wrong: the supervisors, the ways of learning, and their controls.

Shape suffixes: N items, M of them that are labelled, P that are tested, F of what a supervisor sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.special import expit
from torch import Tensor, nn

from superalign.errors import DataError
from superalign.interp import fit_probe, read_out
from superalign.lab.arm_names import NAIVE, NOISE, TRUTH
from superalign.lab.arm_names import SAME_SIZE as SAME
from superalign.lab.arm_names import SHUFFLED as PERMUTED
from superalign.stats.streams import seed_for, stream
from superalign.train.answering import Labelled, answer_odds, fit_answers
from superalign.train.fit import FitConfig
from superalign.train.weak_losses import CONFIDENCE, WeakLoss, naive, product

# What is learned from the supervisor's labels, and by what it is held against.
HARD, HALF = "hard labels", "confident half"
PRODUCT, CHAIN, PAIR, CROWD, CLUSTERS = "product", "bootstrapping", "agreement", "ensemble", "own clusters first"
CONFIDENT = tuple(f"confidence ({schedule})" for schedule in CONFIDENCE)
WAYS = (NAIVE, HARD, *CONFIDENT, PRODUCT, HALF, CHAIN, PAIR, CROWD, CLUSTERS)
DEALT, ALONE = "errors dealt anew", "own clusters alone"
CONTROLS = (TRUTH, NOISE, DEALT, PERMUTED, SAME, ALONE)
LOSSES: Mapping[str, WeakLoss] = {PRODUCT: product, **dict(zip(CONFIDENT, CONFIDENCE.values(), strict=True))}
CROWD_SIZE = 3  # supervisors of an ensemble; they share the labels that one has
BATCH = 16  # items of an update
FEWEST = 8  # items of a class that a supervisor or a student learns from


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How long and how fast every student trains: the same for all ways."""

    rate: float
    passes: float  # over the labelled items

    def config(self, items: int, *, share: float = 1.0) -> FitConfig:
        """Return the settings of a fit to so many items; `share` of its updates."""
        steps = max(1, round(share * self.passes * items / min(BATCH, items)))
        return FitConfig(steps=steps, lr=self.rate, warmup=max(1, steps // 10), log_every=steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """Yes-or-no items, what supervisors of several kinds see of them, and who learns."""

    true_N: Bool[np.ndarray, " N"]
    test_N: Bool[np.ndarray, " N"]
    question_N: np.ndarray  # items of one question are not independent
    sees: Mapping[str, Float[np.ndarray, "N F"]]  # kind of supervisor -> what it sees
    authors: Mapping[str, Bool[np.ndarray, " N"]]  # one who is systematically wrong -> what they say
    truths: Mapping[str, int]  # labels of truth that a supervisor of a kind learns from
    weak: int  # items that it labels
    # (seed, items trained on) -> a new one; the last one is meant.
    students: Sequence[Callable[[int, np.ndarray], nn.Module]]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of supervisors."""
        return (*self.sees, *self.authors)

    def parts(self, seed: int) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " M"]]:
        """Draw the items that supervisors learn from, and those that they label.

        Raises:
            DataError: If one of the two would hold too few of a class.
        """
        order = stream(seed, "halves").permutation(np.flatnonzero(~self.test_N))
        most = max(self.truths.values(), default=0)
        taught, labelled = order[:most], order[most : most + self.weak]
        for name, some in (("learns from", taught), ("labels", labelled)):
            fewest = min(int(self.true_N[some].sum()), int((~self.true_N[some]).sum()))
            if len(some) and fewest < FEWEST:
                raise DataError(
                    f"Among the {len(some)} items that a supervisor {name}, one class has {fewest}. Nothing could be learned of "
                    f"it. Give items of both classes, at least {FEWEST} of each in both halves."
                )
        return taught, labelled

    def supervisors(self, kind: str, seed: int, *, crowd: int = 1) -> Float[np.ndarray, " N"]:
        """Train supervisors of one kind on truth and return their log-odds; of several, those of their mean probability."""
        if kind in self.authors:
            return np.where(self.authors[kind], 2.0, -2.0)
        taught = self.parts(seed)[0][: self.truths[kind]]
        odds = []
        for some in np.array_split(taught, crowd):
            x_NF, y = self.sees[kind], self.true_N[some]
            if min(y.sum(), (~y).sum()) > 0:
                odds.append(read_out(fit_probe(x_NF[some], y), x_NF))
        if not odds:
            raise DataError(
                f"Supervisors of the kind {kind!r} were given {len(taught)} items of one class, in {crowd} parts. They could "
                "learn nothing. Give items that are half true and half false."
            )
        p_N = np.mean([expit(x) for x in odds], axis=0)
        out_N: np.ndarray = np.log(p_N.clip(1e-6, 1 - 1e-6) / (1 - p_N).clip(1e-6, 1 - 1e-6))
        return out_N


def learned(bench: Bench, way: str, kind: str, training: Training, *, seed: int) -> Float[np.ndarray, " P"]:
    """Train one student one way, and return its log-odds of yes for the test items.

    Args:
        bench: Items, supervisors and students.
        way: Of `WAYS` or `CONTROLS`.
        kind: Of supervisor.
        training: How long and how fast.
        seed: Of the halves, the supervisor and the student; the same for all ways, so that they are compared in pairs.
    """
    rows, test = bench.parts(seed)[1], np.flatnonzero(bench.test_N)
    odds_N = bench.supervisors(kind, seed)
    weak_M = expit(odds_N[rows])
    if way == SAME:
        x_NF, hard_M = bench.sees[kind], weak_M > 0.5
        if hard_M.all() or not hard_M.any():
            return np.full(len(test), 1.0 if hard_M.all() else -1.0)
        return read_out(fit_probe(x_NF[rows], hard_M), x_NF[test])
    student = bench.students[-1](seed, rows)
    if way in (ALONE, CLUSTERS):
        own_M = own_clusters(student.states, rows, weak_M)  # type: ignore[arg-type]
        trained(student, rows, own_M, training, seed=seed, share=1.0 if way == ALONE else 0.5)
    if way == CHAIN:
        student, weak_M = chained(bench, rows, weak_M, training, seed=seed)
    elif way == PAIR:
        student = Pair(*(bench.students[-1](seed_for(seed, "second student") if k else seed, rows) for k in (0, 1)))
    labels_M = labels_of(way, weak_M, bench.true_N[rows], seed=seed)
    if way == CROWD:
        labels_M = expit(bench.supervisors(kind, seed, crowd=CROWD_SIZE)[rows])
    if way == HALF:
        sure = np.argsort(-abs(odds_N[rows]), kind="stable")[: len(rows) // 2]
        rows, labels_M = rows[sure], labels_M[sure]
        training = replace(training, passes=2 * training.passes)  # as many updates
    if way != ALONE:
        share = {CLUSTERS: 0.5, PAIR: 0.5, CHAIN: 1 / len(bench.students)}.get(way, 1.0)
        trained(student, rows, labels_M, training, seed=seed, share=share, loss=LOSSES.get(way, naive))
    return answer_odds(student, test)


def labels_of(
    way: str, weak_M: Float[np.ndarray, " M"], true_M: Bool[np.ndarray, " M"], *, seed: int
) -> Float[np.ndarray, " M"]:
    """Return what a student is told: the supervisor's probabilities, or what a control makes of them.

    Example:
        >>> weak, true = np.array([0.9, 0.2, 0.7, 0.4]), np.array([True, False, False, True])
        >>> labels_of("hard labels", weak, true, seed=0).tolist(), labels_of("truth", weak, true, seed=0).tolist()
        ([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0])
    """
    hard_M, rng = weak_M > 0.5, stream(seed, "labels", way)
    if way == TRUTH:
        return true_M.astype(float)
    if way == NOISE:  # as many errors, of items that have nothing in common
        wrong_M = np.zeros(len(hard_M), bool)
        wrong_M[rng.choice(len(hard_M), int((hard_M != true_M).sum()), replace=False)] = True
        return (true_M != wrong_M).astype(float)
    if way == DEALT:  # as many errors in each class
        out_M = hard_M.astype(float)
        for truth in (True, False):
            out_M[true_M == truth] = rng.permutation(out_M[true_M == truth])
        return out_M
    if way == PERMUTED:
        return rng.permutation(hard_M).astype(float)
    return hard_M.astype(float) if way == HARD else weak_M


def trained(
    student: nn.Module,
    rows: np.ndarray,
    labels_M: np.ndarray,
    training: Training,
    *,
    seed: int,
    share: float = 1.0,
    loss: WeakLoss = naive,
) -> None:
    """Train a student on labels."""

    def loss_of(module: nn.Module, batch: Labelled) -> Tensor:
        if isinstance(module, Pair):
            return module.loss(batch)
        return loss(module(batch.row_B), batch.label_B, batch.done)

    config = training.config(len(rows), share=share)
    fit_answers(student, rows=rows, labels=labels_M, loss=loss_of, config=config, batch=BATCH, seed=seed)


def chained(
    bench: Bench, rows: np.ndarray, weak_M: np.ndarray, training: Training, *, seed: int
) -> tuple[nn.Module, Float[np.ndarray, " M"]]:
    """Let each student but the last label for the next: the last one, untrained, and its labels."""
    for make in bench.students[:-1]:
        between = make(seed, rows)
        trained(between, rows, weak_M, training, seed=seed, share=1 / len(bench.students))
        weak_M = expit(answer_odds(between, rows))
    return bench.students[-1](seed, rows), weak_M


class Pair(nn.Module):
    """Two students, each taught half of the labels and to agree with the other on all items."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        """Take two untrained students."""
        super().__init__()
        self.both = nn.ModuleList([first, second])

    def forward(self, row_B: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Answer with the mean of both log-odds."""
        return torch.stack([one(row_B) for one in self.both]).mean(0)

    def loss(self, batch: Labelled) -> Tensor:
        """Return the loss of an update: each one's labels, and what the other says, which gets no gradient."""
        odds = [one(batch.row_B) for one in self.both]
        told, agreed = batch.label_B.new_zeros(()), batch.label_B.new_zeros(())
        for k, own_B in enumerate(odds):
            mine = batch.row_B % 2 == k
            if mine.any():
                told = told + naive(own_B[mine], batch.label_B[mine], batch.done) * mine.float().mean()
            agreed = agreed + naive(own_B, torch.sigmoid(odds[1 - k].detach()), batch.done) / 2
        return (told + agreed) / 2


def own_clusters(
    states: Callable[[Tensor], Tensor], rows: np.ndarray, weak_M: Float[np.ndarray, " M"]
) -> Float[np.ndarray, " M"]:
    """Split items in half along the first principal component of a student's states; labels only say which half is yes.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [0.1, -4.0], [0.0, 1.2], [0.1, -3.8]])
        >>> own_clusters(lambda rows: x[rows], np.arange(4), np.array([0.9, 0.4, 0.8, 0.6])).tolist()
        [1.0, 0.0, 1.0, 0.0]
    """
    x_MD = answer_odds(states, rows)
    x_MD = (x_MD - x_MD.mean(0)) / (x_MD.std(0) + 1e-6)
    along_M = x_MD @ np.linalg.svd(x_MD, full_matrices=False)[2][0]
    half_M = along_M > np.median(along_M)
    agrees = np.mean(half_M == (weak_M > 0.5)) >= 0.5
    out_M: np.ndarray = (half_M if agrees else ~half_M).astype(float)
    return out_M


def held_out_loss(bench: Bench, kind: str, training: Training, *, seed: int) -> tuple[float, Float[np.ndarray, " P"]]:
    """Measure how badly a naive student predicts the supervisor's labels of a fifth of the items that it was not given, nats.

    No truth is looked at beyond what the supervisor has learned from, so that settings may be chosen by it.

    Returns:
        The loss, and the same student's log-odds of yes for the test items.
    """
    rows = bench.parts(seed)[1]
    weak_M = expit(bench.supervisors(kind, seed)[rows])
    held = len(rows) // 5
    student = bench.students[-1](seed, rows[held:])
    trained(student, rows[held:], weak_M[held:], training, seed=seed)
    p = expit(answer_odds(student, rows[:held])).clip(1e-6, 1 - 1e-6)
    loss = float(-(weak_M[:held] * np.log(p) + (1 - weak_M[:held]) * np.log(1 - p)).mean())
    return loss, answer_odds(student, np.flatnonzero(bench.test_N))
