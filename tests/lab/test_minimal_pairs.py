"""A neuron that is its program passes the test of changed tokens; one that is dead or another does not."""

from dataclasses import replace

import numpy as np
import pytest

from superalign.explanations.columns import columns_at
from superalign.explanations.explaining import bank
from superalign.explanations.programs import Ask, End, Program, from_text, simulate, to_text
from superalign.lab import minimal_pairs
from superalign.lab.corpora import Reading
from superalign.lab.explained_network import bank_of
from superalign.lab.minimal_pairs import change_tokens, over_neurons
from superalign.lab.replaced_neurons import ReplaceJob
from superalign.types import Interval, Unmeasured

READING = Reading(tokens=3_000, window=48)


def word(column: str, *labels: str) -> Program:
    return Ask(column, labels, (0.0,) * len(labels), End(4.0), End(-0.1))


def job_of(*programs: Program) -> ReplaceJob:
    n = len(programs)
    return ReplaceJob(
        policy="small",
        reading=READING,
        explained_on=(),
        layer=1,
        neurons=tuple(range(n)),
        programs=tuple(map(to_text, programs)),
        means=(0.5,) * n,
        spreads=(2.0,) * n,
        active=((1.0, 2.0, 2.0),) * n,
        windows=12,
    )


def acting(monkeypatch: pytest.MonkeyPatch, *programs: Program) -> None:
    """Let neurons do what some programs say, whatever the model does."""
    texts = bank_of("small", READING, ())

    def does(_: object, tokens: np.ndarray, at: np.ndarray, *, layer: int, neuron: int) -> np.ndarray:
        columns = columns_at(texts.texts, tokens, at, like=texts.columns)
        return 0.5 + 2.0 * simulate(programs[neuron], columns, np.arange(len(at)))

    monkeypatch.setattr(minimal_pairs, "neuron_at", does)


def test_columns_of_single_tokens_are_those_of_the_bank_also_with_clusters() -> None:
    plain = bank_of("small", READING, ())
    texts, clusters = plain.texts, np.arange(len(plain.texts.words)) % 7
    grouped = bank(texts, clusters_V=clusters, least=40)
    rows = np.random.default_rng(0).choice(grouped.test_n, 60)
    window, at = np.nonzero(texts.scored_WT)
    found = columns_at(texts, texts.tokens_WT[window[rows]], at[rows], like=grouped.columns, clusters_V=clusters)
    assert "cluster before" in found.names
    assert found.names == grouped.columns.names
    assert np.array_equal(found.code_KN, grouped.columns.code_KN[:, rows])


def test_a_neuron_that_is_its_program_passes_and_one_that_is_another_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = word("token", "="), word("token before", ";")
    acting(monkeypatch, *programs)
    held = change_tokens(job_of(*programs))
    for h in held:
        assert h.own == pytest.approx((1.0, 1.0, 1.0))
        assert len(h.windows) >= 8
        assert h.other[2] is not None
        assert h.other[2] < 0.6
    _, own, other = over_neurons(held)[2]
    assert isinstance(own, Interval)
    assert own.value > 0.99
    assert not isinstance(other, Interval) or other.value < 0.6
    wrong = change_tokens(job_of(*programs[::-1]))  # each explained by the other's program
    assert all((h.own[2] or 0.0) < 0.6 for h in wrong)
    assert all(h.own[0] is None or h.own[0] < 0.6 for h in wrong)


def test_a_dead_neuron_has_no_necessity_and_what_no_edit_can_flip_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = word("token", "="), word("next token", "=")
    acting(monkeypatch, End(0.0), End(0.0))
    dead, ahead = change_tokens(job_of(*programs))
    assert dead.own == (0.0, None, None)
    assert ahead.windows == ()
    assert ahead.own == (None, None, None)
    assert ahead.counter == ""
    assert isinstance(over_neurons((ahead,))[0].found, Unmeasured)


def test_a_real_neuron_is_read_at_its_token_and_windows_are_of_the_test_split() -> None:
    job = replace(job_of(word("token", "="), word("token", ";")), windows=4)
    first, again = change_tokens(job), change_tokens(job)
    assert first == again
    texts = bank_of("small", READING, ()).texts
    assert all(texts.split_D[texts.document_W[w]] == 2 for h in first for w in h.windows)
    assert all("seen" in h.counter for h in first)
    assert from_text(job.programs[0]) == word("token", "=")
