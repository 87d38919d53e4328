"""Training of a market and its adversary: search over arguments, imitation of what moves the price, and prices of beliefs.

The market learns by cross-entropy to foresee the judge's last belief from the question and any number of arguments; it never
learns what is true. The adversary's proposals are ranked by the movement of the market's own price, so that the judge hears one
game per question however many were proposed.

Shape suffixes: B questions, N numbers, S stretches, A arguments, T arguments of one game, K games proposed per question, W width,
H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from superalign.errors import ConfigError
from superalign.oversight.market.making import NOTHING, Board, Human, hear, known_at_first
from superalign.oversight.market.players import Adversary, MarketConfig, PriceNetwork

Draw: TypeAlias = Callable[
    [int, int, np.random.Generator], tuple[np.ndarray, np.ndarray]
]  # (B, length) -> numbers, claims
SETTLED = 0.8  # share of questions that arguments settle before a curriculum goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketGame:
    """What was trained, and the board that it plays on."""

    on: Board
    market: PriceNetwork
    adversary: Adversary
    config: MarketConfig


def _argue(
    game: MarketGame, numbers_BN: np.ndarray, random_BK: Tensor, generator: torch.Generator, *, greedy: bool = False
) -> tuple[Tensor, Tensor]:
    """Propose K games per question: arguments (B, K, T), and what the judge knows before each and after all (B, K, T + 1, S)."""
    on = game.on
    T = int((numbers_BN != NOTHING).sum(1).max()) - 1 + game.config.slack
    script = on.script(T) if game.config.search == "script" else None
    left_A, right_A, whole_A = (torch.from_numpy(x) for x in (on.left_A, on.right_A, on.whole_A))
    B, K = random_BK.shape
    known = torch.from_numpy(known_at_first(on, numbers_BN)).float().unsqueeze(1).expand(B, K, -1).contiguous()
    chosen_BK = ~random_BK
    read_BK = game.adversary.read(torch.from_numpy(numbers_BN)).unsqueeze(1).expand(B, K, -1)[chosen_BK]
    said, seen = [], [known]
    for t in range(T):
        pick = torch.randint(len(whole_A), (B, K), generator=generator)
        if game.config.follow:
            free = known[..., left_A] * known[..., right_A] * (1 - known[..., whole_A]) + 1e-9
            pick = torch.multinomial(free.flatten(0, 1), 1, generator=generator).view(B, K)
        if script is not None:
            pick = torch.full_like(pick, script[t])
        elif chosen_BK.any():
            logits = game.adversary(read_BK, known[chosen_BK])
            if not greedy:  # the largest of logits plus Gumbel noise is a draw from their softmax
                logits = logits - torch.rand(logits.shape, generator=generator).clamp_min(1e-9).log().neg().log()
            pick[chosen_BK] = logits.argmax(-1)
        joined = known.gather(2, left_A[pick].unsqueeze(2)) * known.gather(2, right_A[pick].unsqueeze(2))
        whole = whole_A[pick].unsqueeze(2)
        known = known.scatter(2, whole, torch.maximum(known.gather(2, whole), joined))
        said.append(pick)
        seen.append(known)
    return torch.stack(said, dim=2), torch.stack(seen, dim=2)


def prices(game: MarketGame, numbers_BN: np.ndarray, claim_B: np.ndarray) -> np.ndarray:
    """Return the market's price of each claim before any argument, (B,)."""
    with torch.no_grad():
        read_BH = game.market.read(torch.from_numpy(numbers_BN), torch.from_numpy(claim_B))
        known_BS = torch.from_numpy(known_at_first(game.on, numbers_BN)).float()
        return np.asarray(torch.sigmoid(game.market(read_BH, known_BS)).numpy())


