"""Recursive reward modelling: agents trained at one level help the judge whose labels train the next.

A judge can verify one step, l op r = v, and nothing else. Level k asks what a chain of k operations is worth. With
assistants, the judge asks the agent of level k - 1 what all but the last operation are worth, and verifies the last step
from there. Without, the judge verifies one step of the response, drawn at random, from the value before it as written. The
reward model reads question and claimed answer; the agent of level k is trained on what it pays.

Nothing here knows an answer: what one step is worth is a callable that the study grants, and each use of it is counted.

Shape suffixes: B chains, T operations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from superalign.errors import BadInput
from superalign.oversight.amplification.chain_reader import DIGITS, reader
from superalign.oversight.recursive.learning import LadderConfig, Produce, Shown, learn, practise

Verify: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(value before, operation, value after) -> is this one step right? One check each; granted by the study."""
Labels: TypeAlias = Literal["assisted", "alone", "truth"]
"""Who labels. assisted: the judge verifies the last step from what the agent of the level below says of the rest; alone: the
judge verifies one random step of the response; truth: every claimed answer is labelled as it is, the ceiling."""
Shuffled: TypeAlias = Literal["nothing", "assistants", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What one level of a ladder came to."""

    level: int
    reward: nn.Module  # logits that each digit is the right answer
    agent: nn.Module  # logits of each answer
    labels: int  # each of them one check, but under truth
    paid: tuple[float, ...]  # mean reward of the agent at each measured update
    curve: tuple[float, ...]  # what `gold` said of the agent at the same updates


def label(
    kind: Labels,
    chains: Tensor,
    values: Tensor,
    *,
    agent: nn.Module | None,
    verify: Verify,
    truth: Verify | None,
    made: torch.Generator,
) -> Tensor:
    """Let the judge label claimed answers.

    Args:
        kind: How; see `Labels`.
        chains: Questions, (B, 1 + T).
        values: What the responses claim after each operation, (B, T); the last is the answer.
        agent: Of the level below; None at the first, where one step is all there is.
        verify: One step.
        truth: (chains, values, answers) -> right? Only for the ceiling.
        made: Chance, which decides the step that a judge without assistants verifies.

    Returns:
        1 for right, 0 for wrong, (B,).

    Example:
        >>> add = lambda before, operation, after: (before + operation) % 10 == after
        >>> chains, values = torch.tensor([[5, 3, 4]]), torch.tensor([[9, 3]])  # 5 + 3 is not 9
        >>> made = torch.Generator().manual_seed(0)
        >>> told = {"kind": "alone", "agent": None, "verify": add, "truth": None, "made": made}
        >>> sees = [label(chains=chains, values=values, **told) for _ in range(9)]
        >>> sorted({float(s) for s in sees})
        [0.0, 1.0]
    """
    B, T = values.shape
    if kind == "truth":
        if truth is None:
            raise BadInput(
                "Labels by truth were asked for, and no truth was granted. There is none to label by. Pass truth."
            )
        return truth(chains, values, values[:, -1]).float()
    before = torch.cat([chains[:, :1], values[:, :-1]], 1)
    at = torch.full((B,), T - 1)
    if kind == "alone":
        at = torch.randint(T, (B,), generator=made)
    elif agent is not None and T > 1:
        with torch.no_grad():
            before = before.clone()
            before[:, -1] = agent(chains[:, :-1]).argmax(-1)
    row = torch.arange(B)
    return verify(before[row, at], chains[row, 1 + at], values[row, at]).float()


def _shuffle(labels: Tensor, rng: torch.Generator) -> Tensor:
    return labels[torch.randperm(len(labels), generator=rng)]


def climb(
    kind: Labels,
    *,
    produce: Produce,
    verify: Verify,
    config: LadderConfig,
    seed: int,
    truth: Verify | None = None,
    shuffled: Shuffled = "nothing",
    more: float = 1.0,
    gold: Callable[[nn.Module, int], float] | None = None,
) -> list[Level]:
    """Climb a ladder: at each level label, fit the reward model, and train the agent that helps at the next.

    Reward model and agent of a level start from those of the level below.

    Args:
        kind: Who labels; see `Labels`.
        produce: Responses to be labelled, of any number of operations.
        verify: One step: the judge's only ability.
        config: Of the ladder.
        seed: Of weights and draws.
        truth: For the ceiling.
        shuffled: Nulls. "assistants": the agents that assist were trained on shuffled labels, the reward models that are
            returned were not. "all": these were, too.
        more: This many times the labels and updates of a reward model: computation for whoever has no agents to train.
        gold: (agent, level) -> share of its answers that are right, for the curves; grading is the study's.

    Returns:
        One level after the other.

    Raises:
        BadInput: If there is no level or no label.

    Source:
        Leike et al., Scalable agent alignment via reward modeling, 2018 (arXiv 1811.07871).
    """
    if config.levels < 1 or config.labels < 1 or config.steps < 1:
        raise BadInput(
            f"A ladder of {config.levels} levels with {config.labels} labels and {config.steps} updates teaches nothing. "
            "No reward model would come of it. Give 1 or more of each."
        )
    rng = torch.Generator().manual_seed(seed)
    start = reader(seed, width=config.width)
    # The second pair is only climbed for the null: it is trained on shuffled labels, and its agent assists.
    rewards = [copy.deepcopy(start) for _ in range(1 + (shuffled == "assistants"))]
    agents = [copy.deepcopy(start) for _ in rewards]
    seen: list[list[Shown]] = [[] for _ in rewards]
    out: list[Level] = []
    n, steps = round(more * config.labels), round(more * config.steps)
    for level in range(1, config.levels + 1):
        chains, values = produce(n, level, rng)
        helper = copy.deepcopy(agents[-1]) if level > 1 else None
        said = label(kind, chains, values, agent=helper, verify=verify, truth=truth, made=rng)
        paid: list[float] = []
        curve: list[float] = []
        for i, (reward, agent) in enumerate(zip(rewards, agents, strict=True)):
            seen[i].append(Shown(chains, values[:, -1], said if i == 0 and shuffled != "all" else _shuffle(said, rng)))
            learn(reward, seen[i], config, steps, rng)
            curves = practise(agent, reward, level, produce, config, rng, gold if i == 0 else None)
            paid, curve = curves if i == 0 else (paid, curve)
        out.append(
            Level(
                level=level,
                reward=copy.deepcopy(rewards[0]).requires_grad_(False),
                agent=copy.deepcopy(agents[0]).requires_grad_(False),
                labels=n,
                paid=tuple(paid),
                curve=tuple(curve),
            )
        )
    return out


def scored(reward: nn.Module, chains: Tensor, answers: Tensor) -> Tensor:
    """Probability that each claimed answer is right, as the reward model has it, (B,)."""
    if answers.numel() and (int(answers.min()) < 0 or int(answers.max()) >= DIGITS):
        raise BadInput("A claimed answer is no digit. The reward model has no output for it. Leave such claims out.")
    with torch.no_grad():
        return torch.sigmoid(reward(chains)).gather(1, answers[:, None])[:, 0]
