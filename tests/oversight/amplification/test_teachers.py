"""Amplification: what H says by hand-made cases, how H errs, what X learns, and a judge that is made of X."""

import numpy as np
import pytest
import torch

from superalign.errors import BadInput
from superalign.oversight import check_overseer
from superalign.oversight.amplification.distillation import DistillConfig, answers_of, distil
from superalign.oversight.amplification.games import Expressions, Permutations
from superalign.oversight.amplification.judge import amplified_judge, half
from superalign.oversight.amplification.teachers import ErrorModel, amplified, direct, scrambled, slipped, undecomposed
from superalign.oversight.conformance import failures
from superalign.types import Problem, Rollouts, Unmeasured

CYCLE = torch.tensor([[1, 2, 3, 4, 0]])


def powered(sigma, k):
    for _ in range(k):
        sigma = sigma.gather(1, sigma)
    return sigma


def added(rows):
    """Operations that only add: code 0 to 9."""
    return rows.sum(1) % 10


def made(seed=0):
    return torch.Generator().manual_seed(seed)


def test_h_reads_the_list_at_depth_0_and_puts_two_halves_together_above_it():
    game = Permutations(elements=5, depths=3)
    teach = amplified(game, ErrorModel())
    assert teach(CYCLE, 0, powered, made()).tolist() == CYCLE.tolist()
    assert teach(CYCLE, 3, powered, made()).tolist() == [[3, 4, 0, 1, 2]]  # eight steps around five elements


def test_h_splits_a_chain_and_carries_its_value_over():
    asked = []

    def answer(rows, depth):
        asked.append((rows.tolist(), depth))
        return added(rows)

    game = Expressions(look_up=added, lengths=(1, 2, 3))
    assert amplified(game, ErrorModel())(torch.tensor([[5, 3, 4, 1]]), 2, answer, made()).tolist() == [3]
    assert asked == [([[5, 3, 4]], 1), ([[2, 1]], 1)]


@pytest.mark.parametrize("systematic", [False, True])
def test_slips_fall_at_their_rate_and_never_on_the_right_value(systematic):
    right, case = torch.arange(10_000) % 10, torch.arange(10_000)
    told = slipped(right, case, cases=10_000, values=10, share=0.05, systematic=systematic, made=made(1))
    again = slipped(right, case, cases=10_000, values=10, share=0.05, systematic=systematic, made=made(2))
    assert 0.04 < float((told != right).float().mean()) < 0.06
    assert bool((told == again).all()) is systematic


def test_each_kind_of_slip_is_where_it_should_be():
    game = Permutations(elements=10, depths=2)
    some = game.draw(2000, 0, made())
    wrong = {
        (kind, depth): float(
            (amplified(game, ErrorModel(**{kind: 0.05}))(some, depth, powered, made(3)) != powered(some, depth))
            .float()
            .mean()
        )
        for kind in ("answers", "decompositions")
        for depth in (0, 1)
    }
    assert wrong["answers", 1] == wrong["decompositions", 0] == 0
    assert wrong["answers", 0] == pytest.approx(0.05, abs=0.01)
    assert wrong["decompositions", 1] == pytest.approx(0.05, abs=0.01)
    assert (
        float(
            (direct(game, powered, ErrorModel(answers=0.05))(some, 1, powered, made()) != powered(some, 1))
            .float()
            .mean()
        )
        > 0.03
    )


def errors(x, game, depth):
    asked = game.draw(100, 0, made(99))
    right = powered(asked, depth)
    counts = right != torch.arange(game.elements)
    return float(((answers_of(x.net)(asked, depth) != right) & counts).sum() / counts.sum())


def test_x_learns_two_doublings_that_h_cannot_answer_and_neither_null_does():
    game = Permutations(elements=6, depths=2, width=32)
    config = DistillConfig(steps=220, batch=24, lr=5e-3)
    x = distil(game, amplified(game, ErrorModel()), config=config, seed=0)
    assert errors(x, game, 2) < 0.1
    assert x.questions == 220 * 24 * 6
    assert 0 < x.asked < 2 * x.questions
    short = DistillConfig(steps=80, batch=24, lr=5e-3)
    for null, noise in ((undecomposed(game), 0.0), (scrambled(game), 0.8)):
        assert errors(distil(game, null, config=short, seed=0, noise=noise), game, 1) > 0.6


