"""A model behind an API, asked over real HTTP: it answers, fails and then answers, or always fails."""

import asyncio
import contextlib
import importlib.util
import subprocess
import sys
import types
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.detectors import BaseDifference, SelfCheck
from superalign.errors import ConfigError
from superalign.models import Sampling, base
from superalign.models.api import ApiPolicy, Clock, Reply, api_policy, inspect_connection
from superalign.types import Policy, Problem, Unmeasured

SECRET = "sk-this-must-not-be-seen"


def policy(server: Any, **changes: Any) -> ApiPolicy:
    made = ApiPolicy(name="openai-api/local/m", connect=server.connection(SECRET), wait_s=0.001, attempts=3)
    return replace(made, **changes)


def problems(*prompts: str) -> list[Problem]:
    return [Problem(prompt=p, family="f", difficulty=1, split="test") for p in prompts]


def test_answers_come_back_in_order_without_tokens_and_with_their_cost(serve: Any) -> None:
    found = policy(serve(0)).sample(problems("a", "empty", "c"), n=2, seed=0)
    assert list(found.text_R) == ["a;said;more"] * 2 + ["", ""] + ["c;said;more"] * 2
    assert found.problem_R.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.stopped_R.all()
    assert found.length_R.sum() == 30
    assert found[0].tokens == ()
    assert found.unmeasured == {}  # an empty reply is a reply
    assert isinstance(policy(serve(0)), Policy)


def test_thinking_in_front_of_a_reply_is_kept_apart(serve: Any) -> None:
    says = {"a": "<think>\n1+1\n</think>\n\n#2", "b": "1+1</think>#2", "c": "<think>1+1 is", "d": "#2"}
    found = policy(serve(0, says=says.get)).sample(problems(*says), n=1, seed=0)
    assert list(found.text_R) == ["#2", "#2", "", "#2"]
    assert list(found.thinking_R) == ["1+1", "1+1", "1+1 is", ""]


def test_two_errors_and_then_an_answer_is_an_answer(serve: Any) -> None:
    server = serve(2)
    found = policy(server).sample(problems("a", "b"), n=1, seed=0)
    assert list(found.text_R) == ["a;said;more", "b;said;more"]
    assert server.asked == {"a": 3, "b": 3}
    assert found.unmeasured == {}


def test_errors_without_end_are_unmeasured_and_tell_no_secret(serve: Any, caplog: Any, capfd: Any) -> None:
    server = serve(10_000)
    found = policy(server).sample(problems("a", "b"), n=1, seed=0)
    assert list(found.text_R) == ["", ""]
    assert not found.stopped_R.any()
    assert set(found.unmeasured) == {0, 1}
    why = found.unmeasured[0].why
    assert why == "openai-api/local/m gave no reply in 3 attempts: HTTPError (status 503)"
    assert server.asked == {"a": 3, "b": 3}
    shown = capfd.readouterr()
    assert SECRET not in why + caplog.text + shown.out + shown.err + repr(policy(server)) + repr(found)


def test_a_dead_provider_is_not_asked_without_end(serve: Any) -> None:
    server = serve(10_000)
    found = policy(server, give_up=4, connections=2).sample(problems(*map(str, range(40))), n=1, seed=0)
    assert len(found.unmeasured) == 40
    assert len(server.asked) <= 4 + 2
    left = [u.why for u in found.unmeasured.values() if "was not asked" in u.why]
    assert len(left) == 40 - len(server.asked)
    assert left[0].endswith(" requests before got no reply: HTTPError (status 503)")


def test_requests_go_out_in_random_order_and_replies_come_back_in_theirs(serve: Any) -> None:
    server = serve(0)
    found = policy(server, connections=1).sample(problems(*map(str, range(40))), n=1, seed=0)
    sent = [b["messages"][-1]["content"] for b in server.bodies]
    assert sent != sorted(sent, key=int)
    assert sorted(sent, key=int) == [str(i) for i in range(40)]
    # A provider that stops half way leaves out no half of the prompts.
    assert 5 < sum(int(s) < 20 for s in sent[:20]) < 15
    assert list(found.text_R) == [f"{i};said;more" for i in range(40)]


class FakeTime:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.at, self.slept = 1000.0, list[float]()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        wakes = self.at + seconds
        for _ in range(50):  # others that sleep as well begin now
            await asyncio.sleep(0)
        self.at = max(self.at, wakes)

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.at, today=lambda: self.at, sleep=self.sleep)


class Refused(Exception):
    """An error as clients of providers raise it."""

    def __init__(self, status: int = 429, **headers: str) -> None:
        super().__init__(f"refused, your key is {SECRET}")
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        self.response = types.SimpleNamespace(headers=given, status_code=status)


