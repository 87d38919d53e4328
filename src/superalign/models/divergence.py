"""How far one model's next-token distributions lie from another's, at every token of given answers.

Shape suffixes: R answers, T tokens, N places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from superalign.errors import BadInput
from superalign.models.forward import logits_at, pad
from superalign.models.model import Asked, Model, encode

PLACES = 512  # at which the whole vocabulary of both models is held at once


def divergences(
    model: Model, other: Model, prompts: Sequence[Asked], answers: Sequence[Sequence[int]]
) -> Float32[np.ndarray, "R T"]:
    """Measure the Kullback-Leibler divergence of a model from another at every token of given answers, one forward each.

    Args:
        model: Whose distribution the mean is taken under.
        other: What it is compared with; its token ids mean the same texts.
        prompts: Texts without template, or chats, (R,).
        answers: Token ids of each answer, (R, up to T).

    Returns:
        Nats, (R, T); 0 beyond each end, and exactly 0 where both give the same logits.

    Raises:
        BadInput: If the two have different vocabularies.

    Example:
        >>> from superalign.models import base
        >>> small = base("small")
        >>> divergences(small, small, ["5+3"], [[7, 8]]).tolist()
        [[0.0, 0.0]]
    """
    check_tokens(model, other)
    rows = [np.asarray(a, np.int64) for a in answers]
    asked = [encode(m, prompts)[0] for m in (model, other)]
    T = max((len(r) for r in rows), default=0)
    out_RT = np.zeros((len(rows), T), np.float32)
    order_R = np.argsort([len(p) + len(r) for p, r in zip(asked[0], rows, strict=True)], kind="stable")
    each = max(1, PLACES // max(1, T))
    with torch.no_grad():
        for at in range(0, len(rows), each):
            some = order_R[at : at + each]
            said = [rows[i] for i in some]
            ours, theirs = (
                _logprobs(m, [ids[i] for i in some], said) for m, ids in zip((model, other), asked, strict=True)
            )
            row_N, t_N = _places(said)
            out_RT[some[row_N], t_N] = (ours.exp() * (ours - theirs)).sum(-1).cpu().numpy()
    return out_RT


def check_tokens(model: Model, other: Model) -> None:
    """Refuse two models that read texts by different tokens.

    Raises:
        BadInput: In that case.
    """
    sizes = {int(m.network.get_output_embeddings().weight.shape[0]) for m in (model, other)}
    if len(sizes) > 1 or model.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise BadInput(
            "The two models read texts by different tokens. Their distributions are over different things and cannot be "
            "compared. Give the base that the model was made from."
        )


def _places(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Each token of some answers: in which answer it stands, and where."""
    row_N = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    return row_N, np.concatenate([np.arange(len(r)) for r in rows] or [row_N])


def _logprobs(model: Model, prompts: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> Tensor:
    """Log-probs (N, V) that predict each token of some answers: they stand one place before it."""
    tokens_BT, length_B = pad([np.concatenate([p, r]) for p, r in zip(prompts, rows, strict=True)])
    row_N, t_N = _places(rows)
    at_N = np.array([len(p) for p in prompts])[row_N] + t_N - 1
    device = model.network.device
    given = (torch.from_numpy(a).to(device) for a in (tokens_BT, length_B, row_N, at_N))
    return torch.log_softmax(logits_at(model.network, *given).float(), dim=-1)
