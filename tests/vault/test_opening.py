"""Real users, sandbox, sockets and ledger: what comes back, what a kill costs, and what an outsider can reach."""

import base64
import json
import multiprocessing
import os
import signal
import socket
import time

import numpy as np
import pytest

from superalign.control.identities import RESEARCHER, VAULT, start_as, user
from superalign.control.sandbox import Limits
from superalign.errors import BadInput
from superalign.ledger.signing import is_signed
from superalign.researcher.client import Client
from superalign.types import Finding, Interval, rebuild
from superalign.vault.opening import ask, open_vault
from superalign.vault.server import LINE

NOUNS = {n.__name__: n for n in (Finding, Interval)}


def test_a_better_method_climbs_passes_and_is_published_once(opened, toys, tmp_path):
    with opened(toys.make_bench()) as vault:
        at = vault.socket
        climbed = toys.send(at, toys.GOOD, "climb")
        assert climbed["word"] == "better"
        assert climbed["left"] == 39
        assert toys.send(at, toys.GOOD, "climb", number=1)["word"] == "unchanged"
        assert (
            toys.send(at, toys.GOOD.replace(b"[:, 0] +", b"[:, 0]*1.0 +"), "climb")["word"] == "unchanged"
        )  # behaves alike
        assert toys.send(at, toys.GOOD, "sealed") == {"error": "not allowed"}  # not confirmed yet
        assert toys.send(at, toys.GOOD, "confirm")["word"] == "passed"
        said = toys.send(at, toys.GOOD, "sealed", number=7)["finding"]
        finding = rebuild(said, NOUNS)
        key = ask(at, {"do": "questions"})["key"]
        assert is_signed(finding, key)
        assert finding.replicated is True
        assert finding.gain.low > 0.05
        again = ask(at, {"do": "register", "plan": toys.plan(toys.GOOD, "sealed", 8)})["ticket"]
        for ticket in (again, finding.ticket):
            assert ask(at, {"do": "reveal", "ticket": ticket}) == {"error": "not allowed"}
        vault.stop()
        vault.start()
        for ticket in (again, finding.ticket):
            assert ask(at, {"do": "reveal", "ticket": ticket}) == {"error": "not allowed"}
        shared = ask(at, {"do": "history"})
        assert len(shared["answers"]) == 4
        assert shared["findings"] == [said]
        received = [r for r in vault.close()["received"] if r["ticket"] == finding.ticket]
        assert len(set(received[0]["seeds"])) == 5
        assert toys.send(at, toys.GOOD, "climb") == climbed  # an answer stays
        assert "error" in ask(at, {"do": "register", "plan": toys.plan(toys.GOOD, "climb", 50)})


def test_what_fails_is_one_word(opened, toys):
    bodies = [
        b"def solve(public, inputs, seed):\n    raise ValueError(inputs['x'].tolist())",
        b"print(1",
        b"import os\nos._exit(0)",
        b"def solve(public, inputs, seed):\n    return inputs['x'][:5, 0]",
        b"def solve(public, inputs, seed):\n    return inputs['x'][:, 0] * float('nan')",
    ]
    with opened(toys.make_bench()) as vault:
        answers = [toys.send(vault.socket, body, "climb") for body in bodies]
    assert {a["word"] for a in answers} == {"unmeasured"}
    assert [a["score"] for a in answers] == [{"unmeasured": "not told"}] * 5
    assert [a["left"] for a in answers] == [39, 38, 37, 36, 35]  # charged all the same


def test_time_is_for_each_call_on_all_items(opened, toys):
    """At confirmation an artefact also runs on redrawn labels: whoever is in time on the climb is in time there."""
    slow = toys.GOOD.replace(b"    return", b"    import time\n    time.sleep(len(inputs['x']) / 200)\n    return")
    with opened(toys.make_bench(labels=True), limits=Limits(wall_s=5)) as vault:  # of 400 items, each call takes 2 s
        assert toys.send(vault.socket, slow, "climb")["word"] == "better"
        assert toys.send(vault.socket, slow, "confirm")["word"] != "unmeasured"


def test_nothing_is_told_of_what_is_wrong_with_a_message(opened, toys):
    messages = [{}, {"do": "reveal"}, {"do": "owner", "what": "close", "token": "guess"}, {"do": "public"}]
    messages += [{"do": "submit", "ticket": "x", "form": "pickle", "body": ""}, {"do": "public", "question": "../key"}]
    with opened(toys.make_bench()) as vault:
        assert {json.dumps(ask(vault.socket, m)) for m in messages} == {'{"error": "not understood"}'}
        bad = [
            {**toys.plan(toys.GOOD, "climb"), **c}
            for c in ({"number": 1.5}, {"tier": "x"}, {"predicted": "1"}, {"cites": "a"})
        ]
        refused = [ask(vault.socket, {"do": "register", "plan": p}) for p in (*bad, {}, 3)]
        assert refused == [{"error": "not allowed"}] * 6
        unknown = ask(vault.socket, {"do": "submit", "ticket": "f" * 64, "form": "code", "body": ""})
        assert unknown["answer"]["word"] == "not allowed"


