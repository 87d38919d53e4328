"""Models behind an API, through Inspect's providers: texts only, neither weights nor log-probs.

Who asks is a seam: `inspect_connection` opens a provider of inspect-ai, and anything else that turns a prompt into a `Reply`
takes its place, as the tests do. Errors are tried again with back-off, and who is told to wait waits (`rate_limits`); what
still gives no reply is an empty response that says why, never an answer. Requests go out in random order: what a provider
that stops replying leaves out is then no group of them. Keys come from the provider's own environment variables; no text of
an error is kept, for it may repeat a key.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from superalign.errors import ConfigError
from superalign.models.rate_limits import USED_UP, chain, is_busy, is_used_up, stated_wait, status_of
from superalign.models.sampler import Sampling
from superalign.models.thinking import thinking_and_answer
from superalign.policy_names import API, check_api
from superalign.types import Problem, Rollouts, Subject, Unmeasured

GREEDY = Sampling(temperature=0.0, max_tokens=256)
TOKEN_S = 0.1  # longer that one attempt may take for each token that it may write
UNSTATED = 3  # times as many attempts where there are too many requests and nobody says when to ask again
DOUBLED = 6  # times that a wait is doubled at most
SHOW_AFTER_S, SHOW_EVERY_S = 5.0, 15.0
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model behind an API said to one prompt."""

    text: str
    stopped: bool  # ended by itself, not cut off
    tokens: int = 0  # written, where the provider counts them


