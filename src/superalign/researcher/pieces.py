"""The pieces that programs are made of. An artefact holds those that its program uses, word for word, and no others.

They need NumPy alone. Shape suffixes: M training items, N inputs, D features, E features after a change.
"""

from typing import Any

import numpy as np


def taken(arrays: "Any", use: str, front: str = "") -> np.ndarray:
    """Return features as rows, steps of a response one by one: x, scores of known instruments where there are any, or both."""
    x, scores = arrays[front + "x"], arrays.get(front + "scores", arrays[front + "x"][..., :0])
    kept = {"x": x, "scores": scores if scores.shape[-1] else x, "both": np.concatenate([x, scores], axis=-1)}[use]
    return np.asarray(kept, float).reshape(-1, kept.shape[-1])


def centred(x_ND: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Take away the mean of each row's group, less of it where the group is small."""
    out_ND = x_ND.copy()
    group_N = np.repeat(group_N, len(x_ND) // len(group_N))
    for group in np.unique(group_N):
        rows = group_N == group
        out_ND[rows] -= x_ND[rows].mean(0) * rows.sum() / (rows.sum() + 5)
    return out_ND


def whitened(x_MD: np.ndarray, components: int) -> np.ndarray:
    """Return the matrix that gives the first principal components the same spread; of all, if components is 0."""
    value_D, vector_DD = np.linalg.eigh(np.atleast_2d(np.cov(x_MD.T)))
    value_D, vector_DD = value_D[::-1][: components or None], vector_DD[:, ::-1][:, : components or None]
    return vector_DD / np.sqrt(np.maximum(value_D, 0) + 1e-3 * value_D.mean() + 1e-12)


def smooth(x_MD: np.ndarray, weak_M: np.ndarray) -> np.ndarray:
    """Average labels over the ten nearest of up to 2000 items."""
    near_SD, label_S = x_MD[-2000:], weak_M[-2000:]
    far_MS = (x_MD**2).sum(1)[:, None] - 2 * x_MD @ near_SD.T + (near_SD**2).sum(1)
    return label_S[np.argpartition(far_MS, min(10, len(label_S) - 1), axis=1)[:, :10]].mean(1)


def agreed(x_MD: np.ndarray, weak_M: np.ndarray) -> np.ndarray:
    """Count a label little where a fit to the other folds says the opposite."""
    fold_M, weight_M = np.arange(len(x_MD)) % 5, np.ones(len(x_MD))
    for fold in range(5):
        out_M = fold_M == fold
        w_D, b = ridge(x_MD[~out_M], weak_M[~out_M], weight_M[~out_M], 1.0)
        weight_M[out_M] = np.where((x_MD[out_M] @ w_D + b > 0) == (weak_M[out_M] > 0.5), 1.0, 0.05)
    return weight_M


def ridge(x_MD: np.ndarray, y_M: np.ndarray, weight_M: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Fit a ridge regression; a score above 0 says that an item is a positive."""
    mean_D, level = np.average(x_MD, axis=0, weights=weight_M), float(np.average(y_M, weights=weight_M))
    part_MD = (x_MD - mean_D) * weight_M[:, None]
    square_DD = part_MD.T @ (x_MD - mean_D)
    shrink = penalty * 0.01 * np.trace(square_DD) / len(mean_D) + 1e-9
    w_D = np.linalg.solve(square_DD + shrink * np.eye(len(mean_D)), part_MD.T @ (y_M - level))
    return w_D, float(level - 0.5 - mean_D @ w_D)


def logistic(x_MD: np.ndarray, y_M: np.ndarray, weight_M: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Fit a logistic regression on labels that may lie between 0 and 1, by Newton's method."""
    one_ME = np.column_stack([x_MD, np.ones(len(x_MD))])
    shrink_E = np.append(np.full(x_MD.shape[1], penalty * (x_MD.var(0).mean() + 1e-9)), 1e-6)
    w_E = np.zeros(len(shrink_E))
    for _ in range(8):
        p_M = 1 / (1 + np.exp(-np.clip(one_ME @ w_E, -30, 30)))
        slope_E = one_ME.T @ (weight_M * (p_M - y_M)) + shrink_E * w_E
        curve_EE = (one_ME * (weight_M * np.maximum(p_M * (1 - p_M), 1e-3))[:, None]).T @ one_ME
        w_E = w_E - np.linalg.solve(curve_EE + np.diag(shrink_E), slope_E)
    return w_E[:-1], float(w_E[-1])


def ends(x_MD: np.ndarray, y_M: np.ndarray, weight_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of positives and negatives."""
    up_M, down_M = weight_M * y_M + 1e-9, weight_M * (1 - y_M) + 1e-9
    return np.average(x_MD, axis=0, weights=up_M), np.average(x_MD, axis=0, weights=down_M)


def mean(x_MD: np.ndarray, y_M: np.ndarray, weight_M: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Take the difference of class means."""
    up_D, down_D = ends(x_MD, y_M, weight_M)
    return up_D - down_D, float(-(up_D - down_D) @ (up_D + down_D) / 2)


def lda(x_MD: np.ndarray, y_M: np.ndarray, weight_M: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Fit a linear discriminant."""
    up_D, down_D = ends(x_MD, y_M, weight_M)
    rest_MD = x_MD - y_M[:, None] * up_D - (1 - y_M)[:, None] * down_D
    within_DD = (rest_MD * weight_M[:, None]).T @ rest_MD / weight_M.sum()
    shrink = penalty * 0.01 * np.trace(within_DD) / len(up_D) + 1e-9
    w_D = np.linalg.solve(within_DD + shrink * np.eye(len(up_D)), up_D - down_D)
    return w_D, float(-w_D @ (up_D + down_D) / 2)


def contrast(x_MD: np.ndarray, y_M: np.ndarray, weight_M: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Take the direction in which items differ most; labels say only which end is which."""
    up_D, down_D = ends(x_MD, y_M, weight_M)
    w_D = np.linalg.eigh(np.atleast_2d(np.cov(x_MD.T)))[1][:, -1]
    w_D = w_D if w_D @ (up_D - down_D) >= 0 else -w_D
    return w_D, float(-w_D @ (up_D + down_D) / 2)


def own(said_M: np.ndarray, y_M: np.ndarray) -> np.ndarray:
    """Move labels half way to what a fit itself says, as many positives as before."""
    cut = np.quantile(said_M, 1 - min(max(float(y_M.mean()), 0.02), 0.98))
    return (y_M + (said_M > cut)) / 2


def several(train: "Any", new_ND: np.ndarray, members: int, resample: str, seed: int, *sets: np.ndarray) -> np.ndarray:
    """Add up the scores of fits to drawn rows, or to halves of the features."""
    (x_MD, y_M, weight_M), rng, score_N = sets, np.random.default_rng(seed), np.zeros(len(new_ND))
    for _ in range(members):
        rows, columns = np.arange(len(x_MD)), np.arange(x_MD.shape[1])
        if resample == "rows":
            rows = rng.integers(0, len(x_MD), len(x_MD))
        else:
            columns = rng.permutation(len(columns))[: (len(columns) + 1) // 2]
        w_D, b = train(x_MD[rows][:, columns], y_M[rows], weight_M[rows])
        part_N = new_ND[:, columns] @ w_D + b
        score_N += part_N / (part_N.std() + 1e-9)
    return score_N


def area(score_N: np.ndarray, truth_N: np.ndarray) -> float:
    """Return the area under the ROC curve; a half where one class is missing."""
    rank_N, up_N = np.argsort(np.argsort(score_N)) + 1.0, truth_N > 0.5
    n_up, n_down = int(up_N.sum()), int((~up_N).sum())
    return float((rank_N[up_N].sum() - n_up * (n_up + 1) / 2) / (n_up * n_down)) if n_up and n_down else 0.5