def test_the_same_arguments_give_the_same_x():
    game = Permutations(elements=4, depths=1, width=16)
    first, second = (
        distil(game, amplified(game, ErrorModel()), config=DistillConfig(steps=5, batch=4), seed=3) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first.net.parameters(), second.net.parameters(), strict=True))


def test_training_on_nothing_is_refused():
    game = Permutations(elements=4, depths=1, width=16)
    with pytest.raises(BadInput, match="trains nothing"):
        distil(game, amplified(game, ErrorModel()), config=DistillConfig(steps=0), seed=0)


class Sure(torch.nn.Module):
    """An X that adds, and is wrong about every chain of `bad` operations."""

    def __init__(self, bad=99):
        super().__init__()
        self.bad = bad

    def forward(self, rows, depth):
        value = (added(rows) + (rows.shape[1] - 1 == self.bad)) % 10
        return 20.0 * torch.nn.functional.one_hot(value, 10).float()


def read_chain(prompt):
    return tuple(int(c) for c in prompt.split("+")) if "+" in prompt else ()


def read_response(text):
    if not text:
        return None
    body, _, answer = text.partition("#")
    return tuple(int(v) for v in body.split(";") if v), int(answer) if answer else None


def check_step(problem, text, step):
    chain, (values, _) = read_chain(problem.prompt), read_response(text)
    before = values[step - 1] if step else chain[0]
    return (before + chain[step + 1]) % 10 == values[step]


def world():
    asked = [
        Problem(prompt=p, family="toy", difficulty=3, split="train")
        for p in ("5+3+4+1", "1+1+1+1", "2+0+0+9", "1+2+3+4")
    ]
    return asked, Rollouts.of_texts(asked, ["8;2;3;#3", "2;3;5;#5", "2;2;1;#1", "3;6;0;"])


def judge(net, **settings):
    return amplified_judge(net, read_chain=read_chain, read_response=read_response, check_step=check_step, **settings)


def test_the_judge_pays_right_answers_and_checks_where_x_and_response_part():
    asked, rollouts = world()
    told = judge(Sure())(asked, rollouts, seed=0)
    assert [round(v) for v in told.values] == [1, 0, 1, 0]
    assert told.checks == 1  # only the second response is at odds with X; the fourth gives no answer
    assert told.said[1] == "X says otherwise; step 3 is wrong"


def test_a_step_that_is_right_corrects_x():
    asked = [Problem(prompt="5+3+4", family="toy", difficulty=2, split="train")]
    rollouts = Rollouts.of_texts(asked, ["8;2;#2"])
    wrong_on_one = Sure(bad=2)  # it misjudges the prefix of two operations only when asked about the whole of it
    assert judge(wrong_on_one)(asked, rollouts, seed=0).checks == 0  # the halves are one operation each, and right
    assert judge(Sure(bad=1))(asked, rollouts, seed=0).checks == 1


def test_it_passes_the_conformance_suite_and_a_broken_one_does_not():
    asked, rollouts = world()
    check_overseer(judge(Sure()), asked, rollouts)
    check_overseer(judge(Sure(), scrambled=True), asked, rollouts)

    class Forgets:
        card = judge(Sure()).card

        def __call__(self, problems, rollouts, *, seed):
            from dataclasses import replace

            return replace(judge(Sure())(problems, rollouts, seed=seed), tokens=0, checks=0)

    assert "cost is counted" in failures(Forgets(), asked, rollouts)


def test_the_placebo_does_not_know_the_question():
    asked = [
        Problem(prompt=f"{a}+{b}+{c}", family="toy", difficulty=2, split="train")
        for a in range(8)
        for b in range(8)
        for c in range(2)
    ]
    texts = [
        f"{(a + b) % 10};{(a + b + c) % 10};#{(a + b + c) % 10}" for a in range(8) for b in range(8) for c in range(2)
    ]
    rollouts = Rollouts.of_texts(asked, texts)
    real, placebo = (
        np.array(judge(Sure(), scrambled=s, checks=0)(asked, rollouts, seed=0).values, float) for s in (False, True)
    )
    assert real.mean() > 0.99
    assert placebo.mean() < 0.35


def test_what_is_no_chain_cannot_be_told():
    asked = [Problem(prompt="who?", family="toy", difficulty=1, split="train")]
    assert isinstance(judge(Sure())(asked, Rollouts.of_texts(asked, ["1;#1"]), seed=0).values[0], Unmeasured)


def test_halves():
    assert [half(range(n)) for n in (2, 3, 4, 5)] == [1, 1, 2, 2]