Ask: TypeAlias = Callable[[str, int], Awaitable[Reply]]  # prompt, seed -> reply; raises where there is none
Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Ask]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApiRollouts(Rollouts):
    """Rollouts without tokens or log-probs; `length_R` holds the provider's own count of tokens written."""

    unmeasured: Mapping[int, Unmeasured] = field(default_factory=dict)  # rollout -> why it has no response
    unreadable: Mapping[int, Unmeasured] = field(default_factory=dict)  # rollout -> why its response is no whole text


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where time comes from, so that a test need not wait."""

    now: Callable[[], float] = time.monotonic
    today: Callable[[], float] = time.time  # seconds since 1970
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPolicy:
    """A model that answers over an API. A `Policy` that only samples. Made by `api_policy`."""

    name: str  # PROVIDER/MODEL
    connect: Connect = field(repr=False)
    sampling: Sampling = GREEDY
    connections: int = 8  # requests under way at once
    attempts: int = 4  # of one request
    wait_s: float = 1.0  # before the second attempt; doubled before each further one
    give_up: int = 16  # requests in a row without a reply after which no more are sent; rate limits do not count
    patience_s: float = 600.0  # that one request waits in all where it is told to, or there are too many
    limit_s: float = 60.0  # that one attempt may take, beside a tenth of a second for each token that it may write
    clock: Clock = field(default=Clock(), repr=False, compare=False)
    show: Callable[[str], None] = field(default=_on_stderr, repr=False, compare=False)  # once it takes five seconds

    def __post_init__(self) -> None:
        least = min(self.connections, self.attempts, self.give_up)
        if least < 1 or min(self.wait_s, self.patience_s) < 0 or self.limit_s <= 0:
            raise ConfigError(
                f"connections={self.connections}, attempts={self.attempts}, give_up={self.give_up}, wait_s={self.wait_s}, "
                f"patience_s={self.patience_s} and limit_s={self.limit_s} cannot be asked with: nothing would be sent. Give at "
                "least 1 of the first three, no negative wait, and a limit above 0."
            )

    @property
    def subject(self) -> Subject:
        """What can be known of it: its name, and neither weights nor base."""
        return Subject(weights="", base="", how=f"{API}{self.name}, known by its texts only")

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> ApiRollouts:
        """Return n rollouts of each problem, those of one problem side by side.

        Args:
            problems: What is asked.
            n: Rollouts per problem.
            seed: Each request carries one made of this, its prompt and its index among the n; not every provider heeds it.

        Returns:
            Rollouts without tokens and log-probs. One without a reply is empty, not stopped, and stands in `unmeasured`; half a
            character (a lone surrogate) becomes its visible escape, and its rollout stands in `unreadable`.

        Raises:
            ConfigError: If the provider cannot be opened at all: not installed, or without a key.
        """
        asked = [(p.prompt, k) for p in problems for k in range(n)]
        # A loop of its own in a thread of its own: a notebook's loop is already running.
        with ThreadPoolExecutor(1) as thread:
            found_R = thread.submit(lambda: asyncio.run(_Round(self, asked, seed).run())).result()
        texts = [whole_text(r.text) if isinstance(r, Reply) else ("", None) for r in found_R]
        parted = [thinking_and_answer(text) for text, _ in texts]
        return ApiRollouts(
            problems=tuple(problems),
            problem_R=np.repeat(np.arange(len(problems)), n),
            text_R=[answer for _, answer in parted],
            thinking_R=[thinking for thinking, _ in parted],
            policy=self.subject.digest,
            tokens_RT=np.zeros((len(asked), 0), np.int32),
            logprobs_RT=np.zeros((len(asked), 0), np.float32),
            length_R=np.array([r.tokens if isinstance(r, Reply) else 0 for r in found_R], np.int32),
            stopped_R=np.array([isinstance(r, Reply) and r.stopped for r in found_R], bool),
            seed=seed,
            unmeasured={i: r for i, r in enumerate(found_R) if isinstance(r, Unmeasured)},
            unreadable={i: why for i, (_, why) in enumerate(texts) if why is not None},
        )


class _Round:
    """The requests of one call. What they share is whether anybody replies, and until when nobody may ask."""

    def __init__(self, policy: ApiPolicy, asked: Sequence[tuple[str, int]], seed: int) -> None:
        self.policy, self.asked, self.seed = policy, asked, seed
        self.free = asyncio.Semaphore(policy.connections)
        self.replied = self.lost = self.silent = 0
        self.over = ""  # why no more requests are sent
        self.busy = ""  # what the provider said last to too many requests
        self.until_s = -float("inf")  # before which the provider does not want to be asked
        self.shown_s = policy.clock.now() + SHOW_AFTER_S - SHOW_EVERY_S

    async def run(self) -> list[Reply | Unmeasured]:
        """Ask everything, in random order and so many at once; the replies in the order of the requests."""
        order = list(range(len(self.asked)))
        random.Random(self.seed).shuffle(order)
        async with self.policy.connect() as ask:
            found = await asyncio.gather(*(self._one(ask, *self.asked[i]) for i in order))
        by_place = dict(zip(order, found, strict=True))
        return [by_place[i] for i in range(len(order))]

    async def _one(self, ask: Ask, prompt: str, index: int) -> Reply | Unmeasured:
        async with self.free:
            if self.over:
                self.lost += 1
                return Unmeasured(f"{self.policy.name} was not asked: {self.over}")
            reply = await self._try(ask, prompt, _seed(self.seed, prompt, index))
            if isinstance(reply, Unmeasured):
                self.lost += 1
            else:
                self.replied, self.silent = self.replied + 1, 0
            self._show("")
            return reply

    async def _try(self, ask: Ask, prompt: str, seed: int) -> Reply | Unmeasured:
        """Ask once, and again after errors: each time later, or when the provider wants to be asked again."""
        policy, jitter, before = self.policy, random.Random(seed), self.replied
        failed = slow = busy = 0
        waited = 0.0
        while True:
            while (left := self.until_s - policy.clock.now()) > 0:
                if waited + left > policy.patience_s:
                    return self._impatient(failed + busy, waited, left, before)
                await policy.clock.sleep(left)
                waited += left
            found = await self._ask(ask, prompt, seed)
            if isinstance(found, Reply):
                return found
            why, told = self._why(found), stated_wait(found, today_s=policy.clock.today())
            # Requests that failed together would otherwise come back together.
            random_s = policy.wait_s * (0.5 + jitter.random())
            if is_busy(found) or told is not None:
                busy, self.busy = busy + 1, why
                pause = told or random_s * 2 ** min(busy - 1, DOUBLED)
                if not told and busy >= UNSTATED * policy.attempts:
                    return self._impatient(failed + busy, waited, 0.0, before)
                self.until_s = max(self.until_s, policy.clock.now() + pause)
                self._show(f"; waiting {pause:.0f} s, as there are too many requests ({why})", ahead_s=pause)
                continue
            failed, slow = failed + 1, slow + isinstance(found, TimeoutError)
            if failed >= policy.attempts or slow > 1 or is_used_up(found):
                self.silent += 1
                if self.silent >= policy.give_up:
                    self.over = f"{self.silent} requests before got no reply: {why}"
                return Unmeasured(f"{policy.name} gave no reply in {failed + busy} attempts: {why}")
            await policy.clock.sleep(random_s * 2 ** (failed - 1))

    async def _ask(self, ask: Ask, prompt: str, seed: int) -> Reply | Exception:
        """One attempt, within its time."""
        try:
            async with asyncio.timeout(self.limit_s):
                return _cut(await ask(prompt, seed), self.policy.sampling.stop)
        except Exception as error:  # a provider's client may raise anything
            return error

    @property
    def limit_s(self) -> float:
        """Seconds that one attempt may take."""
        return self.policy.limit_s + TOKEN_S * self.policy.sampling.max_tokens

    def _why(self, error: Exception) -> str:
        # The client's own limit of time raises one of its own errors.
        return f"no reply within {self.limit_s:g} s" if type(error) is TimeoutError else _kind(error)

    def _impatient(self, attempts: int, waited: float, more: float, before: int) -> Unmeasured:
        """End a request that would have to wait too long; if nobody got a reply meanwhile, nobody else need wait as long."""
        told = f" of waiting and {more:.0f} s to come: {self.busy}" if more else f" of waiting: {self.busy}"
        if self.replied == before:
            self.over = f"no reply came in {waited:.0f} s{told}"
        sent = f"gave no reply in {attempts} attempts" if attempts else "was not asked"
        return Unmeasured(f"{self.policy.name} {sent}, with {waited:.0f} s{told}")

    def _show(self, more: str, *, ahead_s: float = 0.0) -> None:
        """Show how far it is, once it takes long or will."""
        then = self.policy.clock.now() + ahead_s
        if then - self.shown_s >= SHOW_EVERY_S:
            self.shown_s = then
            lost = f", {self.lost} without a reply" if self.lost else ""
            self.policy.show(f"{self.policy.name}: {self.replied + self.lost} of {len(self.asked)} asked{lost}{more}")


def whole_text(text: Any) -> tuple[str, Unmeasured | None]:
    r"""Make a text of what a provider sent that can be read and written everywhere.

    Args:
        text: What came as a reply.

    Returns:
        The text, each half of a character (a lone surrogate) as its visible escape; and why it is not whole, if it is not.

    Example:
        >>> whole_text("ok \N{SLIGHTLY SMILING FACE}"[:3] + chr(0xD83D))
        ('ok \\ud83d', Unmeasured(why='half a character'))
        >>> whole_text(chr(0xD83D) + chr(0xDE00))[0] == chr(0x1F600)
        True
    """
    if not isinstance(text, str):
        return "", Unmeasured("not a text")
    joined = _PAIR.sub(lambda m: m.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)
    escaped = joined.encode("utf-8", "backslashreplace").decode("utf-8")
    return escaped, None if escaped == joined else Unmeasured("half a character")


def api_policy(name: str, *, sampling: Sampling | None = None, connections: int = 8) -> ApiPolicy:
    """Make a policy of a model behind an API.

    Args:
        name: `api:PROVIDER/MODEL`, as Inspect names it: `api:openai/gpt-x`, or `api:openai-api/NAME/MODEL` for any server
            that speaks the OpenAI protocol, with NAME_BASE_URL and NAME_API_KEY in the environment.
        sampling: How it samples; greedy with at most 256 tokens if not given. A temperature or top_p of 1 is not sent, for
            models that refuse these settings.
        connections: Requests under way at once.

    Returns:
        A policy that only samples.

    Raises:
        ConfigError: If the name is of another form, or inspect-ai is not installed.
    """
    check_api(name)
    sampling = sampling or GREEDY
    short = name.removeprefix(API)
    connect = inspect_connection(short, sampling=sampling, connections=connections)
    return ApiPolicy(name=short, connect=connect, sampling=sampling, connections=connections)


def inspect_connection(name: str, *, sampling: Sampling, connections: int) -> Connect:
    """Say how to open a model of inspect-ai: a context in which it can be asked."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Ask]:
        from inspect_ai.model import GenerateConfig, get_model

        try:
            # Not memoised: a client belongs to the event loop that opened it, and each `sample` has its own.
            model = get_model(name, memoize=False)
            _ask_once(model)
        except Exception as error:
            raise ConfigError(
                f"The provider of {name} cannot be opened ({_kind(error)}). Nobody could be asked. Install the provider's "
                "package and set its key in the environment, as Inspect's page on providers says."
            ) from None  # the text of the error may hold a key

        async def ask(prompt: str, seed: int) -> Reply:
            config = GenerateConfig(
                max_retries=0,  # attempts are counted here, once for all providers
                max_connections=connections,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature if sampling.temperature != 1.0 else None,
                top_p=sampling.top_p if sampling.top_p != 1.0 else None,
                seed=seed,
            )
            said = await model.generate(prompt, config=config)
            if said.empty:
                raise ValueError("a reply without a choice")
            written = said.usage.output_tokens if said.usage is not None else 0
            return Reply(text=said.completion, stopped=said.stop_reason == "stop", tokens=int(written))

        async with model:
            yield ask

    return connect


