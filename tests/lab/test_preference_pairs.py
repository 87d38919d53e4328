"""Files of preferences are told apart by name; how many bits their pairs are read in is decided once, not by each process."""

from pathlib import Path

import numpy as np
import pytest

from superalign.lab.preference_pairs import ReadingJob, read_states, short_names
from superalign.models import half


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/p.jsonl"], ["p.jsonl"]),
        (["a/p.jsonl", "b/q.jsonl"], ["p.jsonl", "q.jsonl"]),
        (["a/x/p.jsonl", "b/x/p.jsonl", "b/q.jsonl"], ["a/x/p.jsonl", "b/x/p.jsonl", "q.jsonl"]),
        (["p.jsonl", "a/p.jsonl"], [f"{Path.cwd().name}/p.jsonl", "a/p.jsonl"]),
        (["a/p.jsonl?prompt=x", "b/p.jsonl"], ["a/p.jsonl", "b/p.jsonl"]),
    ],
)
def test_files_of_one_name_are_told_apart_by_their_folders(paths: list[str], names: list[str]) -> None:
    assert short_names([f"preferences:{path}" for path in paths]) == names


def test_one_file_that_is_read_in_two_ways_is_told_apart_by_them() -> None:
    names = ["preferences:a/p.jsonl?prompt=x", "preferences:a/p.jsonl?prompt=y"]
    assert short_names(names) == names


def test_states_do_not_depend_on_what_a_process_measures_of_its_products(
    tiny_chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {}
    for gain in (0.5, 9.0):  # of a process beside others, and of one alone
        monkeypatch.setattr(half, "products_gain", lambda _, gain=gain: gain)
        for bits in (False, True):
            job = ReadingJob(policy=tiny_chat, layer=1.0, half=bits, prompts=("Say one thing.",), texts=("a river",))
            read[gain, bits] = read_states(job)
    for bits in (False, True):
        assert np.array_equal(read[0.5, bits], read[9.0, bits])
    assert not np.array_equal(read[9.0, False], read[9.0, True])
