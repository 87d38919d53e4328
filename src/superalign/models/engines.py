"""Ways to decode one token per row: our decoder over a cache of our own layout, or any network's own forward.

An engine holds rows. `admit` computes prompts, one row each; `step` appends a token to every row and returns logits;
`keep` renumbers, copies and drops rows.

Cache layout of `DecoderEngine`: keys and values of a layer are (rows * heads, slots, K), so that both decoding products
are batched matrix products over a contiguous last axis. All rows write the same slot in one step; a prompt is placed so
that it ends where the next token goes. Rows that joined later mask the slots before their start. Rotary positions are
applied when a key is written, so a slot says nothing about position.

Shape suffixes: B rows, T tokens, P distinct prompts, H heads, K width of one head, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from superalign.models import decoder as D
from superalign.models import weights
from superalign.models.forward import own_forward, pad

SLACK = 128  # spare slots before the window is moved back to the front


@runtime_checkable
class Engine(Protocol):
    """What the sampling loop needs."""

    refills: bool  # rows can join while others are under way

    def admit(self, prompts: Sequence[np.ndarray], row_P: np.ndarray) -> Tensor:
        """Start a row on each prompt: the logits of its first token."""

    def step(self, token_B: np.ndarray) -> Tensor:
        """Append one token to every row: the logits of the next."""

    def retire(self, row_K: np.ndarray) -> None:
        """Learn that some rows are finished; they step on, unread, until they are replaced or dropped."""

    def keep(self, row_B: np.ndarray) -> None:
        """Make row j what row `row_B[j]` was, for every j, and drop the rest; a row may be copied to several places."""


def _for_one(decoder: D.Decoder) -> D.Decoder:
    """Lay the output matrix of a large network out by its inputs, in which one row is read twice as fast, several are not."""
    weight = decoder.head.weight
    if not D.costly(decoder) or weight.dtype != torch.float32:
        return decoder
    return dataclasses.replace(decoder, head=dataclasses.replace(decoder.head, weight=weight.contiguous()))


class DecoderEngine:
    """Our decoder over a preallocated cache."""

    refills = True

    def __init__(self, decoder: D.Decoder, *, rows: int, length: int, spare: bool) -> None:
        self.decoder, self.length = _for_one(decoder) if rows == 1 else decoder, length
        self.slots = length + (SLACK if spare else 0)
        device = decoder.embed_VD.device
        shape = (2, rows * decoder.kv_heads, self.slots, decoder.head_width)
        self.cache = [torch.zeros(shape, device=device) for _ in decoder.layers]
        self.pairs = [self._views(index).unbind(0) for index in range(len(decoder.layers))]  # (rows, H, slots, K) each
        self.mask = torch.zeros(rows, 1, self.slots, device=device)
        self.start = np.zeros(rows, np.int64)  # first slot of each row
        self.idle = np.zeros(rows, bool)  # finished, neither replaced nor dropped yet
        self.rows, self.slot = 0, 0  # rows in use; where the next token goes
        self.low, self.ragged, self.start_B = 0, False, torch.zeros(0, dtype=torch.long, device=device)

    def _views(self, layer: int) -> Tensor:
        """The cache of a layer as (2, rows, H, slots, K)."""
        return self.cache[layer].view(2, -1, self.decoder.kv_heads, self.slots, self.decoder.head_width)

    def _make_room(self) -> None:
        """Move the window to the front when the slots run out."""
        self.start[self.idle] = self.slot  # a finished row needs no past, however long it waits
        self._align()
        low = self.low
        for cache in self.cache:
            cache[:, :, : self.slot - low] = cache[:, :, low : self.slot].clone()
        self.start -= low
        self.slot -= low
        self._hide(np.arange(len(self.start)))
        self._align()

    def admit(self, prompts: Sequence[np.ndarray], row_P: np.ndarray) -> Tensor:
        """Compute prompts of one length together and place each so that it ends at the current slot."""
        device = self.mask.device
        size_P = np.array([len(p) for p in prompts])
        if self.rows == 0:
            self.slot = int(size_P.max())
        elif self.slot < size_P.max():
            self._shift_right(int(size_P.max()) - self.slot)
        logits_PV: Tensor | None = None
        prefix = self._prefix(prompts)
        for size in np.unique(size_P):
            same = np.flatnonzero(size_P == size)
            tokens_BT = torch.from_numpy(np.stack([prompts[int(p)] for p in same])).to(device)
            kept: list[tuple[Tensor, Tensor]] = []
            x_ND = D.stream(self.decoder, tokens_BT, keep=kept, prefix=prefix)
            last = D.read_out(self.decoder, x_ND.view(len(same), size, -1)[:, -1])
            if logits_PV is None:
                logits_PV = last.new_empty(len(prompts), last.shape[1])
            logits_PV[torch.from_numpy(same).to(device)] = last
            target = torch.from_numpy(row_P[same]).to(device)
            for layer, pair in enumerate(kept):
                for side, part in enumerate(pair):
                    self._views(layer)[side, :, :, self.slot - size : self.slot][target] = part
        assert logits_PV is not None
        self.start[row_P] = self.slot - size_P
        self.idle[row_P] = False
        self._hide(row_P)
        self.rows = max(self.rows, int(row_P.max()) + 1)
        self._align()
        return logits_PV

    def _prefix(self, prompts: Sequence[np.ndarray]) -> D.Prefix | None:
        """What prompts of all lengths begin with, read once."""
        if len(prompts) == 1 or not D.costly(self.decoder):
            return None
        shortest = min(len(p) for p in prompts)
        first_PT = np.stack([p[:shortest] for p in prompts])
        alike = int((first_PT == first_PT[:1]).all(0).cumprod().sum())
        tokens_S = torch.from_numpy(first_PT[0, : min(alike, shortest - 1)]).to(self.mask.device)
        return D.open_prefix(self.decoder, tokens_S, rows=len(prompts))

    def _hide(self, row_K: np.ndarray) -> None:
        """Mask the slots before each row's start, and no others."""
        device = self.mask.device
        start_K1 = torch.from_numpy(self.start[row_K]).to(device)[:, None]
        before = torch.arange(self.slots, device=device)[None] < start_K1
        line = torch.zeros(before.shape, device=device).masked_fill_(before, -torch.inf)
        self.mask[torch.from_numpy(row_K).to(device)] = line[:, None]

    def _shift_right(self, by: int) -> None:
        """Make room before the window for a prompt that is longer than everything under way."""
        for cache in self.cache:
            cache[:, :, by : self.slot + by] = cache[:, :, : self.slot].clone()
        self.start += by
        self.slot += by
        self._hide(np.arange(len(self.start)))

    def _align(self) -> None:
        """Note, whenever rows change, where the window begins and whether all rows began there."""
        start = self.start[: self.rows]
        self.low = int(start.min()) if self.rows else self.slot
        self.ragged = bool((start != self.low).any())
        self.start_B = torch.from_numpy(start.copy()).to(self.mask.device)

    def _places(self) -> tuple[list[Tensor], Tensor | None]:
        """Rotations and learned position embeddings of the next token of every row."""
        decoder = self.decoder
        if self.ragged:
            # A finished row that still waits for its replacement may run past the end.
            at_B = (self.slot - self.start_B).clamp_(max=self.length - 1)
            turns = [table.index_select(0, at_B).unsqueeze(1) for table in decoder.tables]
            return turns, None if decoder.positions_TD is None else decoder.positions_TD.index_select(0, at_B)
        at = min(self.slot - self.low, self.length - 1)
        turns = [table[at : at + 1].unsqueeze(1) for table in decoder.tables]
        return turns, None if decoder.positions_TD is None else decoder.positions_TD[at : at + 1]

    def step(self, token_B: np.ndarray) -> Tensor:
        """Append one token to every row: write its keys and values to the current slot, attend over the window."""
        if self.slot == self.slots:
            self._make_room()
        B, slot, low, decoder = self.rows, self.slot, self.low, self.decoder
        turns, place_ND = self._places()
        lines, end = B * decoder.kv_heads, slot + 1
        shape = (lines, decoder.heads // decoder.kv_heads, decoder.head_width)

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            (keys, values), window = self.pairs[index], decoder.layers[index].window
            keys.select(2, slot)[:B].copy_(k)
            values.select(2, slot)[:B].copy_(v)
            first = max(low, end - window) if window else low
            keys, values = self.cache[index][:, :lines, first:end].unbind(0)
            scores = torch.bmm(q.reshape(shape), keys.transpose(1, 2))
            if self.ragged:
                scores.view(B, decoder.heads, -1).add_(self.mask[:B, :, first:end])
            return torch.bmm(torch.softmax(scores, dim=-1), values).view(B, -1)

        x_BD = D.run(
            decoder, torch.from_numpy(token_B).to(self.mask.device), turns=turns, place_ND=place_ND, attend=attend
        )
        self.slot += 1
        return D.read_out(decoder, x_BD)

    def retire(self, row_K: np.ndarray) -> None:
        """Let go of the past of finished rows when the window moves next."""
        self.idle[row_K] = True

    def keep(self, row_B: np.ndarray) -> None:
        """Copy rows that change place, within the window; the rest stays where it is."""
        moved = np.flatnonzero(row_B != np.arange(len(row_B)))
        if len(moved):
            low = self.low
            to, of = (torch.from_numpy(a).to(self.mask.device) for a in (moved, row_B[moved]))
            for layer in range(len(self.cache)):
                view = self._views(layer)[:, :, :, low : self.slot]
                view[:, to] = view[:, of]
            self.mask[to] = self.mask[of]
            self.start[moved], self.idle[moved] = self.start[row_B[moved]], self.idle[row_B[moved]]
        self.rows = len(row_B)
        self._align()


class CacheEngine:
    """Any causal LM through its own forward and cache. Rows join only together.

    Prompts of one length are computed together, since padding changes what a recurrent state holds and what some networks
    take for a position. Where it changes neither, all are padded on the left and computed together.
    """

    refills = False

    def __init__(self, network: Any, past_name: str) -> None:
        self.network, self.past_name = network, past_name
        inner = weights.plain(network)
        self.places = "position_ids" in inspect.signature(inner.forward).parameters
        self.pads = self.places and not getattr(inner, "_is_stateful", False)
        self.groups: list[tuple[Any, Tensor, np.ndarray]] = []  # cache, mask (B, T), rows: of one length

    def _forward(self, past: Any, tokens_BT: Tensor, mask_BT: Tensor) -> tuple[Any, Tensor]:
        where: dict[str, Any] = {self.past_name: past}
        if self.places:  # as the library's `generate` does
            where["position_ids"] = (mask_BT.cumsum(1) - 1).clamp_(min=0)[:, -tokens_BT.shape[1] :]
        if self.pads:
            where["attention_mask"] = mask_BT
        out = self.network(input_ids=tokens_BT, use_cache=True, **where)
        return out[self.past_name], out.logits[:, -1]

    def admit(self, prompts: Sequence[np.ndarray], row_P: np.ndarray) -> Tensor:
        """Compute prompts of one length together, or all, padded on the left."""
        size_P = np.array([len(p) for p in prompts])
        self.groups = []
        logits_PV: dict[int, Tensor] = {}
        for size in [size_P.max()] if self.pads else np.unique(size_P):
            same = np.flatnonzero(size_P <= size if self.pads else size_P == size)
            tokens_BT, mask_BT = np.zeros((2, len(same), size), np.int64)
            for b, p in enumerate(same.tolist()):
                tokens_BT[b, size - size_P[p] :], mask_BT[b, size - size_P[p] :] = prompts[p], 1
            tokens, mask = (torch.from_numpy(a).to(self.network.device) for a in (tokens_BT, mask_BT))
            past, logits = self._forward(None, tokens, mask)
            self.groups.append((past, mask, row_P[same]))
            logits_PV |= dict(zip(same.tolist(), logits, strict=True))
        return torch.stack([logits_PV[p] for p in range(len(prompts))])

    def step(self, token_B: np.ndarray) -> Tensor:
        """Append one token to every row."""
        logits_BV: dict[int, Tensor] = {}
        for g, (past, mask, rows) in enumerate(self.groups):
            tokens_B1 = torch.from_numpy(token_B[rows]).to(mask.device)[:, None]
            longer_BT = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            past, logits = self._forward(past, tokens_B1, longer_BT)
            self.groups[g] = past, longer_BT, rows
            logits_BV |= dict(zip(rows.tolist(), logits, strict=True))
        return torch.stack([logits_BV[b] for b in range(len(token_B))])

    def retire(self, row_K: np.ndarray) -> None:
        """Nothing to do: rows leave the cache when they are dropped."""

    def keep(self, row_B: np.ndarray) -> None:
        """Select rows of each cache as the library's beam search does."""
        groups = []
        for past, mask, rows in self.groups:
            to = np.flatnonzero(np.isin(row_B, rows))
            if len(to):
                place = {r: i for i, r in enumerate(rows.tolist())}
                index = torch.tensor([place[r] for r in row_B[to].tolist()], device=mask.device)
                past.reorder_cache(index)
                groups.append((past, mask[index], to))
        self.groups = groups


class WholeEngine:
    """Any causal LM without a cache: every step computes the whole sequences, with the forward that scores."""

    refills = True

    def __init__(self, network: Any) -> None:
        self.network = network
        self.sequences: dict[int, np.ndarray] = {}

    def _forward(self, rows: Sequence[int]) -> Tensor:
        tokens_BT, length_B = (torch.from_numpy(a) for a in pad([self.sequences[r] for r in rows]))
        logits_BTV = own_forward(self.network, tokens_BT.to(self.network.device), length_B.to(self.network.device))
        return logits_BTV[torch.arange(len(rows)), length_B.long() - 1]

    def admit(self, prompts: Sequence[np.ndarray], row_P: np.ndarray) -> Tensor:
        """Compute the prompts."""
        self.sequences |= dict(zip(row_P.tolist(), prompts, strict=True))
        return self._forward(row_P.tolist())

    def step(self, token_B: np.ndarray) -> Tensor:
        """Append one token to every row that is under way, and compute them whole."""
        rows = sorted(self.sequences)
        for b in rows:
            self.sequences[b] = np.append(self.sequences[b], token_B[b])
        logits_KV = self._forward(rows)
        logits_BV = logits_KV.new_zeros(len(token_B), logits_KV.shape[1])
        logits_BV[rows] = logits_KV
        return logits_BV

    def retire(self, row_K: np.ndarray) -> None:
        """Forget finished rows."""
        for row in row_K.tolist():
            del self.sequences[row]

    def keep(self, row_B: np.ndarray) -> None:
        """Select sequences."""
        self.sequences = {b: self.sequences[r] for b, r in enumerate(row_B.tolist()) if r in self.sequences}


# Their state lies in the modules, in buckets, or in a cache of their own that cannot select rows.
UNCACHED = ("minimax", "recurrent_gemma", "reformer", "rwkv", "xlnet", "xlstm")


def past_name(network: Any) -> str | None:
    """Return the name of the argument in which a network takes the library's cache, None if it takes none."""
    inner = weights.plain(network)
    # A decoder that was half of a pair makes a cache for as many layers as its encoder has.
    if inner.config.model_type in UNCACHED or hasattr(inner.config, "decoder_layers"):
        return None
    known = inspect.signature(inner.forward).parameters
    return next((name for name in ("past_key_values", "cache_params") if name in known), None)


def engine_for(network: Any, *, rows: int, length: int, spare: bool) -> Engine:
    """Return the fast engine where the network is known to it, the library's forward with or without a cache elsewhere."""
    if weights.supported(network):
        return DecoderEngine(weights.read(network, length=length), rows=rows, length=length, spare=spare)
    name = past_name(network)
    return WholeEngine(network) if name is None else CacheEngine(network, name)