def test_lines_have_one_size_and_come_on_the_grid(opened, toys):
    grid, sizes, late = 0.2, set(), []
    with (
        opened(toys.make_bench(), grid_s=grid) as vault,
        socket.socket(socket.AF_UNIX) as channel,
        channel.makefile("rb") as stream,
    ):
        channel.connect(str(vault.socket))
        ticket = ask(vault.socket, {"do": "register", "plan": toys.plan(toys.GOOD, "climb")})["ticket"]
        body = base64.b64encode(toys.GOOD).decode()
        asked = [{"do": "reveal", "ticket": "x"}, {"do": "submit", "ticket": ticket, "form": "code", "body": body}, {}]
        for message in [*asked * 3, {"do": "public", "question": "toy-a"}]:
            time.sleep(0.03)
            channel.sendall(json.dumps(message).encode() + b"\n")
            line = stream.readline()
            late.append(time.monotonic() % grid)
            sizes.add(len(line))
            sizes |= {len(stream.readline()) for _ in range(json.loads(line).get("of", 1) - 1)}
    assert sizes == {LINE + 1}
    assert sum(x > 0.25 * grid for x in late) <= 1  # a busy machine may deliver one late


def research(at, plans, bodies, to):
    """Submit every body, as a researcher does with its own client, which knows nothing of a vault that was killed."""
    client = Client(at)
    to.send([client.submit(client.register(p), "code", body) for p, body in zip(plans, bodies, strict=True)])


@pytest.mark.parametrize(("submissions", "kills", "every"), [(3, 2, 2), pytest.param(30, 6, 5, marks=pytest.mark.slow)])
def test_killed_processes_are_started_again_and_nothing_is_lost_or_counted_twice(
    opened, toys, submissions, kills, every
):
    slow = b"import time\n" + toys.GOOD.replace(b"    return", b"    time.sleep(0.15)\n    return")
    bodies = [slow.replace(b"[:, 1]", b"[:, 1] * %d / 10" % i) for i in range(submissions)]
    plans = [toys.plan(body, "climb") for body in bodies]
    mine, theirs = multiprocessing.Pipe()
    killed, seen, until = 0, set(), time.monotonic() + 300
    with opened(toys.make_bench(n=100)) as vault:
        researcher = multiprocessing.get_context("fork").Process(
            target=research, args=(vault.socket, plans, bodies, theirs)
        )
        researcher.start()
        while not mine.poll(0.02):
            assert time.monotonic() < until
            fresh = {path.name for path in (vault.folder / "runner").iterdir()} - seen
            seen |= fresh
            if killed < kills and fresh and len(seen) % every == 0:  # in the middle of a submission
                os.kill(vault.processes[killed % 2].pid, signal.SIGKILL)
                assert vault.mend(within_s=5)
                killed += 1
        answers = mine.recv()
        again = [toys.send(vault.socket, body, "climb") for body in bodies]
        assert not vault.mend()
        os.kill(vault.processes[1].pid, signal.SIGKILL)
        shared, closed = vault.ask({"do": "history"}), vault.close()  # the owner's own questions mend it too
    assert killed == kills
    assert again == answers
    assert {a["word"] for a in answers} <= {"better", "not better", "unchanged"}
    assert len(shared["answers"]) == len(closed["received"]) == len(closed["scored"]) == submissions
    assert sorted(a["left"] for a in again) == list(range(40 - submissions, 40))


def test_a_vault_that_ends_at_once_is_not_started_for_ever(opened, toys):
    with opened(toys.make_bench()) as vault:
        vault.ask({"do": "questions"})
        (vault.folder / "vault" / "key").write_bytes(b"no key")
        vault.stop()
        vault.start()
        with pytest.raises(BadInput, match="ends as soon as it is started"):
            vault.ask({"do": "questions"})


def test_a_killed_researcher_goes_on_with_the_same_answers(opened, toys):
    with opened(toys.make_bench()) as vault:
        text = base64.b64encode(toys.GOOD).decode()
        ticket = ask(vault.socket, {"do": "register", "plan": toys.plan(toys.GOOD, "climb")})["ticket"]
        with socket.socket(socket.AF_UNIX) as channel:  # asks, and is gone before it is answered
            channel.connect(str(vault.socket))
            channel.sendall(
                json.dumps({"do": "submit", "ticket": ticket, "form": "code", "body": text}).encode() + b"\n"
            )
        answer = toys.send(vault.socket, toys.GOOD, "climb")
        assert answer["word"] == "better"
        assert answer["left"] == 39
        assert len(ask(vault.socket, {"do": "history"})["answers"]) == 1


def look(folder, at, to):
    """As another user: what of the vault can be read, and what the socket says."""
    seen = []
    for path in ("vault", "vault/benches", "vault/key", "vault/ledger", "runner"):
        try:
            seen.append(os.listdir(folder / path) if (folder / path).is_dir() else (folder / path).read_bytes())
        except PermissionError:
            continue
    try:
        said = ask(at, {"do": "owner", "what": "close", "token": ""})
    except (OSError, ValueError):
        said = "refused"
    to.send((seen, said))


