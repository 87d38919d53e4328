"""What drives a reward: features of responses by partial effects, and directions of states by taking them out.

A reward model is taken here for what it gives: rewards, and the states that its head reads. Which features a response has is
known from its text, or from a dictionary's latents. What a feature is worth is measured with the others held,
between responses to the same prompt; whether it is the cause is for whoever can edit a response, and for `without`.

Shape suffixes: N responses, K features, D width, M directions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats as distributions

from superalign.errors import BadInput


def _count(pattern: str) -> Callable[[str], float]:
    found = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    return lambda text: float(np.log1p(len(found.findall(text))))


# What raters may pay for beside what a response says, as seen in its text alone; counts by their logarithm.
TEXT_FEATURES: Mapping[str, Callable[[str], float]] = {
    "length": lambda text: float(np.log1p(len(text.split()))),
    "lists": _count(r"^\s*(?:[-*•]|\d+[.)])\s"),
    "headings and bold": _count(r"^#{1,6}\s|\*\*[^*\n]+\*\*"),
    "flattery": _count(
        r"\b(?:(?:great|good|excellent|wonderful|amazing) (?:question|idea|point|choice)|happy to help|glad you)\b"
    ),
    "hedges": _count(r"\b(?:maybe|perhaps|might|may|could|possibly|i think|i believe|seems?|not sure|generally)\b"),
    "apologies": _count(r"\b(?:sorry|apologi[sz]e|unfortunately|i can(?:no|')t)\b"),
    "exclamation marks": _count(r"!"),
    "questions": _count(r"\?"),
    "you and your": _count(r"\b(?:you|your)\b"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What each feature is worth with the others held, in standard deviations of the reward for one of the feature."""

    effect_K: Float[np.ndarray, " K"]
    low_K: Float[np.ndarray, " K"]
    high_K: Float[np.ndarray, " K"]
    p_K: Float[np.ndarray, " K"]  # 1 where a feature does not vary, or others make it up
    groups: int  # prompts

    def ranked(self, left_out: Sequence[int] = ()) -> tuple[int, ...]:
        """Number features by the size of their effect, largest first; the wanted ones can be left out."""
        return tuple(int(k) for k in np.argsort(-np.abs(self.effect_K), kind="stable") if int(k) not in left_out)


def text_features(texts: Sequence[str]) -> Float[np.ndarray, "N K"]:
    """Read the features of responses, in the order of `TEXT_FEATURES`.

    Example:
        >>> found = dict(zip(TEXT_FEATURES, text_features(["- one\\n- two!"])[0].round(2).tolist()))
        >>> found["lists"], found["exclamation marks"], found["hedges"]
        (1.1, 0.69, 0.0)
    """
    return np.array([[read(text) for read in TEXT_FEATURES.values()] for text in texts]).reshape(-1, len(TEXT_FEATURES))