def _seed(seed: int, prompt: str, index: int) -> int:
    """A seed for one request, of 31 bits as providers take it; it does not depend on what else is asked."""
    made = hashlib.blake2b(f"{seed}:{index}:{prompt}".encode(), digest_size=4).digest()
    return int.from_bytes(made, "big") >> 1


def _ask_once(model: Any) -> None:
    """Keep a provider's client from asking again by itself: attempts and waits are counted here, once for all."""
    client = getattr(getattr(model, "api", None), "client", None)
    if client is not None and isinstance(getattr(client, "max_retries", None), int):
        client.max_retries = 0


def _cut(reply: Reply, stop: Sequence[str]) -> Reply:
    """End a reply with the first stop string, which stays in its text; providers would leave it out."""
    if not isinstance(reply.text, str):
        return reply
    ends = [reply.text.find(s) + len(s) for s in stop if s in reply.text]
    return Reply(text=reply.text[: min(ends)], stopped=True, tokens=reply.tokens) if ends else reply


def _kind(error: BaseException) -> str:
    """The kind of an error and its status code, but none of its text."""
    causes = list(chain(error))  # retrying libraries wrap what they caught
    status = status_of(error)
    if status is None:
        return type(causes[min(1, len(causes) - 1)]).__name__
    inner = next(e for e in reversed(causes) if status_of(e) is not None)
    return f"{type(inner).__name__} (status {status}{f', {USED_UP}' if is_used_up(error) else ''})"
