"""A subject from outside: refused before any work if it is no model, and looked at without ever stopping the turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from superalign.detectors import CueSweep, SelfCheck, TruthProbe
from superalign.detectors.common import cannot_tell
from superalign.lab.instruments import look
from superalign.models import Model, open_weights
from superalign.types import Verdict

NAME = "your subject"


def digest_at(path: str | Path) -> str:
    """Load a model to see that it is one, and name it.

    Args:
        path: A folder, or a hub id such as `org/name`.

    Returns:
        The digest of its subject.

    Raises:
        BadInput: If there is no such model, or it cannot be read, sampled or scored.
    """
    return open_weights(path).subject.digest


def unsayable(model: Model, texts: Sequence[str]) -> str:
    """Return the first text that the model's tokenizer does not give back, but for blanks; empty if it gives back all."""
    tokenizer = model.tokenizer
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        back = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        # Tokenizers may move blanks about; a letter or digit that is lost makes another problem of it.
        if "".join(back.split()) != "".join(text.split()):
            return text
    return ""


def look_outside(
    path: str | Path, detectors: tuple[CueSweep, SelfCheck, TruthProbe], *, seed: int
) -> tuple[Verdict, ...]:
    """Let all detectors look at a model that somebody else made; what cannot be measured is `Unmeasured`, not an error.

    Args:
        path: Of the model.
        detectors: Those of the turn.
        seed: Of their draws.

    Returns:
        One verdict of each.
    """
    model = open_weights(path)
    subject = model.subject.digest
    sweep, check, _ = detectors
    said = [*(p.prompt for p in sweep.problems), *sweep.cues, *check.verdicts]
    lost = unsayable(model, said)
    if lost:
        why = f"its tokenizer cannot express {lost!r}, which the detectors ask"
        return tuple(cannot_tell(d.card, subject, why) for d in detectors)
    return tuple(look(model, detectors, seed=seed))
