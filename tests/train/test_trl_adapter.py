"""Any overseer as TRL's reward function, up to a real step of a real GRPOTrainer."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from superalign.errors import BadInput
from superalign.train.trl_adapter import dataset, reward_function
from superalign.types import Signal, Unmeasured


def counts_letters(problems, rollouts, *, seed):
    """Pays the length of a text; cannot tell of an empty one."""
    values = tuple(float(len(t)) if t else Unmeasured("empty") for t in rollouts.text_R)
    return Signal(overseer="", values=values)


def as_messages(text, role):
    return [{"role": role, "content": text}]


@pytest.mark.parametrize("plain", [True, False])
def test_values_come_back_in_order_and_unmeasured_as_none(problems, plain):
    asked, said = ["0+0", "0+0", "2+3"], ["ab", "", "c"]
    if not plain:
        asked = [as_messages(p, "user") for p in asked]
        said = [as_messages(c, "assistant") for c in said]
    got = reward_function(counts_letters, problems=problems)(
        prompts=asked, completions=said, completion_ids=[], extra=1
    )
    assert got == [2.0, None, 1.0]


def reads(problems, prompt, completion, **more):
    """What the overseer is given for one prompt and completion as TRL hands them over: the problem asked, the text."""
    seen = []

    def overseer(asked, rollouts, *, seed):
        seen.append((asked[int(rollouts.problem_R[0])].prompt, rollouts.text_R[0]))
        return counts_letters(asked, rollouts, seed=seed)

    reward_function(overseer, problems=problems, **more)(prompts=[prompt], completions=[completion])
    return seen[0]


def part(text, kind="text"):
    return {"type": kind, kind: text}


USER = [{"role": "user", "content": "0+0"}]


@pytest.mark.parametrize(
    ("prompt", "completion", "text"),
    [
        ("0+0", "ab", "ab"),
        ("0+0", "<think>\nno\n</think>\n\nab", "ab"),
        ("0+0", "<think>\nno", ""),
        ("0+0", None, ""),
        (USER, as_messages("ab", "assistant"), "ab"),
        ([{"role": "system", "content": "be brief"}, *USER], as_messages("ab", "assistant"), "ab"),
        ([*as_messages("1+1", "user"), *as_messages("#2", "assistant"), *USER], as_messages("ab", "assistant"), "ab"),
        ([*USER, *as_messages("<think>", "assistant")], as_messages("ab", "assistant"), "ab"),
        (
            [{"role": "user", "content": [part("0"), part("?", "image"), part("+0")]}],
            as_messages("ab", "assistant"),
            "ab",
        ),
        (USER, as_messages([part("a"), part("b")], "assistant"), "ab"),
        (USER, as_messages([part(None), "b"], "assistant"), "b"),
        (USER, as_messages(part("ab"), "assistant"), "ab"),
        (USER, [{"role": "assistant", "content": None, "tool_calls": [{}]}], ""),
        (USER, [{"role": "assistant", "tool_calls": [{}]}], ""),
        (USER, as_messages([], "assistant"), ""),
        (USER, [], ""),
        (USER, [*as_messages("ab", "assistant"), *as_messages("a tool's result", "tool")], "ab"),
        (USER, [*as_messages("a", "assistant"), *as_messages("7", "tool"), *as_messages("b", "assistant")], "a\nb"),
        (USER, [*as_messages("ab", "assistant"), *as_messages("and then?", "user")], "ab"),
    ],
)
def test_the_overseer_reads_what_was_asked_and_what_the_policy_wrote(problems, prompt, completion, text):
    assert reads(problems, prompt, completion) == ("0+0", text)


def test_an_empty_batch_and_a_prompt_without_a_user(problems):
    assert reward_function(counts_letters, problems=problems)(prompts=[], completions=[]) == []
    with pytest.raises(BadInput, match="prompt of no problem"):
        reward_function(counts_letters, problems=problems)(prompts=[[]], completions=[[]])


def test_two_problems_of_one_prompt_are_refused_at_once_and_the_same_one_twice_is_not(problems):
    other = dataclasses.replace(problems[0], difficulty=2)
    with pytest.raises(BadInput, match=r"Two problems have the prompt '0\+0': toy of difficulty 1 .* difficulty 2"):
        reward_function(counts_letters, problems=[*problems, other])
    assert reads([*problems, problems[0]], USER, as_messages("ab", "assistant")) == ("0+0", "ab")


def test_completions_that_were_cut_off_are_known_by_their_last_token(problems):
    seen = []

    def overseer(asked, rollouts, *, seed):
        seen.append([rollouts[r].stopped for r in range(len(rollouts))])
        return counts_letters(asked, rollouts, seed=seed)

    def judge(end_ids, **given):
        asked = {"prompts": ["0+0", "0+1", "0+2"], "completions": ["ab", "abc", "a"]}
        return reward_function(overseer, problems=problems, end_ids=end_ids)(**asked, **given)

    judge((2, 0), completion_ids=[[5, 6, 2], [5, 6, 7], [5, 0]])
    judge((), completion_ids=[[5, 6, 2], [5, 6, 7], [5, 0]])
    assert seen == [[True, False, True], [True, True, True]]
    for given in ({}, {"completion_ids": [[5]]}):
        with pytest.raises(BadInput, match="of 3 completions"):
            judge((2,), **given)


def test_each_rollout_meets_its_own_problem(problems):
    def reads_prompt(asked, rollouts, *, seed):
        return Signal(overseer="", values=tuple(float(asked[int(p)].prompt[0]) for p in rollouts.problem_R))

    got = reward_function(reads_prompt, problems=problems)(prompts=["2+0", "1+1", "2+0"], completions=["", "", ""])
    assert got == [2.0, 1.0, 2.0]


def test_the_overseers_chance_is_fresh_at_each_step_and_repeats_in_a_rerun(problems):
    def tells_seed(asked, rollouts, *, seed):
        return Signal(overseer="", values=(float(seed),))

    class State:
        def __init__(self, step):
            self.global_step = step

    def at(step, seed=0):
        reward = reward_function(tells_seed, problems=problems, seed=seed)
        return reward(prompts=["0+0"], completions=["x"], trainer_state=State(step))[0]

    assert at(1) == at(1)
    assert len({at(1), at(2), at(1, seed=1)}) == 3


def test_a_strange_prompt_and_missing_values_are_refused(problems):
    with pytest.raises(BadInput, match="prompt of no problem"):
        reward_function(counts_letters, problems=problems)(prompts=["9+9"], completions=["x"])
    with pytest.raises(BadInput, match="0 values for 1 rollouts"):
        reward_function(lambda p, r, *, seed: Signal(overseer="", values=()), problems=problems)(
            prompts=["0+0"], completions=["x"]
        )


@pytest.mark.filterwarnings("ignore")  # what TRL and its dependencies warn of is theirs
def test_a_grpo_trainer_takes_a_step_with_an_overseer(tiny, problems, tmp_path):
    trl = pytest.importorskip("trl")
    model, calls, stopped, lengths = tiny(), [], [], []

    ends = [model.tokenizer.eos_token_id, model.tokenizer.pad_token_id]

    def overseer(asked, rollouts, *, seed):
        calls.append(len(rollouts))
        stopped.extend(rollouts.stopped_R.tolist())
        lengths.extend(len(t) for t in rollouts.text_R)
        # One in four cannot be judged: it must reach the trainer as None.
        values = [float(len(t)) for t in rollouts.text_R]
        return Signal(overseer="", values=tuple(Unmeasured("no") if r % 4 == 3 else v for r, v in enumerate(values)))

    before = torch.cat([p.detach().flatten() for p in model.network.parameters()]).clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = trl.GRPOTrainer(
            model=model.network,
            reward_funcs=reward_function(overseer, problems=problems, end_ids=ends),
            args=trl.GRPOConfig(
                output_dir=str(tmp_path),
                per_device_train_batch_size=8,
                num_generations=4,
                max_completion_length=6,
                max_steps=1,
                learning_rate=1e-2,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_steps=1,
                disable_tqdm=True,
            ),
            train_dataset=dataset(problems),
            processing_class=model.tokenizer,
        )
        trainer.train()
    after = torch.cat([p.detach().flatten() for p in model.network.parameters()])
    assert calls == [8]
    assert len(stopped) == 8
    assert not any(stopped[r] for r in range(8) if lengths[r] >= 6)  # a token is a letter: six of them fill the limit
    assert not torch.equal(before, after)
    assert any(np.isfinite(row.get("reward", np.nan)) for row in trainer.state.log_history)
