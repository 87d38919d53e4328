"""Recursive reward modelling: what a judge of one step labels, with and without help, and what comes of the ladder."""

import pytest
import torch

from superalign.errors import BadInput
from superalign.oversight import check_overseer
from superalign.oversight.conformance import failures
from superalign.oversight.recursive.judge import recursive_judge
from superalign.oversight.recursive.learning import LadderConfig
from superalign.oversight.recursive.reward import climb, label, scored
from superalign.types import Problem, Rollouts, Unmeasured


def verify(before, operation, after):
    return (before + operation) % 10 == after


def truth(chains, values, answers):
    return chains.sum(1) % 10 == answers


def produce(n, operations, made):
    """Chains of additions by 0 to 2; half of the last values are replaced."""
    chains = torch.cat(
        [torch.randint(10, (n, 1), generator=made), torch.randint(3, (n, operations), generator=made)], 1
    )
    values = chains.cumsum(1)[:, 1:] % 10
    other = torch.rand(n, generator=made) < 0.5
    values[other, -1] = torch.randint(10, (n,), generator=made)[other]
    return chains, values


class Agent(torch.nn.Module):
    """An agent that adds, and always says `shift` more."""

    def __init__(self, shift=0):
        super().__init__()
        self.shift = shift

    def forward(self, chains):
        return torch.nn.functional.one_hot((chains.sum(1) + self.shift) % 10, 10).float()


def labelled(kind, chains, values, agent=None, seed=0):
    made = torch.Generator().manual_seed(seed)
    return label(
        kind, torch.tensor(chains), torch.tensor(values), agent=agent, verify=verify, truth=truth, made=made
    ).tolist()


def test_with_an_agent_one_check_settles_the_whole_chain():
    early = [[5, 3, 4, 1]], [[9, 3, 4]]  # 5 + 3 is not 9, and the rest is worked out from there
    assert labelled("assisted", *early, agent=Agent()) == [0.0]
    assert labelled("assisted", [[5, 3, 4, 1]], [[8, 2, 3]], agent=Agent()) == [1.0]
    assert labelled("assisted", [[5, 3, 4, 1]], [[8, 2, 3]], agent=Agent(shift=1)) == [
        0.0
    ]  # a wrong agent misleads the judge
    assert {labelled("alone", *early, seed=s)[0] for s in range(12)} == {0.0, 1.0}  # one random step: seen or not
    assert labelled("truth", *early) == [0.0]


def test_at_the_first_level_nobody_needs_help():
    for kind in ("assisted", "alone", "truth"):
        assert labelled(kind, [[5, 3], [5, 3]], [[8], [9]]) == [1.0, 0.0]


def test_labels_by_truth_need_a_truth():
    with pytest.raises(BadInput, match="no truth was granted"):
        climb("truth", produce=produce, verify=verify, config=LadderConfig(levels=1, labels=10, steps=1), seed=0)


def test_a_ladder_without_levels_is_refused():
    with pytest.raises(BadInput, match="teaches nothing"):
        climb("alone", produce=produce, verify=verify, config=LadderConfig(levels=0), seed=0)


def pairs(level):
    chains, _ = produce(200, level.level, torch.Generator().manual_seed(99))
    right = chains.sum(1) % 10
    wins = [scored(level.reward, chains, right) > scored(level.reward, chains, (right + k) % 10) for k in range(1, 10)]
    return float(torch.stack(wins).float().mean())


def test_the_ladder_teaches_and_agents_of_shuffled_labels_do_not_help():
    config = LadderConfig(levels=2, labels=2000, steps=110, batch=64, width=32)
    helped = climb("assisted", produce=produce, verify=verify, config=config, seed=0)
    null = climb("assisted", produce=produce, verify=verify, config=config, seed=0, shuffled="assistants")
    assert pairs(helped[0]) > 0.9
    assert pairs(helped[1]) > pairs(null[1]) + 0.1


def read_chain(prompt):
    return tuple(int(c) for c in prompt.split("+")) if "+" in prompt else ()


def read_response(text):
    return ((), int(text[1:]) if text[1:] else None) if text else None


def test_the_judge_pays_what_the_reward_model_believes_and_passes_the_suite():
    asked = [Problem(prompt=p, family="toy", difficulty=2, split="train") for p in ("5+3+4", "1+1+1", "2+1+2")]
    rollouts = Rollouts.of_texts(asked, ["#2", "#4", "#"])
    made = recursive_judge(Agent(), read_chain=read_chain, read_response=read_response, most=2)
    values = made(asked, rollouts, seed=0).values
    assert values[0] > values[1] > values[2] == 0.0
    check_overseer(made, asked, rollouts)
    longer = [Problem(prompt="1+1+1+1", family="toy", difficulty=3, split="train")]
    assert isinstance(made(longer, Rollouts.of_texts(longer, ["#4"]), seed=0).values[0], Unmeasured)

    class Peeks:
        card = made.card

        def __call__(self, problems, rollouts, *, seed):
            return made([p for p in problems if not hasattr(p, "answer") or p.answer], rollouts, seed=seed)

    assert "no answers" in failures(Peeks(), asked, rollouts)


def test_a_claim_that_is_no_digit_is_refused():
    with pytest.raises(BadInput, match="no digit"):
        scored(Agent(), torch.tensor([[1, 1]]), torch.tensor([12]))
