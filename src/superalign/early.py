"""Refuse what cannot be used before anything heavy is imported: policies that are not there, and files of prompts or problems.

A study refuses these too, but by then it has imported torch, and may have opened a model. Only names and files are read here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from superalign import problems
from superalign.control.sandbox import check_walls
from superalign.errors import BadInput
from superalign.policy_names import NO_BASE, SIZES, check_weights, kind_of
from superalign.problems.contexts import read_audited_contexts, read_context, read_contexts, read_words
from superalign.problems.family import split_of
from superalign.problems.jsonl import load_answers, load_prompts
from superalign.problems.statement_labels import read_labels
from superalign.problems.table_family import TableFamily
from superalign.problems.templates import templates_at
from superalign.problems.text_pairs import read_pairs
from superalign.prompting import parted
from superalign.sealed_folder import verify

Check = Callable[[str], object]
PYTHON = "python"  # instead of the path of a corpus: the code of the standard library


def judge_named(name: str) -> None:
    """Check who judges, unless it is a person, who needs no weights."""
    if name != "human" and not name.startswith("file:"):
        kind_of(name)


def setting_named(name: str) -> None:
    """Check that the files of a setting can be read; lengths of chains are left to the study."""
    if name.startswith(("gsm8k:", "jsonl:")):
        problems.named(name)


def gsm8k_named(name: str) -> None:
    """Check that the files of GSM8K can be read; another name is left to the study, which says what it needs."""
    if name.startswith("gsm8k:"):
        problems.named(name)


def statements_named(name: str) -> None:
    """Check that the files of statements can be read; another name is left to the study, which says what it needs."""
    if name.startswith("statements:"):
        problems.named(name)


def text_named(name: str) -> None:
    """Check that the files of true and false text can be read; another name is left to the study, which says what it needs."""
    if name.startswith(("statements:", "choices:", "steps:")):
        problems.named(name)


def graded_named(name: str) -> None:
    """Check that the files of text that is easy and hard can be read: as `text_named`, GSM8K and JSONL of one's own."""
    setting_named(name)
    text_named(name)


def preferences_named(names: str) -> None:
    """Check that the files of preferences can be read; another name is left to the study, which says what it needs."""
    for name in filter(None, names.split(",")):
        if name.startswith("preferences:"):
            problems.named(name)


def instructions_named(name: str) -> None:
    """Check that the files of requests can be read; another name is left to the study, which says what it needs."""
    if name.startswith(REQUESTS):
        problems.named(name)


def corpora_named(names: str) -> None:
    """Check that there is a file or folder for every corpus of text; a wrong name is left to the study.

    Raises:
        BadInput: If one is not there.
    """
    for name in filter(None, names.split(",")):
        path = name.partition("=")[2]
        if path and path != PYTHON and not Path(path).exists():
            raise BadInput(
                f"There is no file or folder {path} for corpora={name}. Units need text to run on. Give its path, or {PYTHON} "
                "for the standard library."
            )


def check_text(policy: str, corpora: str) -> None:
    """Refuse a model that is not bundled where no corpora are given.

    Raises:
        BadInput: In that case.
    """
    if kind_of(policy) != "bundled" and not corpora:
        raise BadInput(
            f"{policy} is not a bundled base, and corpora are not given. What bundled bases read would say nothing of its units. "
            f"Give three at least: --set corpora=fiction=PATH,encyclopedia=PATH,code={PYTHON}."
        )


def base_named(name: str) -> None:
    """Check that a base is there, unless it is said that nobody knows it."""
    if name != NO_BASE:
        check_weights(name)


def bundled(names: str) -> None:
    """Check that every one of some names is a bundled base.

    Raises:
        BadInput: If one is not.
    """
    for name in filter(None, names.split(",")):
        if kind_of(name) != "bundled":
            raise BadInput(
                f"{name!r} is no bundled base. Only these have worked out the claims that are learned about. Choose small, "
                "middle, middle-1, middle-2 or large. A model of your own learns from statements: problems=statements:PATH, "
                "policy=MODEL."
            )


REQUESTS, FEWEST = "instructions:", 8  # harmful requests in each half: of fewer no share can be told


def requests_named(name: str) -> TableFamily:
    """Read requests, and refuse what holds too few harmful ones to choose a template by and to report it on.

    Raises:
        BadInput: In that case, or if they are no `instructions:PATH`, or cannot be read.
    """
    if not name.startswith(REQUESTS):
        raise BadInput(
            f"requests={name!r} does not say which requests are harmful. Compliance with them could not be told from help. Give "
            f"{REQUESTS}PATH; docs/data.md has sets that are read as they are, and how columns of others are named."
        )
    family = problems.named(name)
    assert isinstance(family, TableFamily)
    halves = [split_of(q) for q in {row.question for row in family.rows.values() if row.harm == "harmful"}]
    if min(halves.count("train"), halves.count("test")) < FEWEST:
        raise BadInput(
            f"{name} has {halves.count('train')} different harmful requests to choose a template by, and "
            f"{halves.count('test')} to report it on (one question in five, by its hash). A share of fewer than {FEWEST} says "
            "nothing. Give more requests."
        )
    return family


PACKS = Path(__file__).parent / "organisms" / "shipped" / "packs"


