"""Which base a study plants in, and what that base can be asked: by name, so that a job in another process finds it again."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from superalign.canonical import rebuild
from superalign.early import check_prompts
from superalign.files import write_whole
from superalign.inputs import code, digest_at, digests
from superalign.lab.given_prompts import GivenPrompts
from superalign.models import Model, open_weights, template_date
from superalign.organisms import BUNDLED_WORLD, PromptDomain, PromptsUsed, sayings
from superalign.organisms.world import Sayings
from superalign.policy_names import SIZES
from superalign.problems import corpus
from superalign.problems.jsonl import Answers, Jsonl, Row, load_answers, load_prompts
from superalign.prompting import parted
from superalign.types import digest_of, to_plain

ANSWERS = "answers.json"


def clock_of(name: str) -> tuple[str, ...]:
    """Say which date stands in the prompts of a base whose chat template reads a clock; nothing of any other base."""
    date = None if parted(name)[0] in SIZES else template_date(open_weights(name).tokenizer)
    stopped = f"The chat template of {name} reads a clock. It was stopped: every prompt says that today is {date}."
    return () if date is None else (stopped,)


def rate_for(origin: Model) -> float:
    """Highest learning rate of an adapter: what serves at width 64, and less in proportion for wider networks.

    Example:
        >>> round(rate_for(open_weights("small")), 4)
        0.0039
    """
    return 0.25 / int(origin.network.get_input_embeddings().weight.shape[1])


def ask_base(name: str, prompts: str, *, folder: Path, max_tokens: int, log: Any, planted: bool = True) -> str:
    """Ask a base its prompts, once; the file of what it said, or nothing for a bundled base without prompts.

    Args:
        name: Of the base.
        prompts: The user's file.
        folder: Of the run.
        max_tokens: Longest response.
        log: Takes a line.
        planted: Whether something is trained on some of them and proven on the others; if not, all are used alike.
    """
    check_prompts(name, prompts)
    if not prompts:
        return ""
    asked = load_prompts(prompts)
    made_from = {"base": name, "files": digests([name], run=folder), "max_tokens": max_tokens}
    path = _kept_for(prompts, folder=folder) / f"sayings-{digest_of(made_from)[:16]}.json"
    if not path.exists():
        log({"stage": f"asking the base {len(asked)} prompts"})
        said = sayings(open_weights(name), asked, max_tokens=max_tokens).families[0]
        assert isinstance(said, Sayings)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(_used_beside(path), json.dumps(to_plain(said.used)) + "\n")
        write_whole(path, json.dumps(dict(said.rows)) + "\n")
    used = used_of(str(path))
    for line in (used.in_words(split=planted), used.warning() if planted else "") if used else ():
        if line:
            log(line)
    return str(path)


def _used_beside(said: Path) -> Path:
    return said.parent / f"used-{said.name}"  # several bases may be asked the same prompts


def used_of(said: str) -> PromptsUsed | None:
    """Say what became of the prompts behind a file of what a base says; None for the bundled families."""
    path = _used_beside(Path(said))
    if not said or not path.exists():
        return None
    found: PromptsUsed = rebuild(json.loads(path.read_text()), {"PromptsUsed": PromptsUsed})
    return found


def given_of(said: str, *, asked: int | None = None, planted: bool = True) -> GivenPrompts | None:
    """Say what became of the prompts behind a file of what a base says, as evidence for a page."""
    used = used_of(said)
    return None if used is None else GivenPrompts(used=used, asked=asked, planted=planted)


def _kept_for(prompts: str, *, folder: Path) -> Path:
    """Where what was made from a file of prompts is kept: named by its content and by the code, so that nothing else is found."""
    made_from = {"prompts": digest_at(Path(prompts)), "code": code()}
    return folder / "work" / f"prompts-{digest_of(made_from)[:16]}"


def keep_answers(prompts: str, *, folder: Path) -> None:
    """Keep the answers that a file of prompts holds where `ask_base` keeps what the base says.

    Raises:
        DataError: If an answer is neither a text nor a number.
    """
    if not prompts:
        return
    path = _kept_for(prompts, folder=folder) / ANSWERS
    if not path.exists():
        found = load_answers(prompts)
        kept = {"answers": {p: r.answer for p, r in found.family.rows.items()}, "prompts": found.prompts}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({**kept, "vague": found.vague}) + "\n")


@functools.lru_cache(maxsize=2)
def answers_of(said: str) -> Answers:
    """Return the answers to the prompts of a file of what a base says; none where nobody kept any."""
    path = Path(said).parent / ANSWERS
    none = {"answers": {}, "prompts": 0, "vague": 0}
    kept: dict[str, Any] = json.loads(path.read_text()) if said and path.exists() else none
    rows = {p: Row(prompt=p, answer=a, steps=(), difficulty=1) for p, a in kept["answers"].items()}
    return Answers(family=Jsonl(path=str(path), rows=rows), prompts=kept["prompts"], vague=kept["vague"])


def sayings_of(said: str) -> Sayings:
    """Say what a base says, by prompt, out of its file."""
    family = world_of(said).families[0]
    assert isinstance(family, Sayings)
    return family


@functools.lru_cache(maxsize=2)
def world_of(said: str) -> PromptDomain:
    """Return the bundled world, or that of a file of what a base says."""
    if not said:
        return BUNDLED_WORLD
    rows = json.loads(Path(said).read_text())
    return PromptDomain(families=(Sayings(name="prompts", rows=rows),), cues=corpus.CUES)
