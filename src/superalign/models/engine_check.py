"""A check for every model that is loaded: what is sampled comes from the network that is scored, and that the library runs.

Positions, padding, recurrent states and caches are handled a little differently by each architecture. A mistake there is
silent: texts still look like texts, only of another model. So the numbers are compared once, on two short prompts.

Shape suffixes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from superalign.errors import BadInput
from superalign.models import weights
from superalign.models.forward import forward_logits, own_forward
from superalign.models.model import Model, encode, sample_prompts
from superalign.models.sampler import Sampling
from superalign.models.scoring import response_logprobs

PROMPTS = ("1+1=?", "And what is it, then, once more?")  # of different lengths
TOKENS = 6  # that each rollout has
CLOSE = 1e-3  # nats that one token's log-prob may differ in float32
CLOSE_HALF = 0.5  # in 16 bits, where a logit of 20 is known to 0.06 or 0.13


def check_engine(model: Model) -> None:
    """Compare sampler, scorer, the network's own forward and `generate` on two short prompts.

    A network that our own decoder runs is compared with its own forward once, which is cheap enough for every load.

    Raises:
        BadInput: If two of them differ, or one fails.
    """
    half = any(p.dtype in (torch.float16, torch.bfloat16) for p in model.network.parameters())
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gap = _decoder_gap(model) if weights.supported(model.network) else _engine_gap(model)
    except (BadInput, torch.OutOfMemoryError):
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _refused(model, f"fails on two short prompts ({type(error).__name__}: {first[:200]})") from error
    if not gap <= (CLOSE_HALF if half else CLOSE):  # also where it is no number
        raise _refused(
            model,
            f"gives log-probs that differ by {gap:.2g} nats between sampler, scorer, its own forward and `generate`",
        )


def _refused(model: Model, what: str) -> BadInput:
    kind = getattr(model.network.config, "model_type", type(model.network).__name__)
    return BadInput(
        f"A model of type {kind} cannot be used here: it {what}. What it says would be measured as if another model had "
        "said it. Use a causal LM of another type; docs/models.md lists those that work."
    )


def _decoder_gap(model: Model) -> float:
    """How far our decoder is from the network's own forward (with PEFT, from PEFT's)."""
    prompts, _ = encode(model, PROMPTS)
    tokens_BT = torch.from_numpy(np.stack([p[: len(prompts[0])] for p in prompts])).to(model.network.device)
    ours, theirs = forward_logits(model.network, tokens_BT), own_forward(model.network, tokens_BT, None)
    return _far(ours.flatten(0, 1), theirs.flatten(0, 1))


def _engine_gap(model: Model) -> float:
    """How far sampler, scorer and `generate` are from the network's own forward of one whole sequence without padding."""
    short = dataclasses.replace(model, sampling=Sampling(max_tokens=TOKENS))
    drawn = sample_prompts(short, PROMPTS, n=2, seed=0)
    said = [row[:size].tolist() for row, size in zip(drawn.tokens_RT, drawn.length_R, strict=True)]
    asked = drawn.prompt_R.tolist()
    scored_RT = response_logprobs(model, [PROMPTS[p] for p in asked], said)[0]
    prompts, _ = encode(model, PROMPTS)
    gaps = []
    for r, (p, tokens) in enumerate(zip(asked, said, strict=True)):
        logits_TV = _alone(model, [*prompts[p].tolist(), *tokens])[len(prompts[p]) - 1 : -1]
        true_T = torch.log_softmax(logits_TV, -1)[range(len(tokens)), tokens].cpu().numpy()
        gaps += [np.abs(reported_RT[r, : len(tokens)] - true_T).max() for reported_RT in (drawn.plain_RT, scored_RT)]
    gaps.append(_generate_gap(model, prompts[-1].tolist()))
    return float(np.max(gaps))  # nan stays


def _alone(model: Model, tokens: Sequence[int]) -> Tensor:
    """Logits (T, V) of one sequence."""
    return own_forward(model.network, torch.tensor([list(tokens)], device=model.network.device), None)[0]


def _generate_gap(model: Model, prompt: list[int]) -> float:
    """How far the library's `generate` is from the network's own forward; 0 where the library cannot generate with it."""
    ids = torch.tensor([prompt], device=model.network.device)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(50)  # of Python's levels the highest
    try:
        generated = model.network.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=1, max_new_tokens=4,
            min_new_tokens=4, output_logits=True, return_dict_in_generate=True,
            pad_token_id=model.tokenizer.pad_token_id or 0,
        )  # fmt: skip
    except Exception:  # its settings ask for what it has not got; sampler and forward agree all the same
        return 0.0
    finally:
        logging.set_verbosity(verbosity)
    steps_TV = torch.cat(generated.logits).float()
    return _far(_alone(model, generated.sequences[0].tolist())[len(prompt) - 1 : -1], steps_TV)


def _far(one_TV: Tensor, other_TV: Tensor) -> float:
    """The largest difference of log-probs among the likelier tokens."""
    one, other = (torch.log_softmax(x, -1) for x in (one_TV, other_TV))
    top = one.topk(min(8, one.shape[-1])).indices
    return float((one.gather(-1, top) - other.gather(-1, top)).abs().max())
