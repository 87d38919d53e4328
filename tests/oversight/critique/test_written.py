"""A critique is written as the policy says, its search trades reward for length, and training learns what is paid for."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from superalign.errors import BadInput
from superalign.lab.flawed_chains import LENGTH, solutions, wrong_steps
from superalign.oversight.conformance import check_overseer, failures
from superalign.oversight.critique.flaw_planter import PlanterConfig, PlanterPolicy, draw_edits, missed, train_planter
from superalign.oversight.critique.overseer import WritingCritic, critique_overseer
from superalign.oversight.critique.reward import (
    CritiqueRl,
    RewardModel,
    judged,
    reinforce,
    train_on_checks,
    train_reward,
)
from superalign.oversight.critique.search import Candidates, modifier_at, search
from superalign.oversight.critique.written import ABSENT, STOP, CriticPolicy, ideal, log_probability, supervise, write
from superalign.problems.arithmetic import FAMILY
from superalign.problems.chain_symbols import PLACES, SYMBOLS, read
from superalign.types import Problem, Rollouts

SOLUTIONS = solutions("train", 240, 3)


class Says(CriticPolicy):
    """Gives steps and stopping the scores it is told to, whatever is written."""

    def __init__(self, scores: list[float], stop: list[float]) -> None:
        super().__init__(SYMBOLS, PLACES, len(scores))
        self.told = torch.tensor(scores)
        self.stop_T.data = torch.tensor(stop)

    def scores(self, x_BSK: Tensor) -> Tensor:
        return self.told.expand(len(x_BSK), -1)


def blank(n: int = 4000, steps: int = 3) -> Tensor:
    return torch.zeros(n, steps, PLACES, dtype=torch.long)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def supervised(updates: int = 150) -> CriticPolicy:
    torch.manual_seed(0)
    policy = CriticPolicy(SYMBOLS, PLACES, LENGTH)
    supervise(policy, SOLUTIONS.x_BSK, SOLUTIONS.wrong_BS, updates=updates, seed=0)
    return policy


def test_words_are_drawn_with_their_probabilities() -> None:
    # Odds of steps 0, 1, 2 and stop: 2, 1, 1, 4 at first; stopping is worth 1 after one highlight, and certain after two.
    policy = Says([math.log(2), 0.0, 0.0], [math.log(4), 0.0, 20.0, 0.0])
    made = write(policy, blank(), generator=generator())
    first = made.order_BT[:, 0]
    for word, chance in ((0, 2 / 8), (1, 1 / 8), (2, 1 / 8), (STOP, 4 / 8)):
        assert abs(float((first == word).float().mean()) - chance) < 0.03
    again = made.order_BT[first == 0, 1]
    assert abs(float((again == STOP).float().mean()) - 1 / 3) < 0.06  # steps 1 and 2 are left, with odds 1, 1 and 1
    # The probability of a critique that is written down is the one it was drawn with.
    order = torch.tensor([[0, 2, STOP, STOP], [STOP] * 4])
    assert log_probability(policy, blank(2), order).exp().tolist() == pytest.approx([2 / 8 / 3, 0.5], rel=1e-4)
    assert torch.allclose(log_probability(policy, blank(), made.order_BT), made.logprob_B, atol=1e-5)


def test_forcing_makes_critiques_longer_but_not_beyond_the_steps_there_are() -> None:
    policy = Says([0.0, 0.0, 0.0], [30.0] * 4)
    assert write(policy, blank(5), generator=generator()).count_B.tolist() == [0] * 5
    assert write(policy, blank(5), generator=generator(), forced=2).count_B.tolist() == [2] * 5
    made = CriticPolicy(SYMBOLS, PLACES, LENGTH)
    x = SOLUTIONS.x_BSK[:5].clone()
    x[:, 4:] = ABSENT
    full = write(made, x, generator=generator(), forced=6)
    assert full.count_B.tolist() == [4] * 5
    assert full.flags_BS[:, 4:].sum() == 0
    assert write(made, x, generator=None).order_BT.shape == (5, LENGTH + 1)


def test_ideal_critiques_and_labels_that_say_nothing() -> None:
    assert ideal(np.array([[True, False, True]])).tolist() == [[0, 2, STOP, STOP]]
    with pytest.raises(BadInput, match="learns by contrast"):
        supervise(CriticPolicy(SYMBOLS, PLACES, LENGTH), SOLUTIONS.x_BSK, SOLUTIONS.wrong_BS * False, updates=1, seed=0)


def test_the_search_trades_reward_for_length() -> None:
    flags = torch.tensor([[[0.0, 0, 0]], [[1, 0, 0]], [[1, 1, 1]]])  # three candidates for one solution
    found = Candidates(
        flags_CBS=flags, first_CB=torch.tensor([[STOP], [0], [1]]), reward_CB=torch.tensor([[1.0], [0.5], [-1.0]])
    )
    for m, count, first in ((0.0, 0, STOP), (0.6, 1, 0), (1.0, 3, 1)):
        chosen, named = found.chosen(m)
        assert (int(chosen.sum()), int(named)) == (count, first)
    assert 0.66 < modifier_at(found, 75) < 0.76  # from there on the longest wins, which is above the percentile


def test_search_finds_what_the_reward_pays_for() -> None:
    wrong = torch.from_numpy(SOLUTIONS.wrong_BS).float()

    def exact(x: Tensor, flags: Tensor) -> Tensor:
        return (flags * wrong).sum(1) - (flags * (1 - wrong)).sum(1)

    def shuffled(x: Tensor, flags: Tensor) -> Tensor:
        return exact(x, torch.roll(flags, 7, 0))

    torch.manual_seed(0)
    policy, x = CriticPolicy(SYMBOLS, PLACES, LENGTH), SOLUTIONS.x_BSK
    hits = [
        float(exact(x, search(policy, pay, x, generator=generator()).chosen(0.0)[0]).mean())
        for pay in (exact, shuffled)
    ]
    assert hits[0] > hits[1] + 1


def test_a_judge_with_one_check() -> None:
    rng = np.random.default_rng(0)
    wrong = np.array([[True, False, False]] * 3000)
    both = np.array([[1, 1, 0]] * 3000)
    paid, looked = judged(both, wrong, rng=rng)
    assert looked.sum() == 3000
    assert not looked[:, 2].any()
    assert abs(paid.mean()) < 0.06  # half the time it looks at the true one
    assert abs(judged(both, wrong, rng=rng, trust=0.5)[0].mean() - 0.5) < 0.06  # the other is worth a half unseen
    silent = judged(both * 0, wrong, rng=rng)[0]
    assert set(silent.tolist()) == {0.0, -1.0}
    assert abs(silent.mean() + 1 / 3) < 0.05
    assert (judged(both, wrong, rng=rng, checks=3)[0] == 0.0).all()


def test_a_reward_model_learns_comparisons_and_rl_learns_the_reward() -> None:
    start = supervised(40)
    x, wrong = SOLUTIONS.x_BSK, SOLUTIONS.wrong_BS
    rng = np.random.default_rng(1)
    pair = torch.from_numpy((rng.random((len(x), 2, LENGTH)) < 0.3).astype(np.float32))
    # A judge who likes long critiques, of all things.
    better = (pair[:, 0].sum(1) > pair[:, 1].sum(1)).float() + 0.5 * (pair[:, 0].sum(1) == pair[:, 1].sum(1)).float()
    torch.manual_seed(1)
    reward = RewardModel(start)
    train_reward(reward, x, pair, better, updates=120, seed=0)
    reward.requires_grad_(False)
    said = torch.sigmoid(reward(x, pair[:, 0]) - reward(x, pair[:, 1]))
    assert float(((said - better).abs() < 0.5).float().mean()) > 0.8
    before = write(start, x, generator=generator()).count_B.mean()
    stages: list[int] = []
    longer = reinforce(
        start, reward, x, config=CritiqueRl(updates=40, lr=5e-3), seed=0, at=lambda u, policy: stages.append(u)
    )
    assert stages == list(range(41))
    assert float(write(longer, x, generator=generator()).count_B.mean()) > float(before) + 1
    assert torch.equal(write(start, x, generator=generator()).count_B.mean(), before)  # it is left as it was
    # With nothing but the penalty to earn, it stays.
    same = reinforce(start, lambda x, flags: torch.zeros(len(x)), x, config=CritiqueRl(updates=20, kl=1.0), seed=0)
    assert abs(float(write(same, x, generator=generator()).count_B.mean()) - float(before)) < 0.3
    # Checks as labels: the same direction as truth.
    looked = rng.random(wrong.shape) < 0.5
    told = train_on_checks(start, x, looked, wrong, updates=80, seed=0)
    odds = (told.scores(x) - told.stop_T[0]).numpy()
    assert odds[looked & wrong].mean() > odds[looked & ~wrong].mean() + 1


def test_a_planter_learns_what_is_missed_and_keeps_to_real_flaws() -> None:
    """A toy: edit 0 is no flaw, edits 1 to 3 of a step are; the critic highlights all but edit 2."""
    x = torch.zeros(64, 2, PLACES, dtype=torch.long)

    def edit(x: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        out = x.clone()
        out[torch.arange(len(x)), drawn // 4, 6] = drawn % 4
        return out, out[..., 6] > 0

    def flags(x: Tensor) -> Tensor:
        return ((x[..., 6] > 0) & (x[..., 6] != 2)).float()

    start = PlanterPolicy(SYMBOLS, PLACES, 2, 4)
    assert torch.allclose(start(x).exp(), torch.full((64, 8), 1 / 8))
    config = PlanterConfig(updates=60, batch=64, entropy=0.01, lr=1e-2)
    trained = train_planter(start, x, edit=edit, flags=flags, config=config, seed=0)
    drawn = draw_edits(trained, x.repeat(10, 1, 1), generator=generator()) % 4
    assert float((drawn == 2).float().mean()) > 0.9
    # A null: paid by what the critic says of other edits, it learns of the critic nothing.
    blind = train_planter(start, x, edit=edit, flags=lambda x: torch.roll(flags(x), 32, 0), config=config, seed=0)
    drawn = draw_edits(blind, x.repeat(10, 1, 1), generator=generator()) % 4
    assert float((drawn == 2).float().mean()) < 0.9
    # Variety is paid for.
    varied = PlanterConfig(updates=60, batch=64, entropy=5.0, lr=1e-2)
    wide = train_planter(start, x, edit=edit, flags=flags, config=varied, seed=0)
    assert float(-(wide(x).exp() * wide(x)).sum(1).mean()) > 1.9
    assert missed(torch.tensor([[1, 1]]), torch.tensor([[0, 1]])).tolist() == [0.0]


def asked() -> tuple[tuple[Problem, ...], Rollouts]:
    problems = FAMILY.problems(split="train", n=12, seed=5, difficulty=4)
    texts = [FAMILY.worked(p) for p in problems]
    planted = [FAMILY.plant(p, t, seed=i, kind="slip") for i, (p, t) in enumerate(zip(problems, texts, strict=True))]
    texts = [f.text if f is not None and i % 2 else t for i, (t, f) in enumerate(zip(texts, planted, strict=True))]
    return problems, Rollouts.of_texts(problems, texts)


def check_value(problem: Problem, text: str, step: int) -> bool:
    """Execute one step: does it state the right value?"""
    x_SK = read(problem, text)
    return 0 <= step < len(x_SK) and not bool(wrong_steps(x_SK)[step])


def test_the_overseer_holds_to_the_conformance_checks() -> None:
    problems, rollouts = asked()
    critic = WritingCritic(policy=supervised(), read=read)
    overseer = critique_overseer(check_step=check_value, n_steps=lambda text: text.count(";"), critic=critic)
    check_overseer(overseer, problems, rollouts)
    signal = overseer(problems, rollouts, seed=0)
    assert signal.checks == len(rollouts)
    assert any("looks wrong" in s or "nothing to criticise" in s for s in signal.said)
    # It looks where the critique says.
    said = critic(problems, rollouts, counts=[4] * 12, k=1, seed=0)
    for steps, words in zip(said.steps, said.said, strict=True):
        if words.startswith("looks wrong"):
            assert words.split("step ")[1].split(",")[0] == str(steps[0] + 1)


def test_a_critic_that_asks_for_the_answer_fails_conformance() -> None:
    problems, rollouts = asked()

    def peeking(problem: Problem, text: str) -> np.ndarray:
        x = read(problem, text)
        x[:, 0] = len(str(getattr(problem, "answer", "")))
        return x

    broken = WritingCritic(policy=supervised(10), read=peeking)
    overseer = critique_overseer(check_step=check_value, n_steps=lambda text: text.count(";"), critic=broken)
    assert "no answers" in failures(overseer, problems, rollouts)