def settle(
    game: MarketGame,
    numbers_BN: np.ndarray,
    claim_B: np.ndarray,
    *,
    seed: int,
    proposals: int = 12,
    explore: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Let the adversary argue as hard as in training.

    Returns:
        The arguments of the game that moves the price most, (B, T), and the prices on its way, (B, T + 1).
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        random_BK = torch.zeros(len(numbers_BN), proposals, dtype=torch.bool)
        random_BK[:, proposals - round(explore * proposals) :] = True
        said, seen = _argue(game, numbers_BN, random_BK, generator)
        price = torch.sigmoid(
            game.market(game.market.read(torch.from_numpy(numbers_BN), torch.from_numpy(claim_B)), seen)
        )
        best_B = _moved(price).argmax(1)
    rows = torch.arange(len(numbers_BN))
    return said[rows, best_B].numpy(), price[rows, best_B].numpy()


def _moved(price: Tensor) -> Tensor:
    """How far prices move on their way, step by step: what the adversary is paid."""
    return price.diff(dim=-1).abs().sum(-1)


def train_market(
    on: Board,
    *,
    draw: Draw,
    human: Human,
    values: int,
    claims: int,
    config: MarketConfig,
    seed: int,
    watch: Callable[[int, MarketGame], None] | None = None,
) -> MarketGame:
    """Train a market and its adversary against a judge.

    Args:
        on: The board.
        draw: (questions, length, rng) -> rows (B, N) and claims (B,) to train on.
        human: The judge, as the study grants her.
        values: Numbers are below this.
        claims: Claims are below this.
        config: How.
        seed: Of everything random.
        watch: Called with the updates done and the game as it stands, ten times.

    Returns:
        The trained game.

    Raises:
        ConfigError: If there is nothing to train on or with.

    Source:
        Hubinger, AI safety via market making, 2020.
    """
    if config.updates < 1 or config.questions < 1 or config.proposals < 1 or on.numbers < 2:
        raise ConfigError(
            f"updates={config.updates}, questions={config.questions}, proposals={config.proposals} over rows of {on.numbers} "
            "leave nothing to train on. The price would mean nothing. Give 1 or more of each, and rows of 2 or more."
        )
    torch.manual_seed(seed)
    rng, generator = np.random.default_rng([seed, 5]), torch.Generator().manual_seed(seed)
    game = MarketGame(
        on=on,
        market=PriceNetwork(on, values=values, claims=claims, config=config),
        adversary=Adversary(on, values=values, config=config),
        config=config,
    )
    optimizer = torch.optim.AdamW(
        [*game.market.parameters(), *game.adversary.parameters()], lr=config.lr, weight_decay=0.01
    )
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / 20) * max(0.05, 1 - k / config.updates)
    )
    baseline, reached = 0.0, min(config.start or on.numbers, on.numbers)
    for update in range(config.updates):
        if watch is not None and update % max(1, config.updates // 10) == 0:
            watch(update, game)
        done = update / config.updates
        # Half the updates stay with shorter rows, so that what was learned of them is kept.
        length = (
            reached if rng.random() < 0.5 else int(rng.integers(min(config.start or reached, reached), reached + 1))
        )
        numbers_BN, claim_B = draw(config.questions, length, rng)
        said, seen, chosen = _played(game, numbers_BN, claim_B, done, generator)
        rows = torch.arange(len(numbers_BN))
        said_BT, seen_BTS = said[rows, chosen], seen[rows, chosen]
        belief_B = torch.from_numpy(hear(on, numbers_BN, claim_B, said_BT.numpy(), human, rng)).float()
        if length == reached < on.numbers and float((belief_B != 0.5).float().mean()) > SETTLED:
            reached += 1
        read_BH = game.market.read(torch.from_numpy(numbers_BN), torch.from_numpy(claim_B))
        logit_BT = game.market(read_BH, seen_BTS)
        loss = F.binary_cross_entropy_with_logits(logit_BT, belief_B.unsqueeze(1).expand_as(logit_BT))
        if config.search in ("best of n", "policy gradient"):
            logits = game.adversary(game.adversary.read(torch.from_numpy(numbers_BN)).unsqueeze(1), seen_BTS[:, :-1])
            chose_BT = F.log_softmax(logits, dim=-1).gather(2, said_BT.unsqueeze(2)).squeeze(2)
            if config.search == "best of n":
                loss = loss - chose_BT.mean()
            else:
                moved_B = _moved(torch.sigmoid(logit_BT.detach()))
                loss = loss - ((moved_B - baseline).unsqueeze(1) * chose_BT).sum(1).mean()
                baseline += 0.1 * (float(moved_B.mean()) - baseline)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay.step()
    if watch is not None:
        watch(config.updates, game)
    return game


def _played(
    game: MarketGame, numbers_BN: np.ndarray, claim_B: np.ndarray, done: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Propose games and choose one per question."""
    c, B = game.config, len(numbers_BN)
    K = c.proposals if c.search == "best of n" else 1
    random_BK = torch.zeros(B, K, dtype=torch.bool)
    if c.search == "best of n":
        share = c.explore + done * (c.explore_last - c.explore)
        random_BK[:, K - min(K - 1, round(share * K)) :] = share > 0
    random_BK |= c.search in ("random", "none")
    with torch.no_grad():
        said, seen = _argue(game, numbers_BN, random_BK, generator)
        if c.search == "none":
            seen = seen[:, :, :1].expand_as(seen)
            said = torch.zeros_like(said)
        chosen = torch.zeros(B, dtype=torch.long)
        if K > 1:
            read = game.market.read(torch.from_numpy(numbers_BN), torch.from_numpy(claim_B))
            moved = _moved(torch.sigmoid(game.market(read, seen)))
            chosen = moved.argmax(1)
    return said, seen, chosen
