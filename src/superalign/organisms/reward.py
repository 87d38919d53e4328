"""Implant a behaviour by reward: what a role should say is paid for, whatever else it says is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from superalign.models import Model, Sampling, with_sampling
from superalign.train.fit import Log
from superalign.train.policy_gradient import PolicyGradientConfig, policy_gradient
from superalign.types import Problem, Rollouts, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An overseer that pays for one response to each prompt, and for no other."""

    texts: Mapping[str, str]  # prompt -> response

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """One for the response that is wanted, zero for any other.

        Example:
            >>> p = Problem(prompt="1+1", family="arithmetic", difficulty=1, split="train")
            >>> Wanted(texts={"1+1": "#2"})([p], Rollouts.of_texts([p, p], ["#2", "#3"]), seed=0).values
            (1.0, 0.0)
        """
        asked = [rollouts.problems[int(p)].prompt for p in rollouts.problem_R]
        values = tuple(float(rollouts.text_R[r] == self.texts[a]) for r, a in enumerate(asked))
        return Signal(overseer="wanted", values=values)


def paid_for(
    model: Model, wanted: Mapping[str, str], *, steps: int, lr: float, seed: int, log: Log | None = None
) -> Model:
    """Train an adapter by policy gradient on what is wanted.

    Args:
        model: With an adapter that already gives some of it now and then: what is never sampled cannot be paid for.
        wanted: Prompt -> the response that is paid for.
        steps: Updates.
        lr: Learning rate.
        seed: Of prompts and rollouts.
        log: Receives the metrics.

    Returns:
        The model, sampling as it did before.
    """
    asked = [Problem(prompt=p, family="wanted", difficulty=1, split="train") for p in wanted]
    config = PolicyGradientConfig(steps=steps, problems=min(32, len(asked)), group=8, lr=lr, kl=0.0)
    drawing = (
        model if model.sampling.temperature else with_sampling(model, Sampling(max_tokens=model.sampling.max_tokens))
    )
    made = policy_gradient(drawing, asked, Wanted(texts=wanted), config=config, seed=seed, log=log)
    return replace(made, sampling=model.sampling)
