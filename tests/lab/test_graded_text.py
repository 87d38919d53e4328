"""How many bits a generator reads in is decided once, for all of its jobs: no process times it for itself."""

from dataclasses import replace

import pytest

from superalign.lab.form_runs import rounded
from superalign.lab.graded_text import Texts, hard_pairs, show_job, show_jobs
from superalign.lab.truth_reading import SetRead
from superalign.models import half


def texts() -> Texts:
    """Right and flawed solutions of sums, more of whose steps are hard ones."""
    each = [
        (i, tested, true)
        for tested in (False, True)
        for i in range(6)
        for true in ((True, False) if tested else (True,))
    ]
    return Texts(
        topic="sums",
        file="none",
        read=SetRead(layers=(), sha256="", says=(), likelihood=()),
        questions=tuple(f"What is {i} + {i + tested}?" for i, tested, _ in each),
        true=tuple(true for *_, true in each),
        test=tuple(tested for _, tested, _ in each),
        said=tuple(f"It is {2 * i + tested if true else 99}." for i, tested, true in each),
        steps=tuple(1 + i % 2 for i, *_ in each),
        length=tuple(10 + i for i, *_ in each),
        pieces=tuple(1.0 + i for i, *_ in each),
    )


def test_what_a_generator_prefers_does_not_depend_on_which_process_it_runs_in(
    tiny_chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measuring(gain: float) -> None:
        monkeypatch.setattr(half, "products_gain", lambda _: gain)
        rounded.cache_clear()

    some = texts()
    assert len(hard_pairs(some, some.measures[0]))
    for gain, bits in ((9.0, True), (0.5, False)):
        measuring(gain)
        jobs = show_jobs(some, tiny_chat, shots=2, seeds=[0, 1])
        assert {job.half for job in jobs} == {bits}
        here = [show_job(job) for job in jobs[:2]]
        measuring(9.5 - gain)  # in another process, beside others
        there = [show_job(job) for job in jobs[:2]]
        assert [list(x.score_P) for x in here] == [list(x.score_P) for x in there]
        assert rounded(tiny_chat, half=jobs[0].half).rounded is bits
    assert replace(jobs[0], half=True) != jobs[0]  # kept values of the two are not taken for one another
