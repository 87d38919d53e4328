"""Overseers of worked arithmetic by critique: the base criticises itself, or a critic of its own writes what looks wrong.

Both are made of the labelled training responses that every protocol is given. The judge behind them checks one step, as the
judge alone does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from superalign.lab.arms import Arm
from superalign.oversight.critique import self_critic
from superalign.oversight.critique.overseer import WritingCritic, critique_overseer
from superalign.oversight.critique.self_critic import SelfCritiqueOverseer, train_self_critic
from superalign.oversight.critique.self_reading import SelfCriticConfig, read
from superalign.oversight.critique.written import CriticPolicy, supervise
from superalign.oversight.judges.judge import Judge
from superalign.problems.chain_symbols import PLACES, SYMBOLS, read_units
from superalign.types import Problem, Rollouts

UPDATES = 300  # of the critic that writes


def self_critique_overseer(spec: Arm) -> SelfCritiqueOverseer:
    """Self-critique by the spec's base: it says which step of a response is wrong, and a judge looks there.

    Args:
        spec: Base, seed and settings of an arm; its own overseer does not matter.

    Catches: a wrong step that the model itself can tell, and names.
    Misses: flaws that the model cannot tell; flaws that it knows and does not name.
    """
    at, config = spec.setting, SelfCriticConfig()
    model = at.roomy(spec.base)
    asked, texts, wrong = _labelled(replace(spec, base=model))
    reading = read(model, asked, Rollouts.of_texts(asked, texts), at.spans, whole_steps=config.whole_steps)
    critic = train_self_critic(
        reading,
        flawed_R=np.array([any(w) for w in wrong]),
        wrong_S=np.array([w for of in wrong for w in of]),
        config=config,
        seed=spec.seed,
    )
    return self_critic.self_critique_overseer(
        model=model,
        critic=critic,
        spans=at.spans,
        check_step=at.check,
        n_steps=at.units,
        whole_steps=config.whole_steps,
    )


def written_critique_overseer(spec: Arm) -> Judge:
    """A written critique: a critic that reads symbols, and no model's states, highlights steps, and a judge looks at the first.

    Args:
        spec: Base, seed and settings of an arm; its own overseer does not matter.

    Catches: a wrong step that the critic highlights first.
    Misses: what its labels did not teach it; with few labels that is most.
    """
    asked, texts, wrong = _labelled(spec)
    at = spec.setting
    policy = CriticPolicy(SYMBOLS, PLACES, at.depth("A critic that reads symbols") + 1)
    critic = WritingCritic(policy=policy, read=read_units)
    x_BSK = critic.tables(asked, Rollouts.of_texts(asked, texts))
    wrong_BS = np.zeros(x_BSK.shape[:2], bool)
    for b, labels in enumerate(wrong):
        wrong_BS[b, : len(labels)] = labels
    supervise(policy, x_BSK, wrong_BS, updates=UPDATES, seed=spec.seed)
    return critique_overseer(check_step=at.check, n_steps=at.units, critic=critic, k=spec.config.checks)


def _labelled(spec: Arm) -> tuple[list[Problem], list[str], list[list[bool]]]:
    """The labelled responses that say something: nobody can criticise an empty one."""
    asked, texts, wrong = spec.labelled()
    kept = [i for i, labels in enumerate(wrong) if labels]
    return [asked[i] for i in kept], [texts[i] for i in kept], [wrong[i] for i in kept]
