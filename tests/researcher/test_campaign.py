"""A campaign needs neither key nor network, improves where it can, claims nothing on an impossible twin, and survives a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import ConfigError
from superalign.ledger.signing import public_key, signed
from superalign.researcher.campaign import Campaign, Settings, Totals, researchers_of
from superalign.researcher.client import Client
from superalign.researcher.notebook import verified
from superalign.types import Finding, Interval, Unmeasured, to_plain
from tests.researcher.standing_in import Bench, StandIn

NONE = Unmeasured("toy")


def campaign(vault: Client, folder: Path, submissions: int = 10, seed: int = 0, **changes: Any) -> Campaign:
    names = ("evolution", "random")
    settings = Settings(
        vault="", folder=str(folder), **{"researchers": names, "submissions": submissions, "seed": seed, **changes}
    )
    return Campaign(settings=settings, vault=vault, researchers=researchers_of(settings), log=lambda _: None)


def counts(totals: Totals) -> dict[str, int]:
    return dict(totals.words)


def test_it_improves_on_the_baseline_and_claims_nothing_on_the_twin(tmp_path: Path) -> None:
    vault = StandIn(Bench(0), Bench(100, twin=True, name="toy-q"))
    done = campaign(vault, tmp_path, submissions=6)
    totals = done.run()
    found = counts(totals)
    assert found["climb better"] + found["climb not better"] == 12
    assert all(seconds > 0 for seconds in dict(totals.spent).values())
    assert {name for name, _ in totals.spent} == {"evolution", "random"}
    assert set(vault.findings) == {"toy-k"}
    gain = vault.findings["toy-k"].gain
    assert isinstance(gain, Interval)
    assert gain.low > 0.05
    assert not done.notebook.released("toy-q")
    again = campaign(vault, tmp_path, submissions=6)
    assert counts(again.run()) == found  # all is done: a second start submits nothing


def test_a_kill_between_any_two_requests_loses_and_doubles_nothing(tmp_path: Path) -> None:
    whole = StandIn(Bench(0, n=200))
    campaign(whole, tmp_path / "whole", submissions=3).run()
    broken = StandIn(Bench(0, n=200))
    kills = 0
    while True:
        broken.kill_after = broken.asked + 5 + kills % 2
        try:
            campaign(broken, tmp_path / "broken", submissions=3).run()
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills >= 3
    assert list(broken.plans) == list(whole.plans)
    assert broken.answers == whole.answers
    assert [replace(f, signature="") for f in broken.findings.values()] == [
        replace(f, signature="") for f in whole.findings.values()
    ]


def test_no_more_is_confirmed_than_there_are_tries_and_only_what_passed_is_opened(tmp_path: Path) -> None:
    vault = StandIn(Bench(0, n=200))
    done = campaign(vault, tmp_path, submissions=6)
    vault._confirms = lambda *_: "not passed"  # type: ignore[method-assign]
    found = counts(done.run())
    better = [e.plan.artefact for e, _ in done.notebook.released("toy-k")]
    confirmed = [p.artefact for p in vault.plans.values() if p.tier == "confirm"]
    assert confirmed == better[: vault.benches["toy-k"].question.tries]  # the best first
    assert found["confirm not passed"] == len(confirmed)
    assert not vault.findings


def test_a_finding_that_the_vault_did_not_sign_is_counted_and_is_none(tmp_path: Path) -> None:
    vault = StandIn(Bench(0, n=200))
    forged = Finding(
        ticket="t", question="toy-k", gain=Interval(value=0.9, low=0.8, high=1.0, n=9), baseline=NONE, replicated=True
    )
    vault.findings["toy-k"] = forged
    totals = campaign(vault, tmp_path, submissions=2).run()
    assert totals.findings == ()
    assert dict(totals.lost)["a finding that is not as the vault signed it"] == 1
    mine = replace(forged, signature=signed(forged, vault.key).signature)
    assert verified([to_plain(mine)], public_key(vault.key)) == ({"toy-k": mine}, ())
    assert verified([to_plain(mine)], public_key(StandIn().key)) == ({}, ("toy-k",))  # by the key of another


def test_submissions_that_are_refused_or_crash_are_counted_and_nobody_learns_from_them(tmp_path: Path) -> None:
    vault = StandIn(Bench(0, n=200), says={"random": "unmeasured", "evolution": "refused"})
    done = campaign(vault, tmp_path, submissions=2)
    assert counts(done.run()) == {"climb refused": 1, "climb unmeasured": 1}
    assert done.notebook.programs("toy-k") == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"researchers": ("genius",)}, "no researcher genius"),
        ({"researchers": ()}, "no researcher at all"),
        ({"researchers": ("model",)}, "no relay is named"),
    ],
)
def test_wrong_settings_are_refused_first(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        campaign(StandIn(), tmp_path, **changes)


def test_bayesian_search_improves_too(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    vault = StandIn(Bench(1, n=200))
    done = campaign(vault, tmp_path, submissions=2, researchers=("bayesian",))
    done.run()
    assert done.notebook.released("toy-k")


def test_without_optuna_one_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match="pip install"):
        campaign(StandIn(), tmp_path, researchers=("bayesian",))