def partial_effects(
    x_NK: Float[np.ndarray, "N K"], reward_N: Float[np.ndarray, " N"], group_N: Shaped[np.ndarray, " N"]
) -> Effects:
    """Regress rewards on all features at once, within prompts; errors are clustered by prompt.

    Args:
        x_NK: Features; what is wanted, such as whether the response is right, is one of them, so that it is held.
        reward_N: What the model pays.
        group_N: The prompt that each answers; only differences within a prompt count.

    Returns:
        Effects with intervals of 95 % by Student's t over prompts.

    Raises:
        BadInput: If there are not more prompts with two responses than features.

    Example:
        >>> rng = np.random.default_rng(0); x = rng.normal(size=(400, 3)); prompt = np.arange(400) // 2
        >>> found = partial_effects(x, x @ [0.0, 2.0, 0.5] + rng.normal(size=400), prompt)
        >>> found.ranked(), bool(found.low_K[1] > 0)
        ((1, 2, 0), True)
    """
    _, group_N, size_G = np.unique(group_N, return_inverse=True, return_counts=True)
    several, K = int((size_G > 1).sum()), x_NK.shape[1]
    if several <= K + 1 or not len(x_NK) == len(reward_N) == len(group_N):
        raise BadInput(
            f"{several} prompts with two responses or more are too few for {K} features of {len(x_NK)} responses. Effects could "
            "not be told apart. Give more prompts, two responses each, or fewer features."
        )
    x_NK, y_N = _within(x_NK.astype(np.float64), group_N), _within(reward_N.astype(np.float64)[:, None], group_N)[:, 0]
    scale_K = x_NK.std(0)
    held_K = scale_K > 1e-9
    x_NK = x_NK / np.where(held_K, scale_K, 1.0) * held_K
    y_N = y_N / (y_N.std() + 1e-12)
    inverse_KK = np.linalg.pinv(x_NK.T @ x_NK, rcond=1e-8)
    effect_K = inverse_KK @ x_NK.T @ y_N
    score_GK = np.zeros((len(size_G), K))
    np.add.at(score_GK, group_N, x_NK * (y_N - x_NK @ effect_K)[:, None])
    freedom = several - 1
    error_K = np.sqrt(np.diag(inverse_KK @ (score_GK.T @ score_GK) @ inverse_KK) * several / freedom).clip(1e-12)
    half_K = distributions.t.ppf(0.975, freedom) * error_K
    # A feature that others make up has no effect of its own: the inverse splits it between them.
    alone_K = held_K & (np.diag(inverse_KK @ (x_NK.T @ x_NK)) > 1 - 1e-6)
    p_K = np.where(alone_K, 2 * distributions.t.sf(np.abs(effect_K) / error_K, freedom), 1.0)
    return Effects(effect_K=effect_K, low_K=effect_K - half_K, high_K=effect_K + half_K, p_K=p_K, groups=several)


def _within(x_NK: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Subtract the mean of each group."""
    sum_GK = np.zeros((int(group_N.max()) + 1, x_NK.shape[1]))
    np.add.at(sum_GK, group_N, x_NK)
    out_NK: np.ndarray = x_NK - (sum_GK / np.bincount(group_N)[:, None])[group_N]
    return out_NK


def beside_twins(of_K: Float[np.ndarray, " K"], twins_SK: Float[np.ndarray, "S K"]) -> Float[np.ndarray, " K"]:
    """Return p-values of effects against models that were trained without a plant: one more of them, by Student's t.

    A network pays a little for anything; over many responses a little is significant. What counts is whether twins pay it too.

    Example:
        >>> p_K = beside_twins(np.array([0.1, 3.0]), np.random.default_rng(0).normal(0, 0.2, (8, 2)))
        >>> bool(p_K[0] > 0.05), bool(p_K[1] < 0.001)
        (True, True)
    """
    S = len(twins_SK)
    if S < 3:
        raise BadInput(
            f"{S} twins do not say how effects vary without a plant. No effect could stand out. Train three or more."
        )
    spread_K = twins_SK.std(0, ddof=1) * np.sqrt(1 + 1 / S) + 1e-12
    out_K: np.ndarray = 2 * distributions.t.sf(np.abs(of_K - twins_SK.mean(0)) / spread_K, S - 1)
    return out_K


def without(states_ND: Float[np.ndarray, "N D"], directions_MD: Float[np.ndarray, "M D"]) -> Float[np.ndarray, "N D"]:
    """Set states to their mean along some directions, and leave them as they are along all others.

    Example:
        >>> without(np.array([[1.0, 5.0], [3.0, 7.0]]), np.array([[2.0, 0.0]])).tolist()
        [[2.0, 5.0], [2.0, 7.0]]
    """
    basis_DM = np.linalg.qr(directions_MD.T)[0]
    out_ND: np.ndarray = states_ND - (states_ND - states_ND.mean(0)) @ basis_DM @ basis_DM.T
    return out_ND