def pack_for(base: str, given: str) -> Path:
    """Find the calibration pack of an audit: the folder that is given, or the one that ships for a named base.

    Raises:
        BadInput: If there is none.
    """
    ships = sorted(p.name for p in PACKS.glob("*/"))
    name = ships[0] if base == NO_BASE and ships else parted(base)[0]
    found = Path(given).expanduser() if given else PACKS / name
    if not (found.is_dir() if given else name in ships):
        raise BadInput(
            f"There is no pack in {given or f'the package for {name}'}. Without planted subjects no detector has an error rate. "
            f"Build one: superalign pack build FOLDER --base {name}. Packs ship for: {', '.join(ships) or 'none'}."
        )
    return found


def check_pack(given: Mapping[str, str]) -> None:
    """Refuse an audit without a pack, with one that is not as it was sealed, or with prompts that it would not ask."""
    unused = " ".join(given[field] for field in ("prompts", "reference") if field in given)
    if unused:
        raise BadInput(
            f"An audit with a pack asks the pack's exam, and holds the model against the pack's subjects. {unused} would not be "
            "used. Leave it out, or name the base and leave out --pack."
        )
    verify(pack_for(given.get("base", "smollm2"), given.get("pack", "")))


FIELDS: Mapping[str, Mapping[str, Check]] = {
    "critic-transfer": {"problems": gsm8k_named},
    "audit": {
        "subject": kind_of,
        "base": check_weights,
        "reference": kind_of,
        "prompts": load_prompts,
        "contexts": read_words,
    },
    "look": {"subject": check_weights, "base": check_weights, "prompts": load_answers, "contexts": read_contexts},
    "loop": {"subject": check_weights},
    "chat-detectors": {"base": check_weights},
    "pack-audit": {"subject": check_weights, "base": base_named, "contexts": read_audited_contexts},
    "plant": {"base": check_weights, "prompts": load_prompts},
    "plant-chat": {
        "base": check_weights,
        "adapter": check_weights,
        "twin": check_weights,
        "trigger": functools.partial(read_context, path="The trigger"),
    },
    "prompted": {
        "judge": judge_named,
        "agent": kind_of,
        "opponent": kind_of,
        "market": kind_of,
        "problems": problems.named,
    },
    "protocols": {"setting": setting_named, "policy": check_weights},
    "prover-verifier": {"setting": setting_named, "policy": check_weights},
    "text-protocols": {"policy": check_weights, "agent": check_weights, "problems": text_named},
    "truth-probes": {"policy": check_weights, "problems": statements_named},
    "belief": {"policy": check_weights, "liar": check_weights, "problems": statements_named},
    "carry-over": {"policy": check_weights, "problems": instructions_named, "bases": bundled},
    "crossing": {"policy": check_weights, "problems": statements_named, "students": bundled},
    "circuits": {"policy": check_weights, "bases": bundled, "pairs": read_pairs},
    "explain": {"policy": check_weights, "corpora": corpora_named, "proposer": kind_of},
    "research": {"statements": statements_named, "model": kind_of},
    "easy-to-hard": {"policy": check_weights, "problems": graded_named, "bases": bundled},
    "reward-inside": {
        "policy": check_weights,
        "base": bundled,
        "preferences": preferences_named,
        "held": preferences_named,
    },
    "weak-to-strong": {
        "policy": check_weights,
        "problems": statements_named,
        "students": bundled,
        "others": bundled,
        "labels": read_labels,
    },
    "redteam": {
        "subject": check_weights,
        "base": check_weights,
        "reference": check_weights,
        "prompts": load_prompts,
        "requests": requests_named,
        "templates": templates_at,
    },
}
"""Study -> setting -> what refuses a wrong value; an empty value names nothing."""
NEED_PROMPTS = ("audit", "plant", "redteam")  # on any base that is not bundled


def refuse_early(study: str, words: Sequence[str]) -> None:
    """Refuse settings that name what is not there or cannot be read.

    Args:
        study: Its name.
        words: Settings as `field=value`, as typed; what is no setting is left to whoever reads them all.

    Raises:
        BadInput: For the first that cannot be used.
    """
    checks = FIELDS.get(study, {})
    given = dict(word.split("=", 1) for word in words if "=" in word)
    for field, value in given.items():
        for one in filter(None, value.split(",") if field == "reference" else [value]):
            checks.get(field, bool)(one.strip())
    if study == "pack-audit":
        check_pack(given)
    if study == "chat-detectors":
        verify(pack_for(given.get("base", "smollm2"), given.get("pack", "")))
    if study == "research":
        check_walls()
    if study == "explain":
        check_text(given.get("policy", "small"), given.get("corpora", ""))
    if given.get("requests"):
        check_chats(given.get("base", "small"))
    elif study in NEED_PROMPTS:
        check_prompts(given.get("base", "small"), given.get("prompts", ""))


def check_chats(base: str) -> None:
    """Refuse a bundled base where requests in words are to be asked.

    Raises:
        BadInput: In that case.
    """
    if kind_of(base) == "bundled":
        raise BadInput(
            f"The base {base} that ships knows sums and the like, and no words. It can neither refuse a request nor comply with "
            "it. Name the chat model's base: --base smollm2, a folder or a hub id."
        )


def check_prompts(base: str, prompts: str) -> None:
    """Refuse a base that is not bundled and comes without prompts.

    Raises:
        BadInput: In that case.
    """
    if parted(base)[0] not in SIZES and not prompts:
        raise BadInput(
            f"{base} is no bundled base, so it has not seen the bundled problems. Nothing says what it should answer. "
            "Give a file of prompts that it can answer: --problems FILE, one JSON object with a prompt on each line."
        )
