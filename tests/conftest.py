import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before anything imports torch or tokenizers: two threads beside another busy process run many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

# A deadline would be an assertion about time: on a busy machine it fails without cause.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def beside(name: str) -> Any:
    """Load a module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Before anything imports the package. Commands that tests start as a user would are not checked.
beside("checking").install("superalign")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", default=False, help="run the tests that take more than ten seconds too"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Whole studies first: files are handed to workers one by one, and a long one that comes last keeps one worker alone.
    items.sort(key=lambda item: "tests/studies/" not in item.nodeid)
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes more than ten seconds; run with --slow"))


@pytest.fixture(scope="session")
def superalign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The command line, each command in a process of its own: see forking.py."""
    commands = beside("forking").Commands(tmp_path_factory.mktemp("streams"))
    yield commands
    commands.close()


@pytest.fixture
def serve() -> Iterator[Any]:
    """Servers that speak the chat protocol of OpenAI, on loopback: see serving.py."""
    serving = beside("serving").serving
    with contextlib.ExitStack() as running:
        yield lambda fails=0, **more: running.enter_context(serving(fails, **more))


@pytest.fixture
def interrogate() -> Callable[[str], str]:
    """A scripted investigator for a server to play: see investigating.py."""
    return beside("investigating").interrogate  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The name of the real chat model, fetched once if it can be."""
    from superalign.errors import BadInput
    from superalign.models.fetch import fetch
    from superalign.named_models import SMOLLM2

    try:
        fetch(SMOLLM2, say=lambda _: None)
    except BadInput as error:
        pytest.skip(f"smollm2 cannot be had here: {error}")
    return SMOLLM2.name


@pytest.fixture(scope="session")
def tiny_chat(smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of random weights with the real model's tokenizer and template."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from superalign.named_models import folder_of

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(folder_of(smollm2))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        **sizes, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
