"""Models behind an API, through Inspect's providers: texts only, neither weights nor log-probs.

Who asks is a seam: `inspect_connection` opens a provider of inspect-ai, and anything else that turns a prompt into a `Reply`
takes its place, as the tests do. Errors are tried again with back-off; what still gives no reply is an empty response that
says why, never an answer. Keys come from the provider's own environment variables; no text of an error is kept, for it may
repeat a key.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from superalign.errors import ConfigError
from superalign.models.model import Sampling
from superalign.types import Problem, Rollouts, Subject, Unmeasured

PREFIX = "api:"
GREEDY = Sampling(temperature=0.0, max_tokens=256)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPolicy:
    """A model that answers over an API. A `Policy` that only samples. Made by `api_policy`."""

    name: str  # PROVIDER/MODEL
    connect: Connect = field(repr=False)
    sampling: Sampling = GREEDY
    connections: int = 8  # requests under way at once
    attempts: int = 4  # of one request
    wait_s: float = 1.0  # before the second attempt; doubled before each further one
    give_up: int = 16  # requests in a row without a reply after which no more are sent

    def __post_init__(self) -> None:
        if min(self.connections, self.attempts, self.give_up) < 1 or self.wait_s < 0:
            raise ConfigError(
                f"connections={self.connections}, attempts={self.attempts}, give_up={self.give_up} and wait_s={self.wait_s} "
                "cannot be asked with: nothing would be sent. Give at least 1 of the first three, and no negative wait."
            )

    @property
    def subject(self) -> Subject:
        """What can be known of it: its name, and neither weights nor base."""
        return Subject(weights="", base="", how=f"{PREFIX}{self.name}, known by its texts only")

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> ApiRollouts:
        """Return n rollouts of each problem, those of one problem side by side.

        Args:
            problems: What is asked.
            n: Rollouts per problem.
            seed: Each request carries one made of this, its prompt and its index among the n; not every provider heeds it.

        Returns:
            Rollouts without tokens and log-probs. One without a reply is empty, not stopped, and stands in `unmeasured`.

        Raises:
            ConfigError: If the provider cannot be opened at all: not installed, or without a key.
        """
        asked = [(p.prompt, k) for p in problems for k in range(n)]
        # A loop of its own in a thread of its own: a notebook's loop is already running.
        with ThreadPoolExecutor(1) as thread:
            found_R = thread.submit(asyncio.run, self._ask_all(asked, seed)).result()
        return ApiRollouts(
            problems=tuple(problems),
            problem_R=np.repeat(np.arange(len(problems)), n),
            text_R=[r.text if isinstance(r, Reply) else "" for r in found_R],
            policy=self.subject.digest,
            tokens_RT=np.zeros((len(asked), 0), np.int32),
            logprobs_RT=np.zeros((len(asked), 0), np.float32),
            length_R=np.array([r.tokens if isinstance(r, Reply) else 0 for r in found_R], np.int32),
            stopped_R=np.array([isinstance(r, Reply) and r.stopped for r in found_R], bool),
            seed=seed,
            unmeasured={i: r for i, r in enumerate(found_R) if isinstance(r, Unmeasured)},
        )

    async def _ask_all(self, asked: Sequence[tuple[str, int]], seed: int) -> list[Reply | Unmeasured]:
        """Ask everything, so many at once; stop sending when nothing comes back any more."""
        free, silent = asyncio.Semaphore(self.connections), 0

        async def one(ask: Ask, prompt: str, index: int) -> Reply | Unmeasured:
            nonlocal silent
            async with free:
                if silent >= self.give_up:
                    return Unmeasured(f"{self.name} was not asked: {silent} requests before got no reply")
                reply = await self._try(ask, prompt, _seed(seed, prompt, index))
                silent = silent + 1 if isinstance(reply, Unmeasured) else 0
                return reply

        async with self.connect() as ask:
            return list(await asyncio.gather(*(one(ask, prompt, index) for prompt, index in asked)))

    async def _try(self, ask: Ask, prompt: str, seed: int) -> Reply | Unmeasured:
        """Ask once, and again after errors, each time later."""
        jitter, why = random.Random(seed), ""
        for attempt in range(self.attempts):
            if attempt:
                # Requests that failed together would otherwise come back together.
                await asyncio.sleep(self.wait_s * 2 ** (attempt - 1) * (0.5 + jitter.random()))
            try:
                return _cut(await ask(prompt, seed), self.sampling.stop)
            except Exception as error:  # a provider's client may raise anything
                why = _kind(error)
        return Unmeasured(f"{self.name} gave no reply in {self.attempts} attempts: {why}")


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

    Example:
        >>> try:
        ...     api_policy("gpt-x")
        ... except ConfigError as error:
        ...     print(str(error).partition(".")[0])
        'gpt-x' does not name a model behind an API
    """
    provider, _, model = name.removeprefix(PREFIX).partition("/")
    if not name.startswith(PREFIX) or not provider or not model:
        raise ConfigError(
            f"{name!r} does not name a model behind an API. Without provider and model nobody can be asked. Write "
            "api:PROVIDER/MODEL, such as api:openai/gpt-x."
        )
    if importlib.util.find_spec("inspect_ai") is None:
        raise ConfigError(
            f"{name} needs inspect-ai, which is not installed. Its providers carry every request to an API. Install it with: "
            "pip install 'superalign[eval]'"
        )
    sampling = sampling or GREEDY
    short = f"{provider}/{model}"
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


def _cut(reply: Reply, stop: Sequence[str]) -> Reply:
    """End a reply with the first stop string, which stays in its text; providers would leave it out."""
    ends = [reply.text.find(s) + len(s) for s in stop if s in reply.text]
    return Reply(text=reply.text[: min(ends)], stopped=True, tokens=reply.tokens) if ends else reply


def _kind(error: BaseException) -> str:
    """The kind of an error and its status code, but none of its text."""
    inner = error.__cause__ or error  # retrying libraries wrap what they caught
    status = getattr(inner, "status_code", getattr(inner, "code", None))
    return type(inner).__name__ + (f" (status {status})" if isinstance(status, int) else "")
