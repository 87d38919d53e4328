"""The sampler: many rollouts at once, each as if it were alone.

Rollouts of one prompt share a row for as long as they are alike and part when they draw different tokens: what they
have in common is computed once. Finished rows are replaced from a queue, and dropped when it is empty. What is drawn
depends on a rollout's own key alone (see `noise`); matrix products may differ in the last bits with the size of the
batch, which moves a draw only when it falls within about 1e-6 of a boundary between two tokens.

Log-probs: `logprobs_RT` are those of the distribution that was sampled from, after temperature and top-p; this is what
`Rollouts` hold. `plain_RT` are those of the model itself (temperature 1, nothing cut off), which a trainer
differentiates. At temperature 1 and top_p 1 they are the same numbers.

Shape suffixes: P prompts, R rollouts, L rollouts under way, B rows, G groups that part, T tokens, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, overload

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from superalign.errors import BadInput, ConfigError
from superalign.models.engines import Engine, engine_for
from superalign.models.forward import positions
from superalign.models.noise import rollout_keys, uniforms
from superalign.models.thinking import CLOSE, OPEN, opens, thinking_and_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a model samples.

    Example:
        >>> Sampling(stop=(";",)).max_tokens
        64
    """

    temperature: float = 1.0  # 0 takes the likeliest token
    top_p: float = 1.0  # sample within the likeliest tokens that hold this much probability
    max_tokens: int = 64
    stop: tuple[str, ...] = ()  # the token that completes one of these ends a rollout; the string stays in its text

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and 0 < self.top_p <= 1 and self.max_tokens >= 1 and all(self.stop)):
            raise ConfigError(
                f"{self} cannot be sampled with. The temperature must be 0 or more, top_p in (0, 1], max_tokens "
                "at least 1 and stop strings not empty, or the distribution is not defined. Change the setting that is outside."
            )


class LazyText(Sequence[str]):
    """Answers, or the thinking in front of them, that are decoded when first asked for."""

    def __init__(
        self, tokenizer: Any, tokens_RT: np.ndarray, length_R: np.ndarray, opened_R: np.ndarray, *, thinking: bool
    ) -> None:
        self._parts = (tokenizer, tokens_RT, length_R, opened_R)
        self._thinking = thinking
        self._texts: list[str] | None = None

    def _all(self) -> list[str]:
        if self._texts is None:
            tokenizer, tokens_RT, length_R, opened_R = self._parts
            rows = [row[:size].tolist() for row, size in zip(tokens_RT, length_R, strict=True)]
            replies = zip(written(tokenizer, rows), opened_R, strict=True)
            parted = [thinking_and_answer(reply, opened=bool(opened)) for reply, opened in replies]
            self._texts = [thought if self._thinking else answer for thought, answer in parted]
        return self._texts

    def __len__(self) -> int:
        return len(self._parts[2])

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | Sequence[str]:
        return self._all()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """Rollouts of prompts as columns."""

    prompt_R: Int[np.ndarray, " R"]  # index into the prompts
    tokens_RT: Int32[np.ndarray, "R T"]  # 0 beyond the end
    logprobs_RT: Float[np.ndarray, "R T"] = field(repr=False)  # nats, of what was sampled from; 0 beyond the end
    plain_RT: Float[np.ndarray, "R T"] = field(repr=False)  # nats, at temperature 1 without truncation
    length_R: Int[np.ndarray, " R"]  # tokens, the end token included
    stopped_R: Bool[np.ndarray, " R"]  # ended by itself or by a stop string, not at the limit
    text_R: Sequence[str] = field(repr=False)  # the answers, without special tokens
    thinking_R: Sequence[str] = field(repr=False)  # what stood in a block of thinking in front of each