@pytest.mark.parametrize(
    ("who", "said"), [(RESEARCHER, {"error": "not understood"}), (VAULT, "refused"), ("nobody", "refused")]
)
def test_another_user_reads_nothing_and_the_vault_does_not_answer_itself(opened, toys, who, said):
    with opened(toys.make_bench()) as vault:
        ask(vault.socket, {"do": "questions"})
        mine, theirs = multiprocessing.Pipe()
        process = start_as(user(who), look, vault.folder, vault.socket, theirs, reach=(vault.folder,))
        seen, heard = mine.recv()
        process.join()
        kept = vault.folder / "vault"
        assert {p.stat().st_uid for p in (kept, *kept.rglob("*"))} == {user(VAULT).uid}
        assert all(p.stat().st_mode & 0o077 == 0 for p in (kept, *kept.rglob("benches/*")))
    assert heard == said
    if who != VAULT:
        assert seen == []


def test_who_may_ask_can_be_named(opened, toys, tmp_path):
    with opened(toys.make_bench(), asks="nobody") as vault:
        heard = {}
        for who in ("nobody", RESEARCHER):
            mine, theirs = multiprocessing.Pipe()
            start_as(user(who), look, vault.folder, vault.socket, theirs, reach=(vault.folder,)).join()
            heard[who] = mine.recv()[1]
    assert heard == {"nobody": {"error": "not understood"}, RESEARCHER: "refused"}
    with pytest.raises(BadInput, match="no user or group"):
        open_vault(tmp_path / "w", [toys.make_bench()], asks="no-such-group")


def test_an_artefact_of_weights_is_scored(opened, toys):
    from safetensors.numpy import save

    body = save({"w": np.array([1.0, 1.0, 0.0, 0.0]), "b": np.zeros(())})
    with opened(toys.make_bench()) as vault:
        ticket = ask(vault.socket, {"do": "register", "plan": toys.plan(body, "climb")})["ticket"]
        text = base64.b64encode(body).decode()
        answer = ask(vault.socket, {"do": "submit", "ticket": ticket, "form": "weights", "body": text})["answer"]
    assert answer["word"] == "better"


def test_an_artefact_finds_no_answers_and_leaves_no_trace(opened, toys):
    hunt = b"""
import os
def solve(public, inputs, seed):
    seen = [os.path.join(d, f) for top in ("/tmp", "/home", "/root", "/srv", "/proc/1") for d, _, n in os.walk(top) for f in n]
    return inputs["x"][:, 0] + 10.0 * any(name.endswith((".truth.npz", "secret.json")) for name in seen)
"""
    with opened(toys.make_bench()) as vault:
        assert toys.send(vault.socket, hunt, "climb")["word"] in ("not better", "unmeasured")
        assert list((vault.folder / "runner").iterdir()) == []
        assert vault.close()["scored"][0]["score"] == pytest.approx(baseline_score(toys), abs=0.001)


def baseline_score(toys):
    part = toys.make_bench().parts["climb"]
    return float(((part.inputs["x"][:, 0] > 0) == (part.truth_NS == 1)).mean())


def test_wrong_folders_are_refused(opened, toys, tmp_path):
    with pytest.raises(BadInput, match="holds no vault"):
        open_vault(tmp_path / "none")
    with opened(toys.make_bench()), pytest.raises(BadInput, match="holds a vault already"):
        open_vault(tmp_path / "v", [toys.make_bench()])
    with pytest.raises(BadInput, match="more than 100 bytes"):
        open_vault(tmp_path / "w", [toys.make_bench()], at=tmp_path / ("s" * 100))


@pytest.mark.slow
def test_an_attacker_who_only_asks_gains_nothing_that_lasts(opened, toys):
    """Guesses are drawn from the inputs; those that are said to be better vote, climb on, and hop to the next tier."""
    guess = "sum(np.sign(np.sin(1e4 * inputs['x'] @ np.random.default_rng(s).normal(size=4))) for s in {})"
    whole = "import numpy as np\ndef solve(public, inputs, seed):\n    return " + guess + "\n"
    voters = []
    with opened(toys.make_bench(twin=True, climbs=60)) as vault:
        for number in range(60):
            answer = toys.send(vault.socket, whole.format([*voters, number]).encode(), "climb", number)
            voters += [number] if answer["word"] == "better" else []
        best = whole.format(voters or [0]).encode()
        hopped = [toys.send(vault.socket, best, tier, number) for number, tier in enumerate(["confirm", "sealed"])]
        closed = vault.close()
    assert hopped[0]["word"] == "not passed"
    assert hopped[1] == {"error": "not allowed"}
    assert len(closed["received"]) == 61
    scores = [s["score"] for s in closed["scored"] if not isinstance(s["score"], dict)]
    assert scores[-1] < 0.7 + 0.05  # the baseline is right in seven of ten, and nothing can be better
