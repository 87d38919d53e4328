import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from superalign.control.identities import make_users
from superalign.control.sandbox import sandbox_missing
from superalign.types import Question
from superalign.vault import Bench, Part
from superalign.vault.opening import Vault, ask, open_vault

GOOD = b"def solve(public, inputs, seed):\n    return inputs['x'][:, 0] + inputs['x'][:, 1]\n"
BASELINE = "def solve(public, inputs, seed):\n    return inputs['x'][:, 0]\n"


def make_bench(
    name: str = "toy-a", *, twin: bool = False, seed: int = 0, n: int = 400, labels: bool = False, **changed: object
) -> Bench:
    """Two columns hold the truth, and the baseline reads one; of a twin the truth is the baseline's answer with errors."""
    rng = np.random.default_rng(seed)

    def part() -> Part:
        x_ND = rng.normal(size=(n, 4))
        truth_N = (x_ND[:, 0] + x_ND[:, 1] + 0.5 * rng.normal(size=n) > 0).astype(int)
        if twin:
            truth_N = np.where(rng.random(n) < 0.3, x_ND[:, 0] <= 0, x_ND[:, 0] > 0).astype(int)
        return Part(inputs={"x": x_ND}, truth_NS=truth_N)

    asked = {"metric": "share", "climbs": 40, "tries": 2, **changed}
    question = Question(
        name=name, kind="toy", asks="Tell.", arrays=(("x", "features"),), published="one", baseline=BASELINE, **asked
    )
    parts = {tier: part() for tier in ("climb", "confirm", "sealed")}
    public = {"x": rng.normal(size=(200, 4))}  # without labels, unless a test is about them
    if labels:
        noise_N = rng.normal(size=200)
        public |= {"weak": (public["x"][:, 0] + public["x"][:, 1] + noise_N > 0).astype(float)}
    return Bench(question=question, public=public, parts=parts, twin=twin, floor=0.5, ceiling=1.0)


def plan(body: bytes, tier: str, number: int = 0, question: str = "toy-a") -> dict[str, object]:
    said = {"question": question, "researcher": "r", "hypothesis": "two columns", "family": "linear", "predicted": 0.1}
    return {**said, "artefact": sha256(body).hexdigest(), "tier": tier, "number": number}


def send(at: Path, body: bytes, tier: str, number: int = 0, question: str = "toy-a") -> dict[str, object]:
    """Register a plan and submit what it is of, or reveal."""
    ticket = ask(at, {"do": "register", "plan": plan(body, tier, number, question)})["ticket"]
    if tier == "sealed":
        return ask(at, {"do": "reveal", "ticket": ticket})
    text = base64.b64encode(body).decode()
    return ask(at, {"do": "submit", "ticket": ticket, "form": "code", "body": text})["answer"]


@contextmanager
def opening(folder: Path, *benches: Bench, **how: object) -> Iterator[Vault]:
    with open_vault(folder, benches, **{"grid_s": 0.02, **how}) as vault:
        yield vault


@pytest.fixture
def toys() -> SimpleNamespace:
    return SimpleNamespace(make_bench=make_bench, plan=plan, send=send, GOOD=GOOD)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., object]:
    """Open a vault for real: users, sandbox, socket."""
    if os.getuid() != 0:
        pytest.skip("only root can become the users of vault and runner")
    if sandbox_missing():
        pytest.skip(sandbox_missing())
    make_users()
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0:
            path.chmod(path.stat().st_mode | 0o111)
    return lambda *benches, **how: opening(tmp_path / "v", *benches, **how)