def asking(ask: Any, time: FakeTime, **changes: Any) -> ApiPolicy:
    @contextlib.asynccontextmanager
    async def connect() -> Any:
        yield ask

    return ApiPolicy(name="some/model", connect=connect, clock=time.clock, **changes)


async def ok(prompt: str, seed: int) -> Reply:
    return Reply(text="ok", stopped=True, tokens=1)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "40"}, 40.0),
        ({"retry_after": "Thu, 01 Jan 1970 00:17:20 GMT"}, 40.0),  # 1040 seconds after the beginning of 1970
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"x_ratelimit_reset_requests": "1s", "x_ratelimit_reset_tokens": "6m0s"}, 360.0),
        ({"x_ratelimit_reset_requests": "120ms"}, 0.12),
        ({"anthropic_ratelimit_requests_reset": "1970-01-01T00:17:00Z"}, 20.0),
    ],
)
def test_who_is_told_to_wait_waits_as_long(headers: dict[str, str], wait_s: float) -> None:
    time, sent = FakeTime(), list[float]()

    async def ask(prompt: str, seed: int) -> Reply:
        sent.append(time.at)
        if len(sent) == 1:
            raise Refused(**headers)
        return await ok(prompt, seed)

    found = asking(ask, time).sample(problems("a"), n=1, seed=0)
    assert found.unmeasured == {}
    assert sent[1] - sent[0] == pytest.approx(wait_s)


@pytest.mark.parametrize("stated", ["soon", "-3", "nan", "inf", "1e999", ""])
def test_what_cannot_be_read_as_a_wait_is_backed_off_from(stated: str) -> None:
    time, sent = FakeTime(), list[float]()

    async def ask(prompt: str, seed: int) -> Reply:
        sent.append(time.at)
        if len(sent) < 6:  # more often than other failures are tried again
            raise Refused(retry_after=stated)
        return await ok(prompt, seed)

    assert asking(ask, time).sample(problems("a"), n=1, seed=0).unmeasured == {}
    waits = np.diff(sent)
    assert ((waits >= [0.5, 1, 2, 4, 8]) & (waits <= [1.5, 3, 6, 12, 24])).all()


def test_an_audit_of_a_few_hundred_requests_goes_through_at_sixty_a_minute(capsys: Any) -> None:
    time, log, shown = FakeTime(), list[float](), list[str]()

    async def ask(prompt: str, seed: int) -> Reply:
        log[:] = [t for t in log if time.at - t < 60.0]
        if len(log) >= 60:
            raise Refused(retry_after=f"{60.0 - (time.at - log[0]):.0f}")
        log.append(time.at)
        return await ok(prompt, seed)

    found = asking(ask, time, show=shown.append).sample(problems(*map(str, range(300))), n=1, seed=0)
    assert found.unmeasured == {}
    assert 240.0 <= time.at - 1000.0 < 300.0
    assert any("of 300 asked" in line and "too many requests (Refused (status 429))" in line for line in shown)
    assert capsys.readouterr().err == ""  # nothing else is shown


def test_a_wait_beyond_patience_ends_it_for_everybody_and_says_the_one_cause() -> None:
    time, sent = FakeTime(), list[str]()

    async def ask(prompt: str, seed: int) -> Reply:
        sent.append(prompt)
        raise Refused(retry_after="3600")

    found = asking(ask, time, connections=2).sample(problems(*map(str, range(30))), n=1, seed=0)
    assert len(found.unmeasured) == 30
    assert len(sent) <= 2
    assert time.slept == []
    assert {u.why.rpartition(": ")[2] for u in found.unmeasured.values()} == {"Refused (status 429)"}
    assert SECRET not in str(found.unmeasured)


def test_without_a_stated_wait_patience_is_minutes_and_then_it_is_given_up() -> None:
    time, sent = FakeTime(), list[str]()

    async def ask(prompt: str, seed: int) -> Reply:
        sent.append(prompt)
        raise Refused()

    found = asking(ask, time, connections=1).sample(problems(*map(str, range(30))), n=1, seed=0)
    assert len(found.unmeasured) == 30
    assert 120.0 < time.at - 1000.0 < 600.0
    assert len(set(sent)) == 1  # nobody else need wait as long
    assert len(sent) == 12


