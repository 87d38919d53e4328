"""A critic of annotated solutions, trained only on flaws planted in right ones, that ranks solutions and names a step.

It learns by contrast: a flawed solution must look worse than a right solution of the same question, so that how hard a
question is cannot help it. What it reads is in `reading` and `features`: the question and one solution,
nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from superalign.errors import BadInput
from superalign.oversight.steps.cues import Cues, learn_cues, mean_expected
from superalign.oversight.steps.features import Expected, solution_features, step_features
from superalign.oversight.steps.reading import Reading, Text, read_question, trace
from superalign.types import Instrument

CARD = Instrument(
    name="step critic",
    version="1",
    catches="operands from nowhere, numbers of the question left out or used twice, results never used, implausible "
    "operations and answers, false equations; where the wording of a question leads to expect something else",
    misses="a wrong plan that uses each number once in the usual way; anything that takes understanding of the words",
)


FEWEST_PAIRS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCriticConfig:
    """How the critic is trained; see docs/studies/critic-transfer.md for what the settings were chosen on."""

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


class Described:
    """One solution in numbers; steps are described only if they are asked for."""

    def __init__(self, text: Text, reading: Reading, expected: Expected) -> None:
        self._all = (reading, trace(reading, text.solution), text.solution, expected)
        self._whole = solution_features(*self._all)

    def whole(self) -> dict[str, float]:
        """Features of the solution."""
        return self._whole

    def steps(self) -> list[dict[str, float]]:
        """Features of each step."""
        return step_features(*self._all, self._whole)


@dataclass(frozen=True, eq=False)
class StepCritic:
    """A trained critic; `train_step_critic` makes it.

    Catches: see `CARD`.
    Misses: see `CARD`.
    """

    cues: tuple[Cues, ...]
    whole: _Scale
    step: _Scale
    rankers: tuple[nn.Module, ...]
    pointers: tuple[nn.Module, ...]

    def scores(self, texts: Sequence[Text]) -> np.ndarray:
        """Measure how suspicious each solution is, shape (N,); comparable within a question, higher is worse."""
        described = self.described(texts)
        return _mean_output(self.rankers, self.whole.apply([d.whole() for d in described]))

    def step_scores(self, texts: Sequence[Text]) -> list[np.ndarray]:
        """Measure how suspicious each step of each solution is; comparable within a solution."""
        steps = [d.steps() for d in self.described(texts)]
        flat = _mean_output(self.pointers, self.step.apply([s for own in steps for s in own]))
        return np.split(flat, np.cumsum([len(own) for own in steps])[:-1])

    def point(self, texts: Sequence[Text]) -> np.ndarray:
        """Name one step of each solution, shape (N,); -1 where there is none."""
        return np.array([int(s.argmax()) if len(s) else -1 for s in self.step_scores(texts)], np.int64)

    def described(self, texts: Sequence[Text]) -> list[Described]:
        """Describe texts with what all folds expect of their questions, averaged."""
        readings = {t.question: read_question(t) for t in {t.question: t for t in texts}.values()}
        asked = list(readings.values())
        by_fold = [c.expect(asked) for c in self.cues]
        expected = {r.text: mean_expected([e[i] for e in by_fold]) for i, r in enumerate(asked)}
        return [Described(t, readings[t.question], expected[t.question]) for t in texts]


def _mean_output(networks: Sequence[nn.Module], table: np.ndarray) -> np.ndarray:
    if not len(table):
        return np.zeros(0)
    with torch.no_grad():
        return torch.stack([net(torch.from_numpy(table))[:, 0] for net in networks]).mean(dim=0).double().numpy()


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Pairs in numbers: rows of right and flawed solutions, and the steps of flawed ones with the first wrong step."""

    cues: tuple[Cues, ...]
    whole: _Scale
    step: _Scale
    right: torch.Tensor
    flawed: torch.Tensor
    steps: torch.Tensor
    there: torch.Tensor
    where: torch.Tensor


def _prepare(pairs: Sequence[Pair], config: StepCriticConfig) -> _Prepared:
    if len(pairs) < FEWEST_PAIRS:
        raise BadInput(
            f"{len(pairs)} pairs are too few to train a critic. It would learn their accidents. Give at least {FEWEST_PAIRS}."
        )
    first = {p.right.question: p.right for p in reversed(pairs)}
    cues, readings, expected = learn_cues(first, folds=config.folds)
    texts = list({id(t): t for p in pairs for t in (p.right, p.flawed)}.values())
    described = {id(t): Described(t, readings[t.question], expected[t.question]) for t in texts}
    whole = _scale([described[id(t)].whole() for t in texts])
    located = [p for p in pairs if p.step >= 0 and len(p.flawed.solution.steps) > 1]
    rows = [described[id(p.flawed)].steps() for p in located]
    step = _scale([row for own in rows for row in own])
    longest = max((len(own) for own in rows), default=1)
    steps = torch.zeros(len(located), longest, len(step.names))
    there = torch.zeros(len(located), longest, dtype=torch.bool)
    for i, own in enumerate(rows):
        steps[i, : len(own)], there[i, : len(own)] = torch.from_numpy(step.apply(own)), True
    return _Prepared(
        cues=tuple(cues),
        whole=whole,
        step=step,
        right=torch.from_numpy(whole.apply([described[id(p.right)].whole() for p in pairs])),
        flawed=torch.from_numpy(whole.apply([described[id(p.flawed)].whole() for p in pairs])),
        steps=steps,
        there=there,
        where=torch.tensor([p.step for p in located]),
    )


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
    data = _prepare(pairs, config)
    seeds = [seed + 100 * m for m in range(config.members)]
    return StepCritic(
        cues=data.cues,
        whole=data.whole,
        step=data.step,
        rankers=tuple(_fit_ranker(data.right, data.flawed, seed=s, config=config) for s in seeds),
        pointers=tuple(_fit_pointer(data.steps, data.there, data.where, seed=s + 1, config=config) for s in seeds),
    )


def shuffled_scores(
    pairs: Sequence[Pair], texts: Sequence[Text], *, draws: int, seed: int, config: StepCriticConfig | None = None
) -> np.ndarray:
    """Score texts with critics that were trained on shuffled labels: the null of `StepCritic.scores`.

    One shuffled critic is an arbitrary direction, and may by accident go with or against whatever real solutions differ in.
    Only the spread over several shows what no knowledge looks like.

    Args:
        pairs: As for `train_step_critic`; coins decide which of each pair counts as the flawed one.
        texts: What to score.
        draws: Critics, each with coins of its own.
        seed: Of the coins and the networks.
        config: See `StepCriticConfig`; each critic is one network.

    Returns:
        Scores, shape (draws, N).
    """
    config = config or StepCriticConfig()
    rng = np.random.default_rng([seed, 5])
    # what a question leads to expect must not be learned from the right ones alone either
    mixed = [Pair(right=p.flawed, flawed=p.right, step=-1) if rng.random() < 0.5 else p for p in pairs]
    data = _prepare(mixed, config)
    rankers = []
    for draw in range(draws):
        swap = torch.from_numpy(rng.random(len(pairs)) < 0.5)[:, None]
        right, flawed = (torch.where(swap, data.flawed, data.right), torch.where(swap, data.right, data.flawed))
        rankers.append(_fit_ranker(right, flawed, seed=seed + 100 * draw, config=config))
    critic = StepCritic(cues=data.cues, whole=data.whole, step=data.step, rankers=tuple(rankers), pointers=())
    table = data.whole.apply([d.whole() for d in critic.described(texts)])
    return np.stack([_mean_output([ranker], table) for ranker in rankers])


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
