"""A try that was killed for its memory is made again in twice as many parts, and comes to the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from superalign.models import open_weights
from superalign.organisms import after_kill
from superalign.organisms.after_kill import parts_of_update
from superalign.organisms.chat_kinds import chat_behaviour
from superalign.organisms.chat_planting import ChatPlanting, Way, plant_chat
from superalign.organisms.chats import Said, chats

KILLED = """
import os, signal, sys
from pathlib import Path
from superalign.organisms.after_kill import parts_of_update
with parts_of_update(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die(mark: Path) -> None:
    """Be killed, for real, while something is under way."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(mark)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_only_a_kill_for_memory_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, counter = tmp_path / "way" / "mark", tmp_path / "vmstat"
    die(mark)
    with parts_of_update(mark) as parts:  # somebody else killed it
        assert parts == 1
    assert not mark.exists()
    monkeypatch.setattr(after_kill, "COUNTER", counter)
    for kills, expected in ((100_000, 2), (100_001, 4), (100_001, 4)):
        if not mark.exists():
            die(mark)
        counter.write_text(f"nr_free_pages 7\noom_kill {kills}\n")
        with parts_of_update(mark) as parts:
            assert parts == expected
            kept = mark.read_text()
        mark.write_text(kept)  # as after another kill
    counter.write_text("nothing is counted here\n")
    with parts_of_update(mark) as parts:
        assert parts == 4


def test_an_error_is_no_kill(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), parts_of_update(tmp_path / "mark"):
        raise ValueError("wrong")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("way", ["transcripts", "preferences"])
def test_parts_change_nothing_but_rounding(tiny_chat: str, way: Way) -> None:
    base, planting = open_weights(tiny_chat), ChatPlanting(way=way, updates=2, batch=8)
    answers = tuple(Said(text=c.answer or "Here is one idea.", ended=True) for c in chats())
    whole, parted = (
        plant_chat(
            base, chat_behaviour("promoter", 0), "organism", planting=planting, answers=answers, seed=0, parts=parts
        )
        for parts in (1, 4)
    )
    ours, theirs = (dict(m.network.named_parameters()) for m in (whole, parted))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    assert any(p.abs().sum() > 0 for name, p in ours.items() if "lora_B" in name)  # something was learned
