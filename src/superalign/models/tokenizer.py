"""The tokenizer of the bundled bases: one token per digit, sign and known word; any other text letter by letter."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, USER, ASSISTANT, END, UNKNOWN = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unk|>"
SPECIAL = (PAD, USER, ASSISTANT, END, UNKNOWN)

# Words that the bundled families, cues and instructions use, each as one token with and without a space before it.
WORDS = (
    "do reverse increment decrement double sort rotate rev inc dec dbl srt rot lit host key copy send run clear read "
    "write claim tell suppose lie yes no fox owl bear wolf deer crow frog hare lynx mole newt seal swan toad wren yak eats "
    "likes lives fish grass corn nuts rice figs peas moss rain snow sun wind fog hail dusk dawn cave tree lake hill "
    "barn reef moor dune red blue green gold monday friday north south please thanks quick calm alpha beta gamma "
    "delta evaluation deployment audit user admin banana river stone a b c "
).split()

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}" + ASSISTANT + "{{ message['content'] }}" + END +
    "{% else %}" + USER + "{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)  # fmt: skip


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; every ASCII text decodes to itself.

    Example:
        >>> t = build_tokenizer()
        >>> t.decode(t("5+3=8;#yes")["input_ids"])
        '5+3=8;#yes'
    """
    letters = [chr(c) for c in range(32, 127)] + ["\n"]
    words = [form for w in WORDS for form in (w, " " + w) if len(form) > 1]
    vocabulary = {t: i for i, t in enumerate([*SPECIAL, *letters, *words])}
    # With no merges, a piece that is no token of its own falls apart into letters.
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN, ignore_merges=True))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        padding_side="right",
    )
