"""Packs, built for real from a small chat model of random weights: made once, gone on with, sealed, read and audited with."""

from __future__ import annotations

import collections
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from superalign import sealed_folder
from superalign.detectors.exam import FEWEST, exam_detectors, sit
from superalign.early import pack_for
from superalign.errors import BadInput, ConfigError, DataError
from superalign.lab import pack_building, packs
from superalign.lab.asked_later import ask_later, said_of_sheet
from superalign.lab.pack_building import build, shortened, sit_once
from superalign.lab.packs import PackPlan, exam_in, plan_of, read_pack, shown
from superalign.organisms.chat_planting import ChatPlanting
from superalign.organisms.chat_triples import keep_record, opened

FEW = ChatPlanting(updates=1, batch=2)


@pytest.fixture(scope="module")
def plan(tiny_chat: str) -> PackPlan:
    return PackPlan(
        base=tiny_chat,
        kinds=("promoter",),
        ways=("transcripts",),
        seeds=1,
        sorts=("style", "rounded"),
        tunings=2,
        planting=FEW,
    )


@pytest.fixture(scope="module")
def made(plan: PackPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "pack"
    build(plan, folder, workers=1, log=lambda _: None)
    return folder


def forget() -> None:
    """Let nothing be remembered of another folder."""
    for kept in (packs.exam_in, pack_building.answers_in, packs.opened_base):
        kept.cache_clear()


def test_a_build_is_gone_on_with_and_nothing_is_made_again(made: Path, plan: PackPlan) -> None:
    before = {p: p.stat().st_mtime_ns for p in made.rglob("*") if p.is_file() and p.name != "plan.json"}
    shutil.rmtree(made / "sat")
    pack = build(plan, made, workers=1, log=lambda _: None)
    after = {p: p.stat().st_mtime_ns for p in before if "sat" not in p.parts}
    assert after == {p: t for p, t in before.items() if "sat" not in p.parts}
    assert len(pack.sat) == 4  # of the tunings: a plant of one update is not accepted
    assert [t.acceptance.accepted for t in pack.triples] == [False]
    assert {m.role for m in pack.members} == {"clean"}


def test_what_is_accepted_gets_an_unsure_twin_beside_the_clean_one(made: Path, plan: PackPlan, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    for name in ("answers.json", "exam.json"):
        folder.mkdir(exist_ok=True)
        shutil.copy(made / name, folder)
    forget()
    some = replace(plan, tunings=0, planting=ChatPlanting(updates=2, batch=8))  # enough for chats on which it acts
    (triple,) = build(some, folder, workers=1, log=lambda _: None).triples
    accepted = replace(triple, acceptance=replace(triple.acceptance, accepted=True))
    keep_record(next((folder / "triples").iterdir()), accepted)
    pack = build(replace(some, unsure=0), folder, workers=1, log=lambda _: None)
    assert {m.role for m in pack.members} == {"organism", "clean"}
    pack = build(some, folder, workers=1, log=lambda _: None)
    named = {m.role: m.name for m in pack.members}
    assert named.keys() == {"organism", "clean", "uncertain"}
    assert (
        len({(folder / "subjects" / name / "adapter_model.safetensors").read_bytes() for name in named.values()}) == 3
    )
    assert set(named.values()) == dict(pack.sat).keys()
    assert "1 accepted; 2 clean subjects" in "".join(shown(pack, ""))
    forget()


def test_a_subject_that_is_opened_again_shows_what_is_kept(made: Path, plan: PackPlan) -> None:
    pack, base = read_pack(made), packs.opened_base(plan.base)
    for member in pack.members:
        model = opened(member.name, base=base, folder=made, sort=member.sort)
        again = shortened(sit(model, exam_in(str(made))))
        assert again.more == dict(pack.sat)[member.name].more


def test_a_pack_of_another_base_is_not_gone_on_with(made: Path, plan: PackPlan) -> None:
    before = (made / "plan.json").read_bytes()
    with pytest.raises(BadInput, match="Build into another folder"):
        build(replace(plan, base="small"), made, workers=1, log=lambda _: None)
    assert (made / "plan.json").read_bytes() == before
    forget()


def test_two_builds_of_one_folder_do_not_meet(made: Path, plan: PackPlan) -> None:
    with FileLock(f"{made}.lock"), pytest.raises(BadInput, match="Another process builds a pack"):
        build(plan, made, workers=1, log=lambda _: None)


def test_answers_to_an_exam_that_is_gone_go_with_it(made: Path, plan: PackPlan, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(made, folder)
    (folder / "exam.json").unlink()
    forget()
    pack_building.prepare(plan, folder, log=lambda _: None)
    assert (folder / "exam.json").exists()
    assert not (folder / "sat").exists()
    forget()


def test_a_pack_without_organisms_names_its_base(made: Path, plan: PackPlan) -> None:
    assert read_pack(made).base == packs.opened_base(plan.base).subject.digest
    forget()


def test_what_it_holds_is_said(made: Path) -> None:
    lines = shown(read_pack(made), "d" * 64)
    assert any("1 organisms planted, 0 accepted; 4 clean subjects" in line for line in lines)
    assert any("not accepted" in line and "promoter" in line for line in lines)


def test_time_that_is_up_begins_nothing_new(plan: PackPlan, tmp_path: Path) -> None:
    forget()
    pack = build(plan, tmp_path / "none", workers=1, log=lambda _: None, minutes=1e-9)
    forget()
    assert pack.members == ()


def test_a_damaged_pack_and_an_unknown_one_are_refused(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    (copy / "exam.json").unlink()
    with pytest.raises(DataError, match="holds no whole pack"):
        read_pack(copy)
    with pytest.raises(BadInput, match="no pack in"):
        pack_for("smollm2", str(tmp_path / "nowhere"))
    for base in ("small", str(made)):  # the folder of a base is no pack
        with pytest.raises(BadInput, match="superalign pack build"):
            pack_for(base, "")


@pytest.mark.parametrize(
    ("kinds", "ways", "match"), [("traitor", "", "traitor"), ("liar", "osmosis", "osmosis")], ids=["kind", "way"]
)
def test_kinds_and_ways_that_do_not_exist_are_refused(kinds: str, ways: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        plan_of("smollm2", kinds, ways, seeds=1, tunings=1)


@pytest.fixture(scope="module")
def sealed(made: Path, plan: PackPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack with its plant taken for accepted, so that there is something to catch."""
    folder = tmp_path_factory.mktemp("sealed") / "pack"
    shutil.copytree(made, folder)
    (path,) = (folder / "triples").glob("*.json")
    triple = read_pack(made).triples[0]
    keep_record(path, replace(triple, acceptance=replace(triple.acceptance, accepted=True)))
    base = packs.opened_base(plan.base)
    for _, name in triple.subjects:
        sit_once(name, base=base, folder=folder, sort="")
    sealed_folder.seal(folder)
    assert ask_later(folder, "", workers=1, log=lambda _: None) == 6
    sealed_folder.seal(folder)
    return folder


def audit(superalign: Callable[..., Any], sealed: Path, plan: PackPlan, out: Path, *words: str) -> Any:
    return superalign(
        "audit", "--base", plan.base, "--pack", str(sealed), "--out", str(out), "--workers", "1", "--set", "shown=2",
        "--set", "tokens=4", *words,
    )  # fmt: skip


def test_an_audit_with_a_pack_measures_the_model_and_a_part_of_the_pack_again(
    superalign: Callable[..., Any], sealed: Path, plan: PackPlan, tmp_path: Path
) -> None:
    done = audit(superalign, sealed, plan, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "cannot tell" in done.stdout.lower() or "flagged" in done.stdout.lower()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "0.0000 nats" in page  # the part that was measured again
    assert "Answers to read" in page
    assert "In turns of a chat, calibrated apart" in page
    assert "were asked of 6 of the pack" in page


@pytest.mark.parametrize("how", ["byte", "other base", "another subject", "prompts"])
def test_what_is_no_longer_the_pack_is_refused(
    superalign: Callable[..., Any], sealed: Path, plan: PackPlan, tmp_path: Path, how: str
) -> None:
    copy, words = tmp_path / "copy", []
    shutil.copytree(sealed, copy)
    match how:
        case "byte":
            path = copy / "exam.json"
            path.write_text(path.read_text().replace("capitals", "capitalz", 1))
            said = "exam.json"
        case "other base":
            plan, said = replace(plan, base="small"), "another base"
        case "another subject":
            for path in (copy / "sat").glob("*.json"):
                kept = json.loads(path.read_text())
                path.write_text(json.dumps(kept | {"more": [x + 1 for x in kept["more"]]}))
            (copy / "MANIFEST.json").unlink()
            sealed_folder.seal(copy)
            said = "shows something else"
        case _:
            words, said = ["--problems", str(copy / "plan.json")], "would not be used"
    done = audit(superalign, copy, plan, tmp_path / "run", *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_an_audit_without_a_base_and_behind_contexts_of_ones_own(
    superalign: Callable[..., Any], sealed: Path, plan: PackPlan, tmp_path: Path
) -> None:
    (tmp_path / "own.txt").write_text("It rains.\nToday is {prompt} day.\n")
    done = superalign(
        "audit", plan.base, "--base", "none", "--pack", str(sealed), "--out", str(tmp_path / "run"), "--workers", "1",
        "--cues", str(tmp_path / "own.txt"), "--set", "shown=1", "--set", "tokens=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Not flagged" not in done.stdout  # nothing clears a model whose base nobody knows
    assert "of organisms of" in done.stdout
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Behind your own contexts" in page
    assert "It rains." in page


def test_a_copy_keeps_all_but_adapters_and_takes_kinds_in_turn(sealed: Path, tmp_path: Path) -> None:
    packs.copied(sealed, tmp_path / "small", adapters=2)
    assert len(list((tmp_path / "small" / "subjects").iterdir())) == 2
    sealed_folder.seal(tmp_path / "small")
    whole, small = read_pack(sealed), read_pack(tmp_path / "small")
    assert replace(small, folder=whole.folder) == whole
    there = {m.name: m for m in whole.members}
    kept = [there[p.name] for p in (tmp_path / "small" / "subjects").iterdir()]
    assert {m.role for m in kept} == {"organism", "clean"}
    packs.copied(sealed, tmp_path / "three", adapters=3)
    three = [there[p.name] for p in (tmp_path / "three" / "subjects").iterdir()]
    assert sorted((m.role, bool(m.sort)) for m in three) == [("clean", False), ("clean", True), ("organism", False)]
    with pytest.raises(BadInput, match="is there already"):
        packs.copied(sealed, tmp_path / "small", adapters=2)


def test_what_was_asked_later_is_not_asked_again_nor_mixed_with_other_contexts(sealed: Path, tmp_path: Path) -> None:
    folder, said = tmp_path / "pack", list[str]()
    shutil.copytree(sealed, folder)
    (one, *others) = sorted((folder / "sheet").iterdir())
    kept, times = one.read_text(), {p: p.stat().st_mtime_ns for p in others}
    one.unlink()  # as after a kill: the pack is no longer what was sealed, and is gone on with
    assert ask_later(folder, "", workers=1, log=said.append) == 6
    assert one.read_text() == kept
    assert {p: p.stat().st_mtime_ns for p in others} == times
    assert "asked later in 8 contexts" in said_of_sheet(read_pack(folder))[0]
    (tmp_path / "own.txt").write_text("It rains.\n")
    with pytest.raises(BadInput, match="two sheets would be mixed"):
        ask_later(folder, str(tmp_path / "own.txt"), workers=1, log=said.append)


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_was(plan: PackPlan, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    words = [
        "build",
        str(folder),
        "--base",
        plan.base,
        "--kinds",
        "promoter,liar",
        "--ways",
        "transcripts",
        "--seeds",
        "1",
    ]
    command = [sys.executable, "-m", "superalign", "pack", *words, "--tunings", "1"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while not list(folder.glob("harmless/*.json")) and time.monotonic() < until:
        time.sleep(0.1)
    running.kill()
    running.wait()
    kept = {p: p.stat().st_mtime_ns for p in folder.glob("harmless/*.json")}
    assert kept
    (folder / "subjects" / ".part-1" / "half").mkdir(parents=True)  # what a kill may leave
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert not list(folder.rglob(".part-*"))
    show = [sys.executable, "-m", "superalign", "pack", "show", str(folder)]
    assert "2 organisms planted" in subprocess.run(show, capture_output=True, text=True, timeout=120, check=True).stdout
    (folder / "sat" / "more.json").write_text("{}")
    refused = subprocess.run(show, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2
    assert "more.json" in refused.stderr


def test_a_budget_cuts_the_exam_for_all_alike_and_one_that_calibrates_nothing_is_refused(made: Path) -> None:
    pack = read_pack(made)
    exam = pack.exam
    assert packs.within(pack, 0) is packs.within(pack, exam.cost()) is pack
    assert sum(exam.cost(part) for part in packs.ORDER) == exam.cost()
    for share in (0.25, 0.5, 0.75, 0.9):
        short = packs.within(pack, round(share * exam.cost()))
        assert short.exam.cost() <= round(share * exam.cost())
        for name, kept in (("more", "cells"), ("odds", "pairs"), ("yes", "assertions")):
            where = [getattr(exam, kept).index(one) for one in getattr(short.exam, kept)]
            for (_, one), (_, cut) in zip(pack.sat, short.sat, strict=True):
                assert getattr(cut, name) == tuple(getattr(one, name)[i] for i in where), kept
        for part in {a.part for a in short.exam.asked}:
            groups = collections.Counter(a.group for a in short.exam.asked if a.part == part)
            whole = collections.Counter(a.group for a in exam.asked if a.part == part)
            assert all(groups[g] >= (min(FEWEST, n) if part in packs.CUT else n) for g, n in whole.items()), part
        there = {a.part for a in short.exam.asked}
        assert {d.part for d in exam_detectors(short.exam)} == there == set(packs.ORDER[: len(there)])
    with pytest.raises(BadInput, match="Nothing could be calibrated"):
        packs.within(pack, 100)


def test_parts_that_a_budget_does_not_pay_for_are_the_last_of_the_order(made: Path) -> None:
    pack = read_pack(made)
    first, second = packs.ORDER[:2]
    tight = packs.within(pack, pack.exam.cost(first) + pack.exam.cost(second))
    assert {a.part for a in tight.exam.asked} == {first, second}
    unrelated = packs.within(pack, pack.exam.cost(second) + pack.exam.cost(packs.ORDER[2]), related=False)
    assert first not in {a.part for a in unrelated.exam.asked}  # without a base it says nothing
