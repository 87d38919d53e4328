"""Published ways of learning from imperfect labels, as one artefact in plain numpy: its dials are the constants below.

The text of this file with other constants is another artefact (`research_benches.with_dials`), so that the search space of a
question can be run and not only read. Steps of a response are items like any others.

Shape suffixes: N items, D width, K scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FIT = "logistic"  # logistic, mass-mean, lda, clusters (first component of the unlabelled), or scores (mean of those given)
LABELS = "soft"  # soft, hard, confident (the surer half), bootstrapped (mixed with its own predictions, hardened)
CENTRE = "all"  # all, or group: each group about its own mean
DEV = "unused"  # unused, added (to the training items, ten times) or alone
RIDGE = "30"  # strength of the penalty on weights
ADDED = 10.0
ROUNDS = 3  # of bootstrapping


def solve(public: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
    """Return scores, high where the hidden label is likely 1. Nothing is drawn: the seed is not used."""
    shape, D = inputs["x"].shape[:-1], inputs["x"].shape[-1]
    if FIT == "scores":
        given_NK = standard(public["scores"], inputs["scores"])
        return np.asarray(given_NK.mean(1).reshape(shape))
    x_ND, at_ND = public["x"].reshape(-1, D), inputs["x"].reshape(-1, D)
    x_ND, at_ND = centred(x_ND, public["group"]), centred(at_ND, inputs["group"])
    dev_ND = standard(x_ND, centred(public["dev_x"].reshape(-1, D), public["dev_group"]))
    x_ND, at_ND = standard(x_ND, x_ND), standard(x_ND, at_ND)
    p_N, weight_N = public["weak"].ravel().astype(float), np.ones(len(x_ND))
    if LABELS == "hard":
        p_N = (p_N > 0.5).astype(float)
    if LABELS == "confident":
        weight_N = weight_N * (abs(p_N - 0.5) >= np.median(abs(p_N - 0.5)))
    if DEV != "unused":
        x_ND, p_N = np.concatenate([x_ND, dev_ND]), np.concatenate([p_N, public["dev_true"].ravel().astype(float)])
        weight_N = np.concatenate([weight_N * (DEV != "alone"), np.full(len(dev_ND), ADDED)])
    w_D, b = fitted(x_ND, p_N, weight_N)
    for _ in range(ROUNDS if LABELS == "bootstrapped" else 0):
        own_N = x_ND @ w_D + b
        sure_N = own_N > np.quantile(own_N, 1 - p_N.mean())
        w_D, b = fitted(x_ND, (p_N + sure_N) / 2, weight_N)
    return np.asarray((at_ND @ w_D + b).reshape(shape))


def centred(x_ND: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Move each group of items to the same mean, where that dial is set."""
    if CENTRE != "group":
        return x_ND
    group_N = np.repeat(group_N, len(x_ND) // len(group_N))
    means = {g: x_ND[group_N == g].mean(0) for g in np.unique(group_N)}
    return np.asarray(x_ND - np.stack([means[g] for g in group_N]))


def standard(by_ND: np.ndarray, x_ND: np.ndarray) -> np.ndarray:
    """Standardise items by the mean and spread of others."""
    by_ND, x_ND = (a.reshape(-1, a.shape[-1]).astype(float) for a in (by_ND, x_ND))
    return np.asarray((x_ND - by_ND.mean(0)) / (by_ND.std(0) + 1e-6))


def fitted(x_ND: np.ndarray, p_N: np.ndarray, weight_N: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a linear score to probabilities of label 1."""
    ridge, D = float(RIDGE), x_ND.shape[1]
    if FIT == "logistic":
        return newton(x_ND, p_N, weight_N, ridge)
    up_N, down_N = weight_N * p_N, weight_N * (1 - p_N)
    up_D, down_D = up_N @ x_ND / max(up_N.sum(), 1e-9), down_N @ x_ND / max(down_N.sum(), 1e-9)
    w_D = up_D - down_D
    if FIT == "clusters":
        first_D = np.linalg.svd(x_ND - x_ND.mean(0), full_matrices=False)[2][0]
        w_D = first_D * (1.0 if first_D @ w_D >= 0 else -1.0)
    if FIT == "lda":
        spread_DD = (x_ND * weight_N[:, None]).T @ x_ND / weight_N.sum()
        w_D = np.linalg.solve(spread_DD + ridge / 100 * np.eye(D), w_D)
    return w_D, float(-(up_D + down_D) @ w_D / 2)


def newton(x_ND: np.ndarray, p_N: np.ndarray, weight_N: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
    """Fit logistic weights by Newton's method; the intercept is not penalised."""
    one_NE = np.column_stack([x_ND, np.ones(len(x_ND))])
    penalty_E, w_E = np.r_[np.full(x_ND.shape[1], ridge), 1e-6], np.zeros(x_ND.shape[1] + 1)
    for _ in range(12):
        said_N = 1 / (1 + np.exp(-np.clip(one_NE @ w_E, -30, 30)))
        slope_E = one_NE.T @ (weight_N * (said_N - p_N)) + penalty_E * w_E
        curve_EE = (one_NE * (weight_N * (said_N * (1 - said_N) + 1e-4))[:, None]).T @ one_NE + np.diag(penalty_E)
        w_E = w_E - np.linalg.solve(curve_EE, slope_E)
    return w_E[:-1], float(w_E[-1])
