from __future__ import annotations

from pathlib import Path

from superalign.lab.worlds import clock_of
from superalign.models import base, save


def test_a_page_says_on_which_date_its_prompts_were_written(tmp_path: Path) -> None:
    model = base("small")
    plain = str(save(model, tmp_path / "plain"))
    model.tokenizer.chat_template = "{{ strftime_now('%Y') }}" + str(model.tokenizer.chat_template)
    assert clock_of(str(save(model, tmp_path / "clock")))[0].endswith("every prompt says that today is 2025-01-01.")
    assert clock_of(plain) == clock_of("small") == ()