def test_rate_limits_do_not_count_towards_giving_up() -> None:
    time, sent = FakeTime(), Counter[str]()

    async def ask(prompt: str, seed: int) -> Reply:
        sent[prompt] += 1
        if sent[prompt] <= 5:
            raise Refused(retry_after="1")
        return await ok(prompt, seed)

    found = asking(ask, time, give_up=1, attempts=1).sample(problems(*map(str, range(20))), n=1, seed=0)
    assert found.unmeasured == {}


def test_a_quota_that_is_used_up_is_not_waited_for() -> None:
    time, sent = FakeTime(), list[str]()

    class UsedUp(Refused):
        code = "insufficient_quota"

    async def ask(prompt: str, seed: int) -> Reply:
        sent.append(prompt)
        raise UsedUp()

    found = asking(ask, time, give_up=3, connections=1).sample(problems(*map(str, range(20))), n=1, seed=0)
    assert len(sent) == 3
    assert time.slept == []
    assert found.unmeasured[0].why.endswith("UsedUp (status 429, insufficient_quota)")


def test_a_request_that_never_returns_fails_after_its_limit_and_is_sent_once_more() -> None:
    sent: list[str] = []

    async def ask(prompt: str, seed: int) -> Reply:
        sent.append(prompt)
        if prompt == "hangs":
            await asyncio.Event().wait()
        return await ok(prompt, seed)

    short = Sampling(max_tokens=1)
    made = asking(ask, FakeTime(), limit_s=0.01, sampling=short)
    found = made.sample(problems("a", "hangs", "b"), n=1, seed=0)
    assert set(found.unmeasured) == {1}
    assert found.unmeasured[1].why == "some/model gave no reply in 2 attempts: no reply within 0.11 s"
    assert sent.count("hangs") == 2


def test_half_a_character_becomes_its_escape_and_is_counted() -> None:
    halves = {"whole": chr(0xD83D) + chr(0xDE00), "half": chr(0xD83D), "plain": "1+1=2;#2"}

    async def ask(prompt: str, seed: int) -> Reply:
        return Reply(text=halves[prompt], stopped=True)

    found = asking(ask, FakeTime()).sample(problems(*halves), n=1, seed=0)
    assert list(found.text_R) == ["\N{GRINNING FACE}", "\\ud83d", "1+1=2;#2"]
    assert {i: u.why for i, u in found.unreadable.items()} == {1: "half a character"}
    for text in found.text_R:
        text.encode()


def test_no_more_requests_are_under_way_than_allowed(serve: Any) -> None:
    server = serve(0)
    policy(server, connections=3).sample(problems(*map(str, range(30))), n=1, seed=0)
    assert 1 <= server.most <= 3
    wide = serve(0)
    policy(wide, connections=12).sample(problems(*map(str, range(30))), n=1, seed=0)
    assert wide.most > 3  # so the bound above was one


def test_a_request_has_a_seed_of_its_own_that_its_neighbours_do_not_change(serve: Any) -> None:
    server, other = serve(0), serve(0)
    policy(server).sample(problems("a", "b"), n=2, seed=7)
    policy(other).sample(problems("b"), n=1, seed=7)
    seeds = {s: b["messages"][-1]["content"] for b in server.bodies for s in [b["seed"]]}
    assert len(seeds) == 4
    assert seeds[other.bodies[0]["seed"]] == "b"


def test_a_stop_string_ends_the_text_and_stays_in_it(serve: Any) -> None:
    found = policy(serve(0), sampling=Sampling(stop=(";",))).sample(problems("a"), n=1, seed=0)
    assert found.text_R[0] == "a;"


def test_it_can_be_asked_where_a_loop_is_running(serve: Any) -> None:
    asked = policy(serve(0))

    async def notebook() -> str:
        return str(asked.sample(problems("a"), n=1, seed=0).text_R[0])

    assert asyncio.run(notebook()) == "a;said;more"


def test_a_detector_that_needs_weights_cannot_tell_and_one_that_reads_texts_can(serve: Any) -> None:
    server, small = serve(0), base("small")
    asked = tuple(problems(*(f"{i}+1" for i in range(6))))
    needs = SelfCheck(problems=asked, cues=("red",), claims_of=lambda p, t: [t])(policy(server), seed=0)
    assert isinstance(needs.score, Unmeasured)
    assert "only samples" in needs.why
    reads = BaseDifference(base=small, problems=asked, cues=("red",))
    told = reads(policy(server), seed=0)
    assert not isinstance(told.score, Unmeasured)
    assert told.subject == policy(server).subject.digest
    assert isinstance(reads(policy(serve(10_000)), seed=0).score, Unmeasured)


