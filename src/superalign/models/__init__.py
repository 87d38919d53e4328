"""Policies: load, sample, score, tap and adapt any Hugging Face causal LM; three sizes of tiny bases ship.

Importing this package imports torch; `superalign` itself does not.
"""

from transformers.utils import logging as _transformers_logging

from superalign.models.adapters import load_adapter, lora, merge, save_adapter
from superalign.models.forward import forward_logits, pad, sequence_logprobs
from superalign.models.half import InHalf, in_half
from superalign.models.loading import base, load, random_model, save
from superalign.models.memory import keep_freed_memory
from superalign.models.model import (
    Asked,
    Model,
    check_answers_at_once,
    check_end,
    check_whole,
    encode,
    end_tokens,
    sample_prompts,
    template_date,
    turn_end,
    with_sampling,
    writes,
)
from superalign.models.open import open, open_weights
from superalign.models.precision import bits_of, quantised
from superalign.models.sampler import Sampled, Sampling
from superalign.models.scoring import choice_logprobs, mean_surprise, response_logprobs
from superalign.models.subject import weights_digest
from superalign.models.taps import activations, sites, tapped

keep_freed_memory()
_transformers_logging.disable_progress_bar()  # a bar for 29 tensors would hide our own progress

__all__ = [
    "Asked",
    "InHalf",
    "Model",
    "Sampled",
    "Sampling",
    "activations",
    "base",
    "bits_of",
    "check_answers_at_once",
    "check_end",
    "check_whole",
    "choice_logprobs",
    "encode",
    "end_tokens",
    "forward_logits",
    "in_half",
    "load",
    "load_adapter",
    "lora",
    "mean_surprise",
    "merge",
    "open",
    "open_weights",
    "pad",
    "quantised",
    "random_model",
    "response_logprobs",
    "sample_prompts",
    "save",
    "save_adapter",
    "sequence_logprobs",
    "sites",
    "tapped",
    "template_date",
    "turn_end",
    "weights_digest",
    "with_sampling",
    "writes",
]
