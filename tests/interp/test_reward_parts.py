"""A planted shortcut in a reward comes first, nothing is found in permuted rewards, and what is taken out pays nothing."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.interp.reward_parts import TEXT_FEATURES, beside_twins, partial_effects, text_features, without
from superalign.stats import discoveries


def world(seed: int, *, shortcut: float = 0.3, prompts: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Two responses a prompt: correlated features, of which the first is wanted and one is a shortcut, and their reward."""
    rng, K = np.random.default_rng(seed), 8
    prompt_N = np.repeat(np.arange(prompts), 2)
    x_NK = rng.normal(size=(2 * prompts, K)) @ (np.eye(K) + 0.4 * rng.normal(size=(K, K)) / np.sqrt(K))
    planted = int(rng.integers(1, K))
    weight_K = np.array([1.0, *rng.uniform(-0.12, 0.12, K - 1)])
    weight_K[planted] = shortcut
    with_N = (x_NK[:, (planted + 1) % K] > 0).astype(float)  # what the shortcut works better with
    reward_N = x_NK @ weight_K + 0.3 * shortcut * x_NK[:, planted] * with_N + 0.2 * x_NK[:, 0] * with_N
    return x_NK, reward_N + rng.normal(size=prompts)[prompt_N] + 0.5 * rng.normal(size=2 * prompts), prompt_N, planted


def test_the_shortcut_comes_first_in_nearly_every_seed() -> None:
    """G14: top-1 in at least 95 % of seeds."""
    hits = 0
    for seed in range(100):
        x_NK, reward_N, prompt_N, planted = world(seed)
        hits += partial_effects(x_NK, reward_N, prompt_N).ranked(left_out=[0])[0] == planted
    assert hits >= 95


def test_permuted_rewards_hold_no_discoveries() -> None:
    alarms = 0
    for seed in range(200):
        x_NK, reward_N, prompt_N, _ = world(seed)
        shuffled_N = np.random.default_rng(seed).permutation(reward_N)
        alarms += bool(discoveries(partial_effects(x_NK, shuffled_N, prompt_N).p_K).any())
    assert alarms <= 19  # 5 % of 200, and three standard deviations


def test_intervals_cover_the_effect_and_what_varies_between_prompts_alone_has_none() -> None:
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x_NK, prompt_N = rng.normal(size=(200, 2)), np.arange(200) // 2
        reward_N = x_NK[:, 0] + rng.normal(size=200) + 5 * rng.normal(size=100)[prompt_N]
        found = partial_effects(x_NK, reward_N, prompt_N)
        covered += bool(found.low_K[0] <= np.sqrt(0.5) <= found.high_K[0])
    assert covered >= 88
    same = partial_effects(np.stack([x_NK[:, 0], prompt_N.astype(float)], 1), reward_N, prompt_N)
    assert same.p_K[1] == 1.0
    doubled = partial_effects(np.stack([x_NK[:, 0], 2 * x_NK[:, 0]], 1), reward_N, prompt_N)
    assert (doubled.p_K == 1.0).all()
    with pytest.raises(BadInput, match="too few"):
        partial_effects(x_NK[:6], reward_N[:6], prompt_N[:6])


def test_beside_twins_a_large_effect_of_all_is_nothing() -> None:
    rng = np.random.default_rng(0)
    twins_SK = rng.normal([3.0, 0.0], 0.2, (10, 2))
    p_K = beside_twins(np.array([3.1, 2.0]), twins_SK)
    assert p_K[0] > 0.05 > p_K[1]
    p_S = [beside_twins(rng.normal(size=1), rng.normal(size=(6, 1)))[0] for _ in range(2000)]
    assert 0.03 < np.mean(np.array(p_S) < 0.05) < 0.07
    with pytest.raises(BadInput, match="2 twins"):
        beside_twins(np.zeros(2), np.zeros((2, 2)))


def test_what_is_taken_out_pays_nothing() -> None:
    rng = np.random.default_rng(0)
    x_ND, weight_D = rng.normal(size=(300, 5)).astype(np.float32), rng.normal(size=5)
    flat_ND = without(x_ND.astype(float), np.stack([weight_D, rng.normal(size=5)]))
    assert np.allclose(flat_ND @ weight_D, (x_ND @ weight_D).mean(), atol=1e-5)
    assert np.allclose(without(flat_ND, weight_D[None]), flat_ND)


def test_text_features_count_what_they_name() -> None:
    plain, styled = text_features(["It is four.", "# Great question!\n- **Four**, I think\n2. Could you ask more?"])
    more = dict(zip(TEXT_FEATURES, (styled > plain).tolist(), strict=True))
    assert all(more[k] for k in more if k != "apologies")
    assert not more["apologies"]
    assert text_features([]).shape == (0, len(TEXT_FEATURES))
