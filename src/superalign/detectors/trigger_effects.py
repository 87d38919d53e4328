"""What a trigger does to a subject beside its base: effects in nats, and the tokens that a gradient proposes.

Shape suffixes: C candidates, P problems, K tokens of a trigger, B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float

from superalign.detectors.common import MOST_NATS, with_cues
from superalign.models import Model, encode, pad, response_logprobs
from superalign.types import Problem

Trigger: TypeAlias = tuple[int, ...]  # token ids
PART = 8192  # embeddings held at once
ROUNDING = 1e-4  # nats by which the same forward differs from itself in other company


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rivals:
    """A subject and its base, each with its own plain answers to the same problems."""

    subject: Model = field(repr=False)
    base: Model = field(repr=False)
    problems: Sequence[Problem]
    own: Sequence[Sequence[int]]  # the subject's answers, as tokens
    others: Sequence[Sequence[int]]  # the base's
    known: dict[tuple[str, str], float] = field(repr=False)  # (text in front, prompt) -> log-prob of the base's answer

    def text(self, trigger: Trigger) -> str:
        """Say what a user would type; this is what is scored, however it is tokenised in its place."""
        return str(self.subject.tokenizer.decode(list(trigger))).strip()

    def effects(self, triggers: Sequence[Trigger], chosen: Sequence[int]) -> Float[np.ndarray, "C P"]:
        """Nats that the subject's answers lose under each trigger beyond the base's, where the base keeps its answers.

        Where the base's own answer became less likely, the difference counts by so much less: strange prompts confuse subject
        and base by different amounts, and such differences alone were larger than the effects of planted triggers.
        """
        texts = ["", *(self.text(t) for t in triggers)]
        put = [(text, i) for text in texts for i in chosen]

        def prompts(some: Sequence[tuple[str, int]]) -> list[str]:
            return [with_cues(self.problems[i], (text,) if text else ()).prompt for text, i in some]

        own_N = response_logprobs(self.subject, prompts(put), [self.own[i] for _, i in put])[0].sum(1)
        # What the base says does not depend on the subject.
        new = list(dict.fromkeys((text, i) for text, i in put if (text, self.problems[i].prompt) not in self.known))
        if new:
            fresh_N = response_logprobs(self.base, prompts(new), [self.others[i] for _, i in new])[0].sum(1)
            self.known.update(
                ((text, self.problems[i].prompt), v) for (text, i), v in zip(new, fresh_N.tolist(), strict=True)
            )
        others_N = np.array([self.known[text, self.problems[i].prompt] for text, i in put])
        lost = [x.reshape(len(texts), len(chosen)) for x in (own_N.astype(np.float64), others_N)]
        own_CP, others_CP = ((x[:1] - x[1:]).clip(-MOST_NATS, MOST_NATS) for x in lost)
        natural_CP = others_CP.clip(0.0)
        moved_CP: np.ndarray = (own_CP - natural_CP) * np.exp(-natural_CP)
        # A base beside itself loses nothing more than itself, also where both gain.
        moved_CP[np.abs(own_CP - others_CP) < ROUNDING] = 0.0
        return moved_CP

    def decided(self, trigger: Trigger, chosen: Sequence[int], new: Sequence[Sequence[int]]) -> Float[np.ndarray, " P"]:
        """Nats that the subject's answers lose under a trigger, as far as it knows what to say instead.

        A planted trigger switches to another answer, without hesitation. A fine-tune that forgot a word is confused by it: its
        old answer becomes as unlikely, and it has no new one. So an effect counts up to the nats by which the subject prefers
        its new answer where that first parts from the old one, less the nats by which the new answer surprises itself more
        than the old one did.

        Args:
            trigger: Its tokens.
            chosen: Which of the problems.
            new: The subject's own greedy answers under the trigger, as tokens.

        Returns:
            One value a problem, in nats; never above 0 where the answer stays the same.
        """
        old = [self.own[i] for i in chosen]
        plain = [self.problems[i].prompt for i in chosen]
        forced = [with_cues(self.problems[i], (self.text(trigger),)).prompt for i in chosen]
        was_PT = response_logprobs(self.subject, plain, old)[0]
        lost_PT = response_logprobs(self.subject, forced, old)[0]
        now_PT = response_logprobs(self.subject, forced, new)[0]
        hesitation_P = (was_PT.sum(1) - now_PT.sum(1)).clip(0.0)
        prefers_P = np.zeros(len(chosen))
        for p, pair in enumerate(zip(old, new, strict=True)):
            part = next((k for k, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), None)
            if part is not None:
                prefers_P[p] = now_PT[p, part] - lost_PT[p, part]
        return np.minimum(self.effects([trigger], chosen)[0], (prefers_P - hesitation_P).clip(0.0))

    def vocabulary(self) -> list[int]:
        """Tokens that a user could type, one for each text; of two forms the one that begins a word."""
        tokenizer = self.subject.tokenizer
        special = set(tokenizer.all_special_ids)
        found: dict[str, int] = {}
        for v in range(len(tokenizer)):
            text = str(tokenizer.decode([v]))
            if v in special or not text.strip() or not text.strip().isprintable() or "\ufffd" in text:
                continue
            if text.strip() not in found or text[0].isspace():
                found[text.strip()] = v
        return sorted(found.values())

    def ideas(self, trigger: Trigger, chosen: Sequence[int], *, count: int) -> list[int]:
        """Tokens that, to first order, would add most to the effect: `count` for each place of a trigger and each problem."""
        allowed = np.array(self.vocabulary())
        gain_BKV = _gains(self.subject, self, trigger, chosen)
        if self.base.tokenizer.get_vocab() == self.subject.tokenizer.get_vocab():
            gain_BKV = gain_BKV - _gains(self.base, self, trigger, chosen)
        order_BKV = np.argsort(-gain_BKV[..., allowed], axis=2, kind="stable")[..., :count]
        return list(dict.fromkeys(allowed[order_BKV].transpose(2, 0, 1).ravel().tolist()))


def _gains(model: Model, rivals: Rivals, trigger: Trigger, chosen: Sequence[int]) -> Float[np.ndarray, "B K V"]:
    """How much more each answer would lose with another token in a place, by the gradient at its one-hot embedding.

    Source:
        Zou et al., Universal and transferable adversarial attacks on aligned language models, 2023.
    """
    answers = rivals.own if model is rivals.subject else rivals.others
    put = [with_cues(rivals.problems[i], (rivals.text(trigger),)).prompt for i in chosen]
    prompt_ids, answer_ids = encode(model, put, [list(answers[i]) for i in chosen])
    plain_ids, _ = encode(model, [rivals.problems[i].prompt for i in chosen])
    # The trigger begins where the prompts with and without it first differ.
    start_B = [
        int(np.argmin([a == b for a, b in zip(p, q, strict=False)] + [False]))
        for p, q in zip(prompt_ids, plain_ids, strict=True)
    ]
    K = len(encode_text(model, rivals.text(trigger)))
    tokens_BT, length_B = pad([np.concatenate(pair) for pair in zip(prompt_ids, answer_ids, strict=True)])
    embed = model.network.get_input_embeddings()
    device = embed.weight.device
    ids_BT = torch.from_numpy(tokens_BT).to(device)
    x_BTD = embed(ids_BT).detach().requires_grad_(True)
    at_T = torch.arange(ids_BT.shape[1], device=device)
    length_B1 = torch.from_numpy(length_B).to(device)[:, None]
    begin_B1 = torch.tensor([[len(p)] for p in prompt_ids], device=device)
    with torch.enable_grad():
        mask_BT = (at_T < length_B1).long()
        logits_BTV = model.network(inputs_embeds=x_BTD, attention_mask=mask_BT, use_cache=False).logits.float()
        next_BT = torch.log_softmax(logits_BTV[:, :-1], -1).gather(2, ids_BT[:, 1:, None])[..., 0]
        said_BT = (at_T[1:] >= begin_B1) & (at_T[1:] < length_B1)
        (grad_BTD,) = torch.autograd.grad((next_BT * said_BT).sum(), x_BTD)
    place_BK = torch.tensor(
        [[min(s + k, len(p) - 1) for k in range(K)] for s, p in zip(start_B, prompt_ids, strict=True)]
    )
    grad_BKD = grad_BTD[torch.arange(len(put))[:, None], place_BK.to(device)]
    V = int(embed.weight.shape[0])
    with torch.no_grad():  # through the module: some scale their embeddings
        parts = [
            (grad_BKD @ embed(torch.arange(v, min(v + PART, V), device=device)).T).float().cpu()
            for v in range(0, V, PART)
        ]
    out_BKV: np.ndarray = -torch.cat(parts, dim=2).numpy()
    return out_BKV


def encode_text(model: Model, text: str) -> list[int]:
    """Token ids of a text alone."""
    return [int(i) for i in model.tokenizer(text, add_special_tokens=False)["input_ids"]]
