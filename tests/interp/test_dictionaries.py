"""Dictionaries find directions that were planted, claim none that were not, and are the same for the same seed."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from superalign.errors import BadInput
from superalign.interp.dictionaries import DictionaryConfig, quality, train_dictionary
from tests.interp.planted_directions import agreement, chance_cosine, cosines, recovery


def planted(features: int, width: int, rate: np.ndarray | float, *, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions of length 1, and items that are sparse sums of them."""
    rng = np.random.default_rng(seed)
    directions_MD = rng.normal(size=(features, width))
    directions_MD /= np.linalg.norm(directions_MD, axis=1, keepdims=True)
    codes_NM = (rng.random((n, features)) < rate) * rng.uniform(0.5, 1.0, (n, features))
    return directions_MD, (codes_NM @ directions_MD).astype(np.float32)


def correlated(
    features: int, width: int, rate_M: np.ndarray, *, seed: int, n: int, group: int = 8, shared: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Plant features of which groups occur together: each fires where a normal number with a shared part is high."""
    rng = np.random.default_rng(seed)
    directions_MD = rng.normal(size=(features, width)).astype(np.float32)
    directions_MD /= np.linalg.norm(directions_MD, axis=1, keepdims=True)
    group_M, bar_M, items = rng.permutation(features) // group, norm.isf(rate_M), []
    for some in np.array_split(np.arange(n), max(1, n // 5000)):
        common_NG, own_NM = (
            rng.standard_normal((len(some), k), dtype=np.float32) for k in (group_M.max() + 1, features)
        )
        on_NM = shared**0.5 * common_NG[:, group_M] + (1 - shared) ** 0.5 * own_NM > bar_M
        items.append((on_NM * rng.uniform(0.5, 1.0, on_NM.shape).astype(np.float32)) @ directions_MD)
    return directions_MD, np.concatenate(items)


def pentagon(seed: int, rate: float = 0.05, steps: int = 2500) -> np.ndarray:
    """Train five features of equal importance into two dimensions and out again through a ReLU, (5, 2)."""
    generator = torch.Generator().manual_seed(seed)
    into = (torch.randn(5, 2, generator=generator) * 0.5).requires_grad_()
    bias = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.Adam([into, bias], lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        x = torch.rand(512, 5, generator=generator) * (torch.rand(512, 5, generator=generator) < rate)
        loss = (x - (x @ into @ into.T + bias).relu()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return into.detach().numpy()


def test_five_features_in_two_dimensions_lie_in_a_pentagon_and_are_recovered() -> None:
    into_52 = pentagon(0)
    angles = np.sort(np.degrees(np.arctan2(into_52[:, 1], into_52[:, 0])))
    gaps = np.diff(np.append(angles, angles[0] + 360))
    assert np.abs(gaps - 72).max() < 3
    rng = np.random.default_rng(1)
    codes = (rng.random((6000, 5)) < 0.05) * rng.random((6000, 5))
    x_N2 = (codes @ into_52).astype(np.float32)
    found = train_dictionary(x_N2[codes.any(1)], DictionaryConfig(latents=5, k=1, steps=800))
    assert recovery(found.decode_KE, into_52, at_least=0.98).recall == 1.0


def test_planted_directions_are_recovered_and_one_that_is_absent_is_claimed_by_no_latent() -> None:
    true_MD, x_ND = planted(64, 24, 0.03, seed=0, n=6000)
    found = train_dictionary(x_ND, DictionaryConfig(latents=96, k=3, steps=1000))
    match = recovery(found.decode_KE, true_MD)
    assert match.recall >= 0.9
    assert match.uniqueness >= 0.9
    measured = quality(found, planted(64, 24, 0.03, seed=0, n=2000)[1])
    assert measured.explained > 0.8
    assert measured.fire <= 3
    absent_MD = np.random.default_rng(5).normal(size=(40, 24))
    band = max(chance_cosine(24, 96), float(cosines(true_MD, absent_MD).max()))  # true ones may lie near by chance
    assert (recovery(found.decode_KE, absent_MD).best_M > band + 0.05).mean() <= 0.05


def test_noise_holds_no_directions_and_two_seeds_agree_no_better_than_chance() -> None:
    x_ND = np.random.default_rng(1).normal(size=(6000, 24)).astype(np.float32)
    config = DictionaryConfig(latents=96, k=3, steps=500)
    one, two = (train_dictionary(x_ND, DictionaryConfig(latents=96, k=3, steps=500, seed=s)) for s in (0, 1))
    held_out_MD = np.random.default_rng(2).normal(size=(200, 24))
    assert (recovery(one.decode_KE, held_out_MD).best_M > chance_cosine(24, 96)).mean() <= 0.1
    random = [np.random.default_rng(s).normal(size=(96, 24)) for s in (3, 4)]
    assert agreement(one.decode_KE, two.decode_KE) < agreement(*random) + 0.05
    assert np.array_equal(one.decode_KE, train_dictionary(x_ND, config).decode_KE)


@pytest.mark.parametrize(("activation", "least"), [("batch top-k", 0.7), ("relu", 0.6)])
def test_other_ways_of_keeping_codes_sparse_recover_directions_too(activation: str, least: float) -> None:
    true_MD, x_ND = planted(40, 20, 0.03, seed=0, n=5000)
    config = DictionaryConfig(latents=60, k=2, steps=800, activation=activation)  # type: ignore[arg-type]
    found = train_dictionary(x_ND, config)
    assert recovery(found.decode_KE, true_MD).recall >= least


def test_a_transcoder_writes_what_a_module_makes_of_what_it_reads() -> None:
    rng = np.random.default_rng(0)
    into, out = rng.normal(size=(12, 20)), rng.normal(size=(20, 6))
    x_ND = rng.normal(size=(6000, 12)).astype(np.float32)
    y_NE = (np.maximum(x_ND @ into - 4.0, 0) @ out + 3.0).astype(np.float32)
    config = DictionaryConfig(latents=60, k=8, steps=1000)
    found = train_dictionary(x_ND[:5000], config, target_NE=y_NE[:5000])
    assert quality(found, x_ND[5000:], target_NE=y_NE[5000:]).explained > 0.6
    turned = y_NE[np.random.default_rng(1).permutation(len(y_NE))]
    null = train_dictionary(x_ND[:5000], config, target_NE=turned[:5000])
    assert quality(null, x_ND[5000:], target_NE=turned[5000:]).explained < 0.1


def test_what_makes_no_dictionary_is_refused() -> None:
    x_ND = np.zeros((10, 3), np.float32)
    with pytest.raises(BadInput, match="make no dictionary"):
        train_dictionary(x_ND, DictionaryConfig(latents=4, k=5))
    with pytest.raises(BadInput, match="not finite"):
        train_dictionary(x_ND * np.nan, DictionaryConfig(latents=4, k=1))
    found = train_dictionary(x_ND + np.eye(10, 3, dtype=np.float32), DictionaryConfig(latents=4, k=1, steps=2))
    with pytest.raises(BadInput, match="do not fit"):
        found.encode(np.zeros((2, 4), np.float32))


@pytest.mark.slow
def test_a_thousand_correlated_features_of_unequal_frequency_are_recovered() -> None:
    """Require of 1,024 features in 128 dimensions, with frequencies after Zipf, a mean best |cosine| of at least .95 (G6)."""
    rate_M = 0.01 * (np.arange(1, 1025) / 16.0).clip(min=1.0) ** -0.5
    true_MD, x_ND = correlated(1024, 128, rate_M, seed=0, n=60_000)
    found = train_dictionary(x_ND[x_ND.any(1)], DictionaryConfig(latents=1280, k=5, steps=1400))
    match = recovery(found.decode_KE, true_MD)
    assert match.best_M.mean() >= 0.95
    # Random latents as many come nowhere near.
    random_KD = np.random.default_rng(1).normal(size=found.decode_KE.shape)
    assert recovery(random_KD, true_MD).best_M.mean() < 0.5
