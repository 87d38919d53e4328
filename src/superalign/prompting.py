"""How a model is opened, beyond its name: a system text, switches of its template, another template, and where it runs.

It stands behind a policy's name as a query, so that it goes wherever the name goes:
`PATH?system=Be+brief.&enable_thinking=false`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode

from superalign.errors import BadInput, ConfigError

Switch: TypeAlias = str | int | bool
SYSTEM, TEMPLATE, DEVICE, PLAIN = "system", "template", "device", "plain"
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
OURS = (
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "chat_template",
    "tokenize",
)
_QUERY = re.compile(r"([^?\n]+)\?(\w+=.*)", re.DOTALL)
# For bases that were never trained to chat: who speaks stands in front, as in many texts that they have read.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token }}\n"
    "{% else %}User: {{ message['content'] }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    """What is added to a chat template, or put in its place; and where the weights lie, which changes speed alone."""

    system: str = ""
    template: str = ""  # plain, or a file with a Jinja template; empty for the model's own
    switches: tuple[tuple[str, Switch], ...] = ()
    device: str = ""  # cpu, cuda, cuda:1, mps or auto; empty for the caller's own

    def __bool__(self) -> bool:
        return self != AS_IT_IS

    @property
    def config(self) -> tuple[tuple[str, Switch], ...]:
        """As a subject's record keeps it; of a file its text, which may change."""
        kept = ((SYSTEM, self.system), (TEMPLATE, self.template if self.template == PLAIN else self.source()))
        return (*((name, text) for name, text in kept if text), *self.switches)

    def source(self) -> str:
        """Return the template that is put in place of the model's; empty for its own.

        Raises:
            BadInput: If its file cannot be read.
        """
        if self.template in ("", PLAIN):
            return PLAIN_TEMPLATE if self.template else ""
        try:
            return Path(self.template).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                f"The template {self.template} cannot be read ({error}). Prompts would not reach the model as they were meant. "
                "Give a text file with a Jinja template, or plain."
            ) from error

    def put_into(self, own: str) -> str:
        """Return the template that does all of this, made of the model's own.

        Example:
            >>> Prompting(switches=(("enable_thinking", False),)).put_into("{{ messages }}")
            '{% set enable_thinking = false %}{{ messages }}'
        """
        lines = [f"{{% set {name} = {_jinja(value)} %}}" for name, value in self.switches]
        if self.system:
            first = f"[{{'role': 'system', 'content': {_jinja(self.system)}}}]"
            lines.append(f"{{% set messages = {first} + messages %}}")
        return "".join(lines) + (self.source() or own)


AS_IT_IS = Prompting()


def parted(name: str) -> tuple[str, Prompting]:
    """Part a policy's name from how it is prompted; what is a path as it stands is left whole.

    Raises:
        ConfigError: For a switch that is ours to set, or has no name.

    Example:
        >>> parted("small?system=Be+brief.")
        ('small', Prompting(system='Be brief.', template='', switches=(), device=''))
    """
    found = _QUERY.fullmatch(name)
    if found is None or os.path.exists(os.path.expanduser(name)):
        return name, AS_IT_IS
    try:
        pairs = dict(parse_qsl(found[2], keep_blank_values=True, strict_parsing=True))
    except ValueError as error:
        raise ConfigError(
            f"What stands behind the question mark in {name!r} cannot be read ({error}). How the model is prompted would not be "
            "known. Write NAME?system=TEXT&template=plain&SWITCH=VALUE, with blanks as +."
        ) from error
    ours = {key: pairs.pop(key, "") for key in (SYSTEM, TEMPLATE, DEVICE)}
    if ours[DEVICE] and not DEVICES.fullmatch(ours[DEVICE]):
        raise ConfigError(
            f"{ours[DEVICE]!r} is no device. A model can lie in the memory of a processor or of an accelerator. Write cpu, cuda, "
            "cuda:1, mps or auto."
        )
    switches = tuple((key, _value(key, text)) for key, text in pairs.items())
    return found[1], Prompting(**ours, switches=switches)


def prompted_name(name: str, prompting: Prompting) -> str:
    """Write how a policy is prompted behind its name; what stands there already counts more.

    Example:
        >>> prompted_name("small", Prompting(system="Be brief.", switches=(("enable_thinking", False),)))
        'small?system=Be+brief.&enable_thinking=false'
    """
    bare, own = parted(name)
    switches = dict(prompting.switches) | dict(own.switches)
    written = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in switches.items()}
    ours = {key: getattr(own, key) or getattr(prompting, key) for key in (SYSTEM, TEMPLATE, DEVICE)}
    pairs = ours | written
    query = urlencode({k: v for k, v in pairs.items() if v})
    return f"{bare}?{query}" if query else bare


def read_switches(words: tuple[str, ...]) -> tuple[tuple[str, Switch], ...]:
    """Read switches of a template as they are typed: `enable_thinking=false`.

    Raises:
        ConfigError: For a word without `=`, or a switch that is ours to set.
    """
    out = []
    for word in words:
        key, mark, text = word.partition("=")
        if not mark:
            raise ConfigError(
                f"{word!r} sets no switch of a template. A switch has a value. Write enable_thinking=false."
            )
        out.append((key, _value(key, text)))
    return tuple(out)


def _value(key: str, text: str) -> Switch:
    if not key.isidentifier() or key in OURS:
        raise ConfigError(
            f"{key!r} is no switch of a chat template that can be set. It has no name, or what stands in prompts is at stake. "
            "Set those that the template reads, such as enable_thinking=false."
        )
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.removeprefix("-").isdecimal() else text


def _jinja(value: Switch) -> str:
    """Write a value as Jinja reads it, which takes Python's way of writing texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else repr(str(value))
