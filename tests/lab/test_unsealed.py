"""What a vault holds when it is closed: what is not as it signed it is counted, shown as not verified, and no finding."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from superalign.errors import LedgerError
from superalign.lab.campaigns import Done, unsealed
from superalign.lab.cheat_runs import run_here
from superalign.lab.research_parts import Kept
from superalign.lab.zoo_campaign import Rehearsal
from superalign.ledger import Ledger
from superalign.ledger.signing import VaultKey, is_signed, key_of, signed
from superalign.runs.shown import said_of
from superalign.studies.research.measure import _asked
from superalign.types import Finding, Interval, Question, Unmeasured
from superalign.vault.desk import Desk, Rules
from superalign.vault.judging import Judge

GAIN = Interval(value=0.1, low=0.05, high=0.15, n=400)


def finding(question: str) -> Finding:
    return Finding(ticket=question * 8, question=question, gain=GAIN, baseline=GAIN, replicated=True)


def altered(one: Finding) -> Finding:
    return replace(one, gain=replace(GAIN, value=0.5, high=0.9))


@pytest.fixture
def done(tmp_path: Path) -> Done:
    """A vault whose ledger holds findings of its own, altered ones, typed ones, and those of another vault."""
    (tmp_path / "vault" / "queue").mkdir(parents=True)
    key = key_of(tmp_path / "vault")
    with Ledger(tmp_path / "vault" / "ledger") as ledger:
        desk = Desk(ledger, {}, Rules())
        desk.keep(signed(finding("own"), key), altered(signed(finding("altered"), key)), finding("typed"))
        desk.keep(signed(finding("other"), Ed25519PrivateKey.generate()))
        return unsealed(Rehearsal(folder=tmp_path, judge=Judge(desk=desk, run=run_here, key=key)))


def test_only_what_the_vault_signed_is_a_finding(done: Done) -> None:
    assert set(done.findings) == {"own"}
    assert done.unverified == ("altered", "typed", "other")
    assert is_signed(done.findings["own"], done.key)


def test_what_is_not_verified_is_shown_as_that_and_has_neither_gain_nor_verdict(done: Done) -> None:
    done = replace(done, twins=dict.fromkeys(("own", "altered", "never"), False))
    none = Unmeasured("not opened")
    shown = {}
    for name in done.twins:
        question = Question(name=name, kind="k", asks="", metric="area", arrays=(), published="", baseline="")
        shown[name] = _asked(question, done, Kept(question=name, e=none, kept=False, repeats=none))
    assert (shown["own"].gain, shown["own"].replicated) == (GAIN, True)
    for part in (shown["altered"].gain, shown["altered"].baseline, shown["altered"].replicated):
        assert isinstance(part, Unmeasured)
        assert part.why.startswith("not verified")
    assert isinstance(shown["never"].gain, Unmeasured)
    assert shown["never"].gain.why.startswith("not opened")


@pytest.mark.parametrize(
    "change", [altered, lambda f: replace(f, signature=""), lambda f: replace(f, signature="no hex")]
)
def test_verifying_a_run_verifies_its_findings_too(done: Done, tmp_path: Path, change: object) -> None:
    assert callable(change)
    own = done.findings["own"]
    with Ledger(tmp_path / "run" / "ledger") as ledger:
        ledger.append(VaultKey(public=done.key))
        ledger.append(own)
    assert said_of(tmp_path / "run").startswith("OK: ")
    with Ledger(tmp_path / "run" / "ledger") as ledger:
        ledger.append(change(own))
    with pytest.raises(LedgerError, match="record 2 of the ledger is a finding, and not as the vault signed it"):
        said_of(tmp_path / "run")
