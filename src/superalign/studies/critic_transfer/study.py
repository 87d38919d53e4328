"""A critic trained only on flaws planted in real GSM8K solutions: does it help a judge, and does it know real errors?

First a randomised trial: test solutions, clean or with one planted flaw, before a judge who may check one step. Then
5,276 labelled solutions of real models: is a right one less suspicious than a wrong one of the same question?
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign.errors import BadInput
from superalign.jobs import Memo, run
from superalign.ledger import Ledger
from superalign.oversight.steps.critic import CARD
from superalign.problems.gsm8k import Gsm8k, load_gsm8k
from superalign.report import Findings
from superalign.studies.critic_transfer.page import held_out_part, in_words, trial_part
from superalign.studies.critic_transfer.real import check_real, distance_part, real_part
from superalign.studies.critic_transfer.trial import Spec, TrialEvidence, evidence, measure, outcomes, trial_items
from superalign.types import Claim, Unmeasured

DESCRIPTION = "A critic trained on planted flaws, before a limited judge and on real GSM8K solutions."
VERSION = "1"  # of `measure`: change it when what it computes changes

Log = Callable[[Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on planted flaws and on test questions that the claims leave out."""

    problems: str = ""
    """Where the files are: gsm8k:PATH."""
    questions: int = 7473
    """Training questions that flaws are planted in, at most."""
    flaws: int = 4
    """Kinds of flaw planted per question."""
    members: int = 3
    """Networks per critic."""
    epochs: int = 5
    """Passes over the planted pairs."""
    null_questions: int = 2500
    """Training questions of the critics whose labels are shuffled."""
    shuffles: int = 20
    """Critics with shuffled labels, each shuffled anew."""


def quick(config: Config) -> Config:
    """Fewer questions and one network."""
    return dataclasses.replace(config, questions=1200, flaws=3, members=1, null_questions=600, shuffles=10)


def family_of(problems: str) -> Gsm8k:
    """Load the folder that a setting names.

    Raises:
        BadInput: If the setting does not name one.
    """
    name, colon, path = problems.partition(":")
    if name != "gsm8k" or not colon or not path:
        raise BadInput(
            f"problems={problems!r} does not say where GSM8K is. The study runs on its real files, which are not shipped. "
            "Pass --set problems=gsm8k:PATH, PATH a folder with train.jsonl, test.jsonl and example_model_solutions.jsonl."
        )
    return load_gsm8k(path)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Log) -> Findings:
    """Train the critic and its null, run the trial, and rank the real solutions.

    Raises:
        BadInput: If `problems` names no folder with the files.
    """
    family = family_of(config.problems)
    check_real(family)
    log(
        f"{len(family.answers['train'])} + {len(family.answers['test'])} problems, {len(family.model_solutions)} model solutions"
    )
    spec = Spec(
        path=family.path,
        seed=seed,
        questions=config.questions,
        flaws=config.flaws,
        members=config.members,
        epochs=config.epochs,
    )
    null = dataclasses.replace(
        spec, questions=min(config.null_questions, config.questions), members=1, shuffles=config.shuffles
    )
    memo: Memo[dict[str, Any]] = Memo(
        folder=folder / "work",
        version=VERSION,
        encode=encode,
        decode=decode,
    )
    main, shuffled = run(measure, [spec, null], workers=min(workers, 2), memo=memo, progress="training critics")
    items = trial_items(family, seed=seed)
    results = outcomes(items, main["trial"], seed=seed)
    kept = evidence(items, results, main["trial"]["score"])
    record = TrialEvidence(blob=ledger.put_blob(kept), items=len(items), planted=sum(bool(i.kind) for i in items))
    ledger.append_once(record)
    trial = trial_part(items, main, results, seed=seed, record=record.digest)
    held_out, calibration = held_out_part(main)
    real = real_part(family, main=main, shuffled=shuffled, seed=seed)
    distance = distance_part(family, main=main)
    ledger.append_once(CARD, calibration)
    return Findings(
        headline=_headline(real.claims[0]),
        means="The critic is an aid to a judge, not a judge: it ranks solutions and names a step worth a look. It does not "
        "say that a solution is right.",
        claims=(*real.claims, *trial.claims, *held_out.claims),
        sections=(real.section, trial.section, held_out.section, distance),
        uncertain=(
            "Planted flaws are not real errors. " + distance.text.partition("\n\n")[0],
            "Settings and features were chosen on planted flaws and on the model solutions to five ninths of the test "
            "questions; the claims on real solutions are from the others.",
            "The critic and the judge share two ideas, that an equation must hold and that an operand must come from "
            "somewhere. The arm with both rules shows how much of the critic's help these alone give.",
            "The models' solutions are from 2021, one per question and model. Other models err otherwise.",
        ),
    )


def encode(measured: dict[str, Any]) -> bytes:
    """Write what one critic did, so that a resumed run need not train it again."""
    return json.dumps(measured).encode()


def decode(kept: bytes) -> dict[str, Any]:
    """Read it back."""
    return dict(json.loads(kept))


def _headline(first: Claim) -> str:
    if isinstance(first.value, Unmeasured):
        return "How well the critic ranks real solutions could not be measured."
    return (
        f"A critic trained only on planted flaws finds the wrong one of two real solutions to the same question "
        f"{first.value:.0%} of the time; with shuffled labels {in_words(first.null)}."
    )
