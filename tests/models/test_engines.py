from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from superalign.models import Model, Sampling, engines, sample_prompts, with_sampling

PROMPTS = tuple("1234567890"[: 1 + i % 7] * (1 + i // 9) for i in range(20))


def sampled(model: Model, rows: int) -> np.ndarray:
    settings = Sampling(max_tokens=20, stop=tuple("aeiou0123"))
    return sample_prompts(with_sampling(model, settings), PROMPTS, n=3, seed=0, rows=rows).tokens_RT


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2"])
@pytest.mark.parametrize("rows", [5, 9])
def test_moving_the_window_changes_nothing(
    make: Callable[[str], Model], kind: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are replaced all the time and the window moves to the front again and again."""
    whole = sampled(make(kind), 256)
    moves: list[int] = []
    move = engines.DecoderEngine._make_room
    monkeypatch.setattr(engines.DecoderEngine, "_make_room", lambda self: (moves.append(self.low), move(self))[1])
    monkeypatch.setattr(engines, "SLACK", 1)
    assert (sampled(make(kind), rows) == whole).all()
    assert len(moves) > 1
    monkeypatch.setattr(engines.DecoderEngine, "_hide", lambda self, rows: None)
    assert (sampled(make(kind), rows) != whole).any()  # the comparison can fail


def test_finished_rows_may_wait_longer_than_the_cache_is(
    make: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rollout after another goes on to the limit while finished ones wait to be replaced."""
    monkeypatch.setattr(engines, "SLACK", 1)
    model = with_sampling(make("llama"), Sampling(max_tokens=60, stop=tuple("abcdefgh")))
    whole = sample_prompts(model, PROMPTS, n=4, seed=1).tokens_RT
    assert (sample_prompts(model, PROMPTS, n=4, seed=1, rows=40).tokens_RT == whole).all()
