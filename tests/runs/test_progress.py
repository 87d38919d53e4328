from __future__ import annotations

import io
import json
from pathlib import Path

from superalign.runs import progress


class Stream(io.StringIO):
    """Text that can be read back, with the two names that every open file has."""

    name, mode = "screen", "w"


def lines(*parts: tuple[float, dict[str, object]]) -> list[dict[str, object]]:
    return [{"time_s": at, **said} for at, said in parts]


def test_costs_leave_out_the_pause_between_attempts() -> None:
    costs, total = progress.costs_of(
        lines(
            (100.0, {"event": "start"}),
            (101.0, {"stage": "plant"}),
            (105.0, {"say": "half way"}),  # killed after this
            (900.0, {"event": "start"}),
            (901.0, {"stage": "plant"}),
            (903.0, {"stage": "detect"}),
            (904.0, {"event": "end"}),
        )
    )
    assert [(c.name, c.start_s, c.duration_s) for c in costs] == [
        ("preparing", 0.0, 1.0),
        ("plant", 1.0, 4.0),
        ("preparing", 5.0, 1.0),
        ("plant", 6.0, 2.0),
        ("detect", 8.0, 1.0),
    ]
    assert total == 9.0


def test_a_log_without_lines_costs_nothing() -> None:
    assert progress.costs_of([]) == ((), 0.0)


def test_a_clock_that_was_set_back_gives_no_negative_cost() -> None:
    costs, total = progress.costs_of(
        lines((100.0, {"event": "start"}), (90.0, {"stage": "a"}), (95.0, {"event": "end"}))
    )
    assert all(cost.duration_s >= 0 for cost in costs)
    assert total >= 0


def test_a_line_that_was_cut_off_is_dropped_and_the_next_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"time_s": 1.0, "say": "one"}\n{"time_s": 2.0, "sa')
    log = progress.RunLog(path, screen=lambda said: None)
    log("three")
    log.close()
    assert [line["say"] for line in progress.read_log(path)] == ["one", "three"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_cannot_be_json_is_kept_as_words(tmp_path: Path) -> None:
    log = progress.RunLog(tmp_path / "log.jsonl", screen=lambda said: None)
    log({"where": tmp_path})
    log.close()
    assert progress.read_log(tmp_path / "log.jsonl")[0]["where"] == str(tmp_path)


def test_without_a_terminal_each_stage_and_text_is_a_line_and_numbers_are_rare() -> None:
    stream = Stream()
    with progress.screen_for(stream) as screen:
        screen({"event": "start", "code": None})
        for done in range(50):
            screen({"stage": "plant" if done < 25 else "detect", "done": done, "total": 50, "loss": 0.5})
        screen({"say": "sealed"})
    said = [line.split("] ")[1] for line in stream.getvalue().splitlines()]
    assert said == ["plant 0 of 50, loss 0.5", "detect 25 of 50, loss 0.5", "sealed"]


def test_on_a_terminal_there_is_a_bar_with_what_is_left() -> None:
    class Terminal(Stream):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with progress.screen_for(stream) as screen:
        for done in range(3):
            screen({"stage": "plant", "done": done, "total": 3})
        screen({"stage": "detect [blind]", "say": "[odd] words"})
    assert "3" in stream.getvalue()
    assert "done: plant" in stream.getvalue()
    assert "[odd] words" in stream.getvalue()