@pytest.mark.parametrize("name", ["gpt-x", "api:openai", "api:/gpt-x", "openai/gpt-x"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="api:PROVIDER/MODEL"):
        api_policy(name)


def test_settings_that_ask_nothing_are_refused(serve: Any) -> None:
    with pytest.raises(ConfigError, match="connections=0"):
        policy(serve(0), connections=0)


def test_without_inspect_one_clear_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"superalign\[eval\]"):
        api_policy("api:openai/gpt-x")


class StandIn:
    """As much of an Inspect model as is used, by its documentation; it is not Inspect."""

    def __init__(self) -> None:
        self.closed, self.configs = False, list[dict[str, Any]]()

    async def __aenter__(self) -> "StandIn":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def generate(self, prompt: str, *, config: dict[str, Any]) -> Any:
        self.configs.append(config)
        if prompt == "refuse":
            return types.SimpleNamespace(empty=True)
        usage = types.SimpleNamespace(output_tokens=3) if prompt != "uncounted" else None
        return types.SimpleNamespace(empty=False, completion=f"re: {prompt}", stop_reason="max_tokens", usage=usage)


def stand_in(monkeypatch: pytest.MonkeyPatch, get_model: Any) -> None:
    module: Any = types.ModuleType("inspect_ai.model")
    module.GenerateConfig, module.get_model = dict, get_model
    monkeypatch.setitem(sys.modules, "inspect_ai", types.ModuleType("inspect_ai"))
    monkeypatch.setitem(sys.modules, "inspect_ai.model", module)


def test_what_inspect_is_asked_and_how_its_outputs_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = StandIn()
    stand_in(monkeypatch, lambda name, *, memoize: opened)
    connect = inspect_connection("openai/gpt-x", sampling=Sampling(temperature=0.0, max_tokens=9), connections=2)
    made = ApiPolicy(name="openai/gpt-x", connect=connect, attempts=1)
    found = made.sample(problems("hi", "uncounted", "refuse"), n=1, seed=3)
    assert list(found.text_R) == ["re: hi", "re: uncounted", ""]
    assert found.length_R.tolist() == [3, 0, 0]
    assert not found.stopped_R.any()  # cut off at the token limit
    assert set(found.unmeasured) == {2}
    assert opened.closed
    sent = opened.configs[0]
    assert (sent["max_retries"], sent["max_connections"], sent["max_tokens"]) == (0, 2, 9)
    assert (sent["temperature"], sent["top_p"]) == (0.0, None)


def test_a_provider_that_cannot_be_opened_is_one_clear_error_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *, memoize: bool) -> Any:
        raise RuntimeError(f"bad key {SECRET}")

    stand_in(monkeypatch, refuse)
    connect = inspect_connection("openai/gpt-x", sampling=Sampling(), connections=2)
    with pytest.raises(ConfigError, match="cannot be opened") as caught:
        ApiPolicy(name="openai/gpt-x", connect=connect).sample(problems("a"), n=1, seed=0)
    assert SECRET not in str(caught.value)


@pytest.mark.filterwarnings("default")
def test_inspect_itself_asks_a_server_that_fails_twice_and_then_answers(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(2)
    monkeypatch.setenv("LOCAL_BASE_URL", server.url)
    monkeypatch.setenv("LOCAL_API_KEY", SECRET)
    found = replace(api_policy("api:openai-api/local/m"), wait_s=0.01).sample(problems("a"), n=1, seed=0)
    assert found.text_R[0] == "a;said;more"
    assert found.length_R.tolist() == [5]
    assert server.asked == {"a": 3}


@pytest.mark.filterwarnings("default")
def test_inspects_own_client_does_not_ask_again_by_itself_and_hands_on_the_stated_wait(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(2, status=429, headers={"Retry-After": "40"})
    monkeypatch.setenv("LOCAL_BASE_URL", server.url)
    monkeypatch.setenv("LOCAL_API_KEY", SECRET)
    time = FakeTime()
    made = replace(api_policy("api:openai-api/local/m"), clock=time.clock)
    found = made.sample(problems("a"), n=1, seed=0)
    assert found.text_R[0] == "a;said;more"
    assert time.slept == [40.0, 40.0]
    assert server.asked == {"a": 3}
    hopeless = serve(10**6, status=429, code="insufficient_quota")
    monkeypatch.setenv("LOCAL_BASE_URL", hopeless.url)
    found = made.sample(problems("a"), n=1, seed=0)
    assert found.unmeasured[0].why.endswith(" (status 429, insufficient_quota)")
    assert SECRET not in str(found.unmeasured)


def test_the_package_itself_needs_neither_torch_nor_inspect() -> None:
    code = "import sys, superalign, superalign.types; assert not {'torch', 'inspect_ai'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