def decode(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[str]:
    """Turn token ids into texts without special tokens."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return list(fast.decode_batch([list(row) for row in rows], skip_special_tokens=True))
    return list(tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def written(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[str]:
    """Do the same, and leave in the marks of thinking, which are special tokens of some models."""
    added = tokenizer.added_tokens_decoder.items()
    marks = {i: str(token.content) for i, token in added if token.special and token.content in (OPEN, CLOSE)}
    if not marks:
        return decode(tokenizer, rows)
    runs = [[(mark, list(run)) for mark, run in itertools.groupby(row, key=marks.get)] for row in rows]
    return ["".join(mark or decode(tokenizer, [run])[0] for mark, run in parts) for parts in runs]


def choose(logits_BV: Tensor, uniform_B: np.ndarray, *, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one token per row by inverting the distribution function at a given number.

    Args:
        logits_BV: Logits.
        uniform_B: Numbers in (0, 1), float64.
        sampling: Temperature and top-p.

    Returns:
        Token ids, their log-probs under the distribution sampled from, and their log-probs under the plain model.
    """
    if sampling.temperature == 0:
        top_B1, token_B1 = logits_BV.max(dim=1, keepdim=True)
        plain_B1 = top_B1 - torch.logsumexp(logits_BV, dim=1, keepdim=True)
        return token_B1.view(-1), torch.zeros_like(plain_B1.view(-1)), plain_B1.view(-1)
    scaled_BV = logits_BV if sampling.temperature == 1 else logits_BV / sampling.temperature
    scaled_BV = scaled_BV - scaled_BV.amax(dim=1, keepdim=True)
    weight_BV, order_BV = torch.exp(scaled_BV), None
    if sampling.top_p < 1:
        weight_BV, order_BV = weight_BV.sort(dim=1, descending=True, stable=True)
    # In 32 bits the sums would shift with the last bits of the logits, and swallow rare tokens of a large vocabulary.
    sums_BV = torch.cumsum(weight_BV, dim=1, dtype=torch.float64)
    total_B1 = sums_BV[:, -1:]
    if order_BV is not None:
        # Keep a token if what lies before it is still below top_p: the smallest set that reaches it.
        reach = torch.searchsorted(sums_BV, (total_B1 * sampling.top_p).contiguous())
        total_B1 = sums_BV.gather(1, reach.clamp_(max=sums_BV.shape[1] - 1))
    uniform_B1 = torch.from_numpy(uniform_B).to(sums_BV.device, sums_BV.dtype).unsqueeze(1)
    # The uniform numbers stay below 1 by enough that rounding cannot step over the end.
    token_B1 = torch.searchsorted(sums_BV, uniform_B1 * total_B1, right=True)
    if order_BV is not None:
        token_B1 = order_BV.gather(1, token_B1)
    logprob_B = (scaled_BV.gather(1, token_B1) - torch.log(total_B1).to(scaled_BV.dtype)).view(-1)
    if sampling.temperature == 1 and sampling.top_p == 1:
        return token_B1.view(-1), logprob_B, logprob_B
    plain_B1 = torch.log_softmax(logits_BV, dim=1).gather(1, token_B1)
    return token_B1.view(-1), logprob_B, plain_B1.view(-1)


TAIL = 16  # tokens at the end of a prompt among which an open block of thinking is looked for
PAIRS = 1 << 24  # bytes that a table of token pairs may take


class _Stops:
    """Finds rollouts that completed a stop string, decoding only where the two newest tokens could have done it."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], vocabulary: int) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.tail = max(32, max((len(s.encode()) for s in stop), default=0) + 8)  # tokens that cover the longest
        known = min(len(tokenizer), vocabulary) if stop else 0
        self.pieces = decode(tokenizer, [[i] for i in range(known)]) + [""] * (vocabulary - known)
        could_V = np.array([bool(stop) and self._could("", piece, alone=True) for piece in self.pieces], bool)
        # Pairs of a token and one that could end a stop string: 1 if together they could, 0 if not, -1 if never asked.
        # For a large vocabulary, whose forward costs more than decoding, one row says that all could.
        self.column_V = np.where(could_V, np.cumsum(could_V), 0)
        columns = int(could_V.sum()) + 1
        small = vocabulary * columns <= PAIRS
        self.could_VC = np.full((vocabulary if small else 1, columns), -1 if small else 1, np.int8)
        self.could_VC[:, 0] = 0

    def _could(self, before: str, piece: str, *, alone: bool) -> bool:
        """Whether a stop string could end in a piece, given the piece before it, or whatever stands before if alone."""
        if "\ufffd" in before + piece:  # part of a character
            return True
        for first, last in itertools.product({before, f" {before}"}, {piece, f" {piece}"}):  # may have lost a blank
            text = last if alone else first + last
            for s in self.stop:
                inside = 0 if alone else len(first)  # an ending of s that covers all of `first`, and more
                if s in text or any(text.startswith(s[-k:]) for k in range(inside + 1, len(s) + 1)):
                    return True
        return False

    def hit(self, tokens_RT: np.ndarray, rollout_L: np.ndarray, count_L: np.ndarray) -> np.ndarray:
        """Say which rollouts have just completed a stop string; `count_L` includes the newest token."""
        out_L = np.zeros(len(rollout_L), bool)
        newest_L = tokens_RT[rollout_L, count_L - 1]
        before_L = tokens_RT[rollout_L, count_L - 2] % len(self.could_VC)
        could_L = np.where(count_L < 2, self.column_V[newest_L] > 0, self.could_VC[before_L, self.column_V[newest_L]])
        for k in np.flatnonzero(could_L < 0).tolist():
            pieces = self.pieces[before_L[k]], self.pieces[newest_L[k]]
            could_L[k] = self.could_VC[before_L[k], self.column_V[newest_L[k]]] = self._could(*pieces, alone=False)
        maybe = np.flatnonzero(could_L > 0).tolist()
        tails = [tokens_RT[rollout_L[k], max(0, count_L[k] - self.tail) : count_L[k]].tolist() for k in maybe]
        for k, text in zip(maybe, decode(self.tokenizer, tails) if tails else (), strict=True):
            out_L[k] = any(s in text for s in self.stop)
        return out_L


def _check_fit(limit: int | None, prompt_ids: Sequence[np.ndarray], *, max_tokens: int) -> None:
    longest = max((len(p) for p in prompt_ids), default=0)
    if limit is not None and longest + max_tokens > limit:
        raise BadInput(
            f"A prompt of {longest} tokens and max_tokens={max_tokens} need more than the model's {limit} positions. Beyond "
            "them its output means nothing. Lower max_tokens or shorten the prompt."
        )
    if any(len(p) == 0 for p in prompt_ids):
        raise BadInput(
            "A prompt has no tokens, so there is nothing to continue. Check the chat template and the prompt."
        )


class Sampler:
    """The state of one call of `model.sample_prompts`: which rollouts are under way, and in which rows."""

    def __init__(
        self, network: Any, tokenizer: Any, prompt_ids: Sequence[np.ndarray], sampling: Sampling, *, ends: Sequence[int],
        n: int, seed: int, rows: int,
    ) -> None:  # fmt: skip
        if n < 1:
            raise BadInput(f"n is {n}. A prompt without rollouts has nothing to score. Ask for at least one.")
        _check_fit(positions(network), prompt_ids, max_tokens=sampling.max_tokens)
        self.network, self.tokenizer, self.prompt_ids, self.sampling = network, tokenizer, prompt_ids, sampling
        self.R, self.T = len(prompt_ids) * n, sampling.max_tokens
        self.prompt_R = np.repeat(np.arange(len(prompt_ids)), n)
        keys = [rollout_keys(ids.tolist(), n=n, seed=seed) for ids in prompt_ids]
        self.uniform_RT = uniforms(np.concatenate([np.zeros(0, np.uint64), *keys]), tokens=self.T)
        self.tokens_RT = np.zeros((self.R, self.T), np.int32)
        self.logprobs_RT = np.zeros((self.R, self.T), np.float32)
        same = self.sampling.temperature == 1 and self.sampling.top_p == 1
        self.plain_RT = self.logprobs_RT if same else np.zeros_like(self.logprobs_RT)
        self.length_R = np.zeros(self.R, np.int32)
        self.stopped_R = np.zeros(self.R, bool)
        self.vocabulary = int(network.get_output_embeddings().weight.shape[0])
        self.end_V = np.zeros(self.vocabulary, bool)
        self.end_V[[i for i in ends if i < self.vocabulary]] = True
        special = [s for s in self.sampling.stop if s in tokenizer.all_special_tokens]
        self.end_V[tokenizer.convert_tokens_to_ids(special)] = True  # texts do not show these
        self.stops = _Stops(tokenizer, sampling.stop, self.vocabulary)
        # Long prompts first: rows under way then have similar lengths.
        size_P = np.array([len(ids) for ids in prompt_ids], np.int64)
        self.queue = np.argsort(-size_P[self.prompt_R], kind="stable")
        self.taken = 0
        self.rows = max(1, min(rows, self.R))  # rollouts under way at most, so that each can have a row of its own
        # Columns of the rollouts under way: which, in which row, its newest token, tokens so far.
        self.rollout_L, self.row_L, self.token_L, self.count_L = (np.zeros(0, np.int64) for _ in range(4))
        self.used, self.read = 0, 0  # rows that step, and those of them that a rollout is in

    @torch.inference_mode()
    def run(self) -> Sampled:
        """Draw every rollout to its end."""
        if self.R:
            longest = max(len(ids) for ids in self.prompt_ids) + self.T
            engine = engine_for(self.network, rows=self.rows, length=longest, spare=self.rows < self.R)
            while self._fill(engine):
                token_B = np.zeros(self.used, np.int64)
                token_B[self.row_L] = self.token_L
                self._take(engine, engine.step(token_B), self.row_L)
        spoken_R, opened_R = self.length_R - self._ended_R(), self._opened_P()[self.prompt_R]
        text_R, thinking_R = (
            LazyText(self.tokenizer, self.tokens_RT, spoken_R, opened_R, thinking=thinking)
            for thinking in (False, True)
        )
        return Sampled(
            prompt_R=self.prompt_R,
            tokens_RT=self.tokens_RT,
            logprobs_RT=self.logprobs_RT,
            plain_RT=self.plain_RT,
            length_R=self.length_R,
            stopped_R=self.stopped_R,
            text_R=text_R,
            thinking_R=thinking_R,
        )

    def _opened_P(self) -> np.ndarray:
        """Which prompts end in an open block of thinking, so that the reply begins inside it."""
        if OPEN not in str(self.tokenizer.chat_template):
            return np.zeros(len(self.prompt_ids), bool)
        tails = [ids[-TAIL:].tolist() for ids in self.prompt_ids]
        return np.array([opens(text) for text in written(self.tokenizer, tails)], bool)

    def _ended_R(self) -> np.ndarray:
        """Which rollouts close with an end token: it is no part of their text, also where it is an ordinary token."""
        last_R = self.tokens_RT[np.arange(self.R), np.maximum(self.length_R - 1, 0)]
        ended_R: np.ndarray = self.stopped_R & self.end_V[last_R]
        return ended_R

    def _fill(self, engine: Engine) -> bool:
        """Put waiting rollouts into free rows and drop rows that nothing reads; say whether any rollout is under way."""
        while True:
            live, waiting = len(self.rollout_L), self.R - self.taken
            free = self.rows - live
            if waiting and (live == 0 or (engine.refills and free >= max(1, self.rows // 8))):
                self._admit(engine, min(free, waiting))
                continue
            if live and self.used - self.read >= max(1, self.used // (4 if waiting else 8)):
                self._drop(engine)
            return live > 0

    def _free(self, count: int) -> np.ndarray:
        """The lowest rows that no rollout is in."""
        busy_B = np.zeros(self.rows, bool)
        busy_B[self.row_L] = True
        return np.flatnonzero(~busy_B)[:count]

    def _admit(self, engine: Engine, count: int) -> None:
        """Start waiting rollouts, those of one prompt in one row."""
        rollout_K = self.queue[self.taken : self.taken + count]
        self.taken += count
        since = len(self.rollout_L)
        if since == 0:
            self.used = 0
            engine.keep(np.zeros(0, np.int64))
        prompt_P, line_K = np.unique(self.prompt_R[rollout_K], return_inverse=True)
        row_P = self._free(len(prompt_P))
        logits_PV = engine.admit([self.prompt_ids[p] for p in prompt_P], row_P)
        self.used = max(self.used, int(row_P.max()) + 1)
        self.rollout_L = np.append(self.rollout_L, rollout_K)
        self.row_L = np.append(self.row_L, row_P[line_K])
        self.token_L, self.count_L = (np.append(a, np.zeros_like(rollout_K)) for a in (self.token_L, self.count_L))
        self._take(engine, logits_PV, line_K, since=since)

    def _drop(self, engine: Engine) -> None:
        """Move rows from the end into the places of those that nothing reads."""
        busy = np.unique(self.row_L)
        row_B = np.arange(len(busy))
        row_B[np.setdiff1d(row_B, busy)] = busy[busy >= len(busy)]
        engine.keep(row_B)
        place_B = np.zeros(self.used, np.int64)
        place_B[row_B] = np.arange(len(busy))
        self.row_L, self.used = place_B[self.row_L], len(busy)

    def _take(self, engine: Engine, logits_KV: Tensor, line_L: np.ndarray, *, since: int = 0) -> None:
        """Draw the next token of the rollouts from `since` on, and see which end with it and which part."""
        rollout_L, count_L = self.rollout_L[since:], self.count_L[since:]
        if len(line_L) != len(logits_KV) or (line_L != np.arange(len(line_L))).any():
            logits_KV = logits_KV.index_select(0, torch.from_numpy(line_L).to(logits_KV.device))
        token, logprob, plain = choose(logits_KV.float(), self.uniform_RT[rollout_L, count_L], sampling=self.sampling)
        token_L = token.cpu().numpy()
        self.tokens_RT[rollout_L, count_L] = token_L
        self.logprobs_RT[rollout_L, count_L] = logprob.cpu().numpy()
        if plain is not logprob:
            self.plain_RT[rollout_L, count_L] = plain.cpu().numpy()
        count_L += 1
        self.token_L[since:] = token_L
        stopped_L = self.end_V[token_L]
        if self.sampling.stop:
            stopped_L |= self.stops.hit(self.tokens_RT, rollout_L, count_L)
        done_L = stopped_L | (count_L == self.T)
        if done_L.any():
            ended = rollout_L[done_L]
            self.length_R[ended], self.stopped_R[ended] = count_L[done_L], stopped_L[done_L]
            on_L = np.append(np.ones(since, bool), ~done_L)
            left = np.setdiff1d(self.row_L[~on_L], self.row_L[on_L])
            self.rollout_L, self.row_L, self.token_L, self.count_L = (
                a[on_L] for a in (self.rollout_L, self.row_L, self.token_L, self.count_L)
            )
            engine.retire(left)
        if self.read < len(self.rollout_L) or done_L.any():
            self._part(engine)

    def _part(self, engine: Engine) -> None:
        """Give rollouts that drew another token than the rest of their row a copy of the row."""
        key_G, group_L = np.unique(self.row_L * self.vocabulary + self.token_L, return_inverse=True)
        self.read = len(key_G)
        row_G = key_G // self.vocabulary
        parts = np.flatnonzero(np.append(False, row_G[1:] == row_G[:-1]))
        if len(parts):
            to = self._free(len(parts))
            row_B = np.arange(max(self.used, int(to.max()) + 1))
            row_B[to] = row_G[parts]
            engine.keep(row_B)
            row_G[parts], self.used = to, len(row_B)
            self.row_L = row_G[group_L]
