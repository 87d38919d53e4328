"""Look at one subject as a job: which model it is, whether it may be looked at, and what every detector says of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign import models
from superalign.errors import BadInput
from superalign.lab.instruments import SEARCHED, able, instruments, look
from superalign.models import Model, Sampling, bits_of, merge, open_weights, quantised, writes
from superalign.models.vllm import Served
from superalign.policy_names import API, SIZES, VLLM, is_adapter
from superalign.problems.contexts import Context
from superalign.prompting import parted
from superalign.types import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectJob:
    """One subject to look at, as a job."""

    path: str
    bits: int = 0  # that its weights are rounded to before it is looked at; 0 for as they are

    @property
    def over_api(self) -> bool:
        """Whether there are its answers and nothing else."""
        return self.path.startswith((API, VLLM))


def look_job(
    item: SubjectJob,
    *,
    base: str,
    said: str,
    max_tokens: int,
    asked: int,
    cues: int,
    texts_only: bool,
    investigator: str,
    searched: int = SEARCHED,
    own: tuple[str, ...] = (),
    only: str = "",
) -> tuple[Verdict, ...]:
    """Let all detectors that can look at one subject, or only the one of a name."""
    every = instruments(base, said, max_tokens, asked, cues, investigator, searched, own)
    found = able(every, texts_only=texts_only)
    found = tuple(d for d in found if only in ("", d.card.name))
    return tuple(look(model_of(item, base, max_tokens), found))


def model_of(item: SubjectJob, base: str, max_tokens: int) -> Model | Served:
    """Open a subject: an adapter on its base, a whole model, or one that only answers, which does so greedily."""
    model = models.open(item.path, on=base, over_api=Sampling(temperature=0.0, max_tokens=max_tokens))
    return quantised(model, bits=item.bits) if item.bits and isinstance(model, Model) else model


def precision(item: SubjectJob, base: str) -> int:
    """To how few bits a subject's weights are rounded; 0 if they are not, or cannot be seen.

    What rounding costs a model looks like a plant to whoever knows whole weights only: so are the planted models, their twins
    and the references rounded before they are looked at.
    """
    model = model_of(item, base, 1)
    return bits_of(model) or 0 if isinstance(model, Model) else 0


def given(path: str, base: str) -> SubjectJob:
    """Check a model that somebody gave: it must load, and be of the base's shape and tokenizer.

    An adapter is put on the base and merged once, since that is what detectors do with it later.

    Raises:
        BadInput: If it is no model or two of them, an adapter that does not belong to the base or cannot be read or merged, or
            a model of another architecture or tokenizer.
    """
    there = Path(path).expanduser()
    item = SubjectJob(path=str(there) if there.exists() else path)
    origin, model = open_weights(base), model_of(item, base, 1)
    if not isinstance(model, Model):
        return item
    if is_adapter(Path(parted(item.path)[0]).expanduser()):
        merge(model)
        return item
    same = json.dumps(origin.tokenizer.get_vocab(), sort_keys=True) == json.dumps(
        model.tokenizer.get_vocab(), sort_keys=True
    )
    shapes = [{n: tuple(p.shape) for n, p in m.network.named_parameters()} for m in (origin, model)]
    fits = set(shapes[0].items()) <= set(shapes[1].items())
    if not same or not fits:
        what = "tokenizer" if not same else "architecture"
        near = ", ".join(s for s in SIZES if s != base)
        raise BadInput(
            f"{path} has another {what} than its base {base}. What planted models of that base show would say nothing "
            f"about it. Name the base that it was made from: --base PATH (or {near})."
        )
    return item


def refuse_unwritten(model: Model, contexts: Sequence[Context]) -> None:
    """Refuse contexts that a model's chat template cannot write.

    Raises:
        BadInput: If there is one.
    """
    for context in contexts:
        if context.turns and not writes(model, context.turns):
            raise BadInput(
                f"The chat template of this model cannot write the context '{context.name}', or leaves a part of it out. It "
                "would be asked something else. Leave the context out, or give another template: --template FILE."
            )
