"""Losses as pure functions of logits and targets.

Shape suffixes: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def language_modelling(
    logits_BTV: Float[Tensor, "B T V"], tokens_BT: Int[Tensor, "B T"], weights_BT: Float[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean negative log-likelihood, each token weighted.

    Args:
        logits_BTV: Scores, shape (B, T, V).
        tokens_BT: Token ids, shape (B, T).
        weights_BT: What each token counts, shape (B, T); 0 for padding, and for a prompt in supervised training.

    Returns:
        Scalar, nats per unit of weight.

    Example:
        >>> ones = torch.ones(1, 3)
        >>> round(float(language_modelling(torch.zeros(1, 3, 4), torch.zeros(1, 3, dtype=torch.long), ones)), 4)
        1.3863
    """
    weights_N = weights_BT[:, 1:].flatten()
    return weighted_nats(logits_BTV[:, :-1].flatten(0, 1), tokens_BT[:, 1:].flatten(), weights_N)


def weighted_nats(
    logits_NV: Float[Tensor, "N V"], tokens_N: Int[Tensor, " N"], weights_N: Float[Tensor, " N"]
) -> Float[Tensor, ""]:
    """Weighted mean surprise at N tokens.

    Args:
        logits_NV: What predicts each token, shape (N, V).
        tokens_N: Token ids, shape (N,).
        weights_N: What each counts, shape (N,).

    Returns:
        Scalar, nats per unit of weight.

    Example:
        >>> round(float(weighted_nats(torch.zeros(2, 4), torch.tensor([1, 2]), torch.ones(2))), 4)
        1.3863
    """
    nats_N = F.cross_entropy(logits_NV.float(), tokens_N, reduction="none")
    return (nats_N * weights_N).sum() / weights_N.sum().clamp_min(1e-8)


def clipped_gain(
    new_N: Float[Tensor, " N"], old_N: Float[Tensor, " N"], advantage_N: Float[Tensor, " N"], *, clip: float
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Say what each token gains the policy, cut where its probability has already moved far in that direction.

    Args:
        new_N: Log-probs under the policy that is being changed, nats.
        old_N: Log-probs under the policy that sampled, nats.
        advantage_N: Advantage of the rollout that each token belongs to.
        clip: How far the ratio of probabilities may move from 1.

    Returns:
        Gains (to be made large), in the unit of the advantage, and the ratios; both of shape (N,).

    Example:
        >>> gain, ratio = clipped_gain(torch.tensor([0.5]), torch.zeros(1), torch.ones(1), clip=0.2)
        >>> round(float(gain), 3), round(float(ratio), 3)
        (1.2, 1.649)

    Source:
        Schulman et al., Proximal policy optimization algorithms, 2017.
    """
    ratio_N = torch.exp(new_N - old_N)
    return torch.minimum(ratio_N * advantage_N, ratio_N.clamp(1 - clip, 1 + clip) * advantage_N), ratio_N


def kl_exact(logprobs_NV: Float[Tensor, "N V"], reference_NV: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """KL of the policy to a reference at each visited state, summed over the whole vocabulary.

    Example:
        >>> p = torch.tensor([[0.5, 0.5]]).log()
        >>> round(float(kl_exact(p, torch.tensor([[0.9, 0.1]]).log())), 4)
        0.5108
    """
    return (logprobs_NV.exp() * (logprobs_NV - reference_NV)).sum(-1)


def kl_k3(new_N: Float[Tensor, " N"], reference_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Estimate that KL from the sampled token alone: never negative, and unbiased on the policy's own rollouts.

    Args:
        new_N: Log-probs of the sampled tokens under the policy, nats.
        reference_N: The same under the reference.

    Returns:
        exp(-d) - 1 + d with d = new_N - reference_N, shape (N,), nats.

    Example:
        >>> round(float(kl_k3(torch.tensor([-1.0]), torch.tensor([-2.0]))), 4)
        0.3679

    Source:
        Schulman, Approximating KL divergence, 2020.
    """
    difference_N = new_N - reference_N
    return torch.expm1(-difference_N) + difference_N


def preferred(
    chosen_P: Float[Tensor, " P"], rejected_P: Float[Tensor, " P"], reference_P: Float[Tensor, " P"], *, beta: float
) -> Float[Tensor, ""]:
    """Compute the loss of direct preference optimisation over pairs of responses to the same prompts.

    Args:
        chosen_P: Log-probs of the preferred responses, summed over their tokens, nats.
        rejected_P: The same of the others.
        reference_P: Chosen less rejected under the model that training began with.
        beta: How hard staying near that model pulls.

    Returns:
        Scalar, nats a pair.

    Example:
        >>> round(float(preferred(torch.tensor([-1.0]), torch.tensor([-1.0]), torch.zeros(1), beta=0.1)), 4)
        0.6931

    Source:
        Rafailov et al., Direct preference optimization, 2023 (arXiv 2305.18290).
    """
    return -F.logsigmoid(beta * (chosen_P - rejected_P - reference_P)).mean()
