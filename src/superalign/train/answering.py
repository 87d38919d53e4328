"""Fit what answers yes-or-no questions: a network's log-odds of two tokens, or a linear head on states that were read before.

Both are modules that map numbers of items to log-odds of yes, so that every loss and every way of training serves both.

Shape suffixes: N items, B items of an update, D width, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from superalign.errors import BadInput
from superalign.models.forward import logits_at, pad, states_at
from superalign.stats.streams import stream
from superalign.train.fit import FitConfig, Log, fit


class TokenOdds(nn.Module):
    """A network's log-odds of one token against another, behind each of some prompts."""

    def __init__(self, network: Any, prompts: Sequence[np.ndarray], *, yes: int, no: int) -> None:
        """Take prompts as token ids."""
        super().__init__()
        if yes == no:
            raise BadInput(
                "Both answers begin with the same token. Nothing could be told from the first token of an answer. Choose other "
                "answers, or another model."
            )
        self.network, self.prompts, self.answers = network, list(prompts), [yes, no]
        self.size_N = np.array([len(p) for p in prompts])

    def forward(self, row_B: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Answer items by their numbers."""
        tokens_BT, length_B = _padded(self.network, [self.prompts[int(i)] for i in row_B])
        each_B = torch.arange(len(row_B), device=tokens_BT.device)
        logits_B2 = logits_at(self.network, tokens_BT, length_B, each_B, length_B.long() - 1)[:, self.answers]
        return (logits_B2[:, 0] - logits_B2[:, 1]).float()


class NewHead(nn.Module):
    """A network under a new head: log-odds 0 for everything before it is trained, so that nothing is answered already."""

    def __init__(self, network: Any, texts: Sequence[np.ndarray]) -> None:
        """Take texts as token ids; the state at the last token of each is read."""
        super().__init__()
        self.network, self.texts, self.size_N = network, list(texts), np.array([len(t) for t in texts])
        self.head = _zero_head(int(network.get_input_embeddings().weight.shape[1]))

    def forward(self, row_B: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Answer items by their numbers."""
        odds_B: Tensor = self.head(self.states(row_B)).squeeze(1)
        return odds_B

    def states(self, row_B: Int64[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Read what the head sees."""
        tokens_BT, length_B = _padded(self.network, [self.texts[int(i)] for i in row_B])
        each_B = torch.arange(len(row_B), device=tokens_BT.device)
        return states_at(self.network, tokens_BT, length_B, each_B, length_B.long() - 1)


class HeadOdds(nn.Module):
    """A linear head on states that were read before, standardised by those of the items that it is trained on."""

    def __init__(self, states_ND: Float[np.ndarray, "N D"], *, trained: np.ndarray) -> None:
        """Take the states of all items, and the numbers of those that it is trained on."""
        super().__init__()
        some_MD = states_ND[trained]
        standard_ND = (states_ND - some_MD.mean(0)) / (some_MD.std(0) + 1e-6)
        self.states_ND: Tensor
        self.register_buffer("states_ND", torch.from_numpy(standard_ND.astype(np.float32)), persistent=False)
        self.head = _zero_head(states_ND.shape[1])

    def forward(self, row_B: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Answer items by their numbers."""
        odds_B: Tensor = self.head(self.states(row_B)).squeeze(1)
        return odds_B

    def states(self, row_B: Int64[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Return what the head sees."""
        return self.states_ND[row_B]


def _zero_head(width: int) -> nn.Linear:
    head = nn.Linear(width, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _padded(network: Any, rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    tokens_BT, length_B = (torch.from_numpy(a).to(network.device) for a in pad(rows))
    return tokens_BT, length_B


@dataclass(frozen=True, slots=True)
class Labelled:
    """Items of one update, what each is labelled, and how much of the training is done."""

    row_B: Tensor
    label_B: Tensor
    done: float


def fit_answers(
    module: nn.Module,
    *,
    rows: np.ndarray,
    labels: Float[np.ndarray, " N"],
    loss: Callable[[nn.Module, Labelled], Tensor],
    config: FitConfig,
    batch: int,
    seed: int,
    log: Log | None = None,
) -> None:
    """Fit a module of log-odds to labels: passes over the items, each in an order of its own.

    Args:
        module: Item numbers -> log-odds of yes.
        rows: Numbers of the items that are labelled, (N,).
        labels: Probability of yes, of each, (N,).
        loss: (module, items of an update) -> scalar.
        config: Updates and rates.
        batch: Items of an update.
        seed: Of the orders.
        log: As `fit`.
    """
    batch = min(batch, len(rows))
    each = len(rows) // batch  # updates of a pass

    def batch_at(step: int) -> Labelled:
        order = stream(seed, "order of items", step // each).permutation(len(rows))
        some = order[step % each * batch :][:batch]
        return Labelled(
            torch.from_numpy(np.asarray(rows)[some].astype(np.int64)),
            torch.from_numpy(np.asarray(labels)[some].astype(np.float32)),
            step / config.steps,
        )

    fit(module, batch_at, loss=loss, config=config, log=log)


def answer_odds(module: Callable[[Tensor], Tensor], rows: np.ndarray, *, batch: int = 64) -> np.ndarray:
    """Read a module's log-odds of yes for items by their numbers, (N,), or its states, (N, D); items of one length together."""
    size_N = getattr(module, "size_N", None)
    order = np.arange(len(rows)) if size_N is None else np.argsort(size_N[rows], kind="stable")
    with torch.no_grad():
        parts = [module(torch.from_numpy(some)) for some in np.array_split(rows[order], 1 + len(rows) // batch)]
    read: np.ndarray = torch.cat(parts).double().cpu().numpy()
    return read[np.argsort(order)]
