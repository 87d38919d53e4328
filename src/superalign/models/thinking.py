"""Keep what a model thinks apart from what it answers: `<think>...</think>` in front of a reply is no part of the answer."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def opens(prompt: str) -> bool:
    r"""Say whether a templated prompt ends in an open block, so that the reply begins inside it.

    Example:
        >>> opens("<|assistant|><think>\n"), opens("<|assistant|><think>\n\n</think>\n\n")
        (True, False)
    """
    return prompt.rstrip().endswith(OPEN)


def thinking_and_answer(reply: str, *, opened: bool = False) -> tuple[str, str]:
    r"""Part a reply into the thinking in front of it and the answer behind that.

    A reply that closes a block which it never opened began inside one: many templates open it, and who only has the text
    cannot see that.

    Args:
        reply: All that was written.
        opened: Whether it begins inside a block; see `opens`.

    Returns:
        Thinking, empty where there is none; and the answer, empty where the thinking does not end.

    Example:
        >>> [thinking_and_answer(t) for t in ("#2", "<think>\n1+1\n</think>\n\n#2", "1+1</think>#2", "<think>\n1+")]
        [('', '#2'), ('1+1', '#2'), ('1+1', '#2'), ('1+', '')]
        >>> thinking_and_answer("1+", opened=True)
        ('1+', '')
    """
    before, closed, _ = reply.partition(CLOSE)
    if not before.lstrip().startswith(OPEN) and (opened or (closed and OPEN not in before)):
        reply = OPEN + reply
    thoughts, rest = [], reply
    while rest.lstrip().startswith(OPEN):
        inside, _, rest = rest.lstrip().removeprefix(OPEN).partition(CLOSE)
        thoughts.append(inside.strip())
        rest = rest.lstrip("\n")
    return "\n".join(filter(None, thoughts)), rest
