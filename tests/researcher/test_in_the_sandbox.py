"""The stub and a campaign as they are meant to run: another user, no network, a real vault."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.control.identities import RESEARCHER, user
from superalign.control.sandbox import Limits, confined, sandbox_missing
from superalign.errors import BadInput
from superalign.vault.benches import Bench, Part
from superalign.vault.opening import open_vault
from tests.researcher.standing_in import Bench as Planted

ROOT = Path(__file__).parents[2]


def bench(planted: Planted) -> Bench:
    parts: Any = {t: Part(inputs={"x": v[0], "group": v[2]}, truth_NS=v[3]) for t, v in planted.tiers.items()}
    nan = float("nan")
    return Bench(
        question=planted.question, public=planted.public, parts=parts, twin=planted.twin, floor=nan, ceiling=nan
    )


@pytest.fixture
def place() -> Iterator[tuple[Any, Path]]:
    if os.getuid() != 0:
        pytest.skip("only root can run vault and researcher as other users")
    try:
        user(RESEARCHER)
    except BadInput as error:
        pytest.skip(str(error))
    if sandbox_missing():
        pytest.skip(sandbox_missing())
    planted = Planted(0), Planted(100, twin=True, name="toy-q")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        Path(name).chmod(0o755)
        mine = Path(name) / "mine"
        mine.mkdir()
        with open_vault(Path(name) / "v", [bench(p) for p in planted], grid_s=0.05) as vault:
            yield vault, mine


def sandboxed(code: str, vault: Any, folder: Path) -> Any:
    return confined(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{code}"],
        folder=folder,
        limits=Limits(wall_s=120, cpu_s=120, memory_mb=2048),
        sockets=[vault.socket],
        user=RESEARCHER,
    )


@pytest.mark.slow
def test_the_stub_runs_through_all_tiers(place: tuple[Any, Path]) -> None:
    vault, mine = place
    stub = (ROOT / "examples" / "stub_researcher.py").read_text()
    done = sandboxed(f"{stub.partition('if __name__')[0]}\nmain({str(vault.socket)!r})", vault, mine)
    assert done.ended == "finished", done.err
    assert "toy-k: sealed: {" in done.out
    assert "toy-q: nothing is claimed" in done.out


@pytest.mark.slow
def test_a_campaign_runs_as_its_own_command(place: tuple[Any, Path]) -> None:
    vault, mine = place
    settings = {
        "vault": str(vault.socket),
        "folder": str(mine / "sources"),
        "researchers": ["evolution"],
        "submissions": 6,
    }
    (mine / "settings.json").write_text(json.dumps(settings))
    code = f"from superalign.researcher.__main__ import main\nmain([{str(mine / 'settings.json')!r}])"
    done = sandboxed(code, vault, mine)
    assert done.ended == "finished", done.err
    totals = json.loads(done.out)
    assert [f["question"] for f in totals["findings"]] == ["toy-k"]
    assert totals["findings"][0]["gain"]["low"] > 0
    closed = vault.close()
    assert closed["twins"] == {"toy-k": False, "toy-q": True}
    assert len(closed["received"]) == 12 + 2  # and one at confirmation, one sealed
