"""Any overseer as TRL's reward function, up to a real step of a real GRPOTrainer."""

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
    model, calls = tiny(), []

    def overseer(asked, rollouts, *, seed):
        calls.append(len(rollouts))
        # One in four cannot be judged: it must reach the trainer as None.
        values = [float(len(t)) for t in rollouts.text_R]
        return Signal(overseer="", values=tuple(Unmeasured("no") if r % 4 == 3 else v for r, v in enumerate(values)))

    before = torch.cat([p.detach().flatten() for p in model.network.parameters()]).clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = trl.GRPOTrainer(
            model=model.network,
            reward_funcs=reward_function(overseer, problems=problems),
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
    assert not torch.equal(before, after)
    assert any(np.isfinite(row.get("reward", np.nan)) for row in trainer.state.log_history)
