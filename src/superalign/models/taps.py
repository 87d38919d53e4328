"""Activation taps: read the residual stream, attention and MLP of any causal LM while it runs, or put something in their place.

Taps are forward hooks on modules that are found by structure: the list of decoder layers, and in each layer the child
that attends and the child that is the MLP. What a tap sees is reduced at once; raw activations are not kept. A tap that
did not fire raises `TapError`, because what it would return is not a measurement.

Sites: "embedding" (the residual stream before the first layer), "residual.3" (after layer 3, counted from 0),
"attention.3" and "mlp.3" (what the module returns, before any norm that follows it), "neurons.3" (what the MLP's last matrix
reads), "heads.3" (what the attention's last matrix reads: the heads side by side).

Shape suffixes: R rollouts, B batch, T tokens, D width, K positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from superalign.errors import BadInput, TapError
from superalign.models.forward import chunks, pad
from superalign.models.model import Asked, Model, encode
from superalign.models.weights import plain

Read: TypeAlias = Callable[[Tensor], None]
Change: TypeAlias = Callable[[Tensor], Tensor | None]  # what flows -> what flows instead; None leaves it
# Called with activations (B, T, D) and the mask (B, T) of response tokens; returns one line per sequence.
Reducer: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Reduce: TypeAlias = Literal["mean", "last"] | Sequence[int] | Reducer

ATTENTION = ("attn", "attention")
MLP = ("mlp", "feed_forward", "ffn", "moe")


def layers_of(network: nn.Module) -> nn.ModuleList:
    """Find the list of decoder layers.

    Raises:
        BadInput: If the network has none.
    """
    inner = plain(network)
    count = getattr(inner.config, "num_hidden_layers", None)
    lists = list(_lists(inner, count))
    if not lists:
        raise BadInput(
            f"{type(inner).__name__} has no list of {count} decoder layers. Without it nobody knows where to tap. "
            "Use an architecture whose layers are in one ModuleList."
        )
    if len(lists) == 1:
        return lists[0]
    return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))


def _lists(module: nn.Module, count: int | None) -> Iterator[nn.ModuleList]:
    """Lists of so many modules; what is inside of one is not searched, so that this takes no time in a large network."""
    if isinstance(module, nn.ModuleList) and len(module) == count:
        yield module
        return
    for child in module.children():
        yield from _lists(child, count)


def _child(layer: nn.Module, words: Sequence[str]) -> nn.Module | None:
    """The layer's child whose name says what it is; norms and dropouts that bear the name too are passed over."""
    for name, child in layer.named_children():
        if any(word in name.lower() for word in words):
            whole = f"{name} {type(child).__name__}".lower()
            if "norm" not in whole and "dropout" not in whole:
                return child
    return None


def last_matrix(mlp: nn.Module) -> nn.Module | None:
    """Find the matrix that an MLP ends with; None of a mixture of experts, which has several."""
    matrices = [m for m in mlp.children() if getattr(m, "weight", None) is not None and m.weight.ndim == 2]
    return matrices[-1] if matrices and not any(isinstance(m, nn.ModuleList) for m in mlp.children()) else None


def _place(layers: nn.ModuleList, site: str) -> tuple[nn.Module, bool] | None:
    """A site's module, and whether the site is its input; None if there is no such site."""
    if site == "embedding":
        return layers[0], True
    kind, _, number = site.partition(".")
    if not number.isdecimal() or int(number) >= len(layers):
        return None
    layer = layers[int(number)]
    if kind == "residual":
        return layer, False
    words = {"attention": ATTENTION, "heads": ATTENTION, "mlp": MLP, "neurons": MLP}.get(kind)
    child = None if words is None else _child(layer, words)
    inside = kind in ("neurons", "heads")
    if inside and child is not None:
        child = last_matrix(child)
    return None if child is None else (child, inside)


def tap_module(network: nn.Module, site: str) -> nn.Module | None:
    """Find the module that a tap at a site sits on; None if there is no such site.

    Args:
        network: Any causal LM; or its layers, as `layers_of` finds them, to ask for many sites.
        site: Where.
    """
    place = _place(network if isinstance(network, nn.ModuleList) else layers_of(network), site)
    return None if place is None else place[0]


def width_read(matrix: Any) -> int:
    """Return how many numbers a matrix reads: a Linear lays its weight out as (out, in), GPT-2's Conv1D as (in, out)."""
    return int(matrix.weight.shape[0 if type(matrix).__name__ == "Conv1D" else 1])


def sites(model: Model) -> tuple[str, ...]:
    """Name every site at which this model can be tapped."""
    layers = layers_of(model.network)
    kinds = ("residual", "attention", "heads", "mlp", "neurons")
    named = ["embedding", *(f"{kind}.{i}" for i in range(len(layers)) for kind in kinds)]
    return tuple(site for site in named if _place(layers, site) is not None)


def hooked(handles: Iterable[RemovableHandle]) -> ExitStack:
    """Take hooks away again when the block ends that this is the context of."""
    stack = ExitStack()
    for handle in handles:
        stack.enter_context(handle)
    return stack


@contextmanager
def tapped(network: nn.Module, readers: Mapping[str, Read]) -> Iterator[None]:
    """Call each reader with its site's activations (B, T, D) on every forward inside the block.

    Args:
        network: Any causal LM.
        readers: For each site, what to do with what flows there. A reader must not change it.

    Raises:
        BadInput: If there is no such site.
        TapError: On leaving, if a tap did not fire.
    """

    def seeing(read: Read) -> Change:
        def see(values: Tensor) -> None:
            read(values.detach())

        return see

    with changed(network, {site: seeing(read) for site, read in readers.items()}):
        yield


@contextmanager
def changed(network: nn.Module, changes: Mapping[str, Change]) -> Iterator[None]:
    """Put what flows at each site through a function, on every forward inside the block; gradients flow through it.

    Args:
        network: Any causal LM.
        changes: For each site, from what flows there to what flows instead. A function must not write into what it is given.

    Raises:
        BadInput: If there is no such site.
        TapError: On leaving, if a tap did not fire.
    """
    layers = layers_of(network)
    places = {site: _place(layers, site) for site in changes}
    for site, place in places.items():
        if place is None:
            raise BadInput(
                f"There is no site {site!r} in {type(plain(network)).__name__}. A tap elsewhere would measure something "
                f"else. Its sites are embedding, and residual, attention, heads, mlp and neurons from .0 to .{len(layers) - 1}."
            )
    fired: set[str] = set()
    with hooked(_hook(*place, site, changes[site], fired) for site, place in places.items() if place is not None):
        yield
    silent = [site for site in changes if site not in fired]
    if silent:
        raise TapError(
            f"The tap at {', '.join(silent)} did not fire, so nothing was read or changed there. The forward went around the "
            "module, or none was run. Run the network's own forward inside the block."
        )


def _hook(module: nn.Module, of_input: bool, site: str, change: Change, fired: set[str]) -> RemovableHandle:
    def new(value: Any) -> Any:
        # What goes on instead, in the same wrapping; None leaves what is there.
        wrapped = isinstance(value, tuple | list)
        tensor = value[0] if wrapped else value
        if not isinstance(tensor, Tensor):
            return None
        fired.add(site)
        out = change(tensor)
        return (out, *value[1:]) if wrapped and out is not None else out

    if of_input:

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            out = new(args or kwargs.get("hidden_states"))
            if out is None:
                return None
            return (out, kwargs) if args else (args, {**kwargs, "hidden_states": out})

        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(lambda _, __, out: new(out))


def _once_per_mask(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Keep the value for the newest mask: all sites of a forward share one."""
    held: list[Tensor] = []

    def cached(mask_BT: Tensor) -> Tensor:
        if not held or held[0] is not mask_BT:
            held[:] = [mask_BT, function(mask_BT)]
        return held[1]

    return cached


def reducer(reduce: Reduce) -> Reducer:
    """Turn "mean", "last", positions within the response (negative from its end) or a function into a function."""
    if callable(reduce):
        return reduce
    if reduce == "mean":

        @_once_per_mask
        def share(mask_BT: Tensor) -> Tensor:
            return (mask_BT / mask_BT.sum(1, keepdim=True)).unsqueeze(1)

        return lambda values_BTD, mask_BT: torch.bmm(share(mask_BT).to(values_BTD.dtype), values_BTD).squeeze(1)
    if isinstance(reduce, str) and reduce != "last":
        raise BadInput(
            f'There is no reduction {reduce!r}. What is kept would be unclear. Use "mean", "last", positions or '
            "a function."
        )
    positions = [-1] if isinstance(reduce, str) else [int(p) for p in reduce]

    @_once_per_mask
    def place(mask_BT: Tensor) -> Tensor:
        length_B1 = mask_BT.sum(1, keepdim=True)
        first_B1 = mask_BT.long().argmax(1, keepdim=True)
        asked = torch.tensor(positions, device=mask_BT.device)
        t_BK = torch.where(asked < 0, length_B1 + asked, asked)
        if bool(((t_BK < 0) | (t_BK >= length_B1)).any()):
            raise BadInput(
                f"A response has fewer tokens than position {positions} asks for. There is no activation there. "
                "Ask for positions that every response has."
            )
        row_B1 = torch.arange(len(mask_BT), device=mask_BT.device)[:, None] * mask_BT.shape[1]
        return (row_B1 + first_B1 + t_BK).flatten()  # lines of (B * T, D)

    def at(values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        picked = values_BTD.flatten(0, 1).index_select(0, place(mask_BT)).unflatten(0, (-1, len(positions)))
        return picked[:, 0] if isinstance(reduce, str) else picked

    return at


def activations(
    model: Model,
    prompts: Sequence[Asked],
    responses: Sequence[str] | Sequence[Sequence[int]],
    *,
    sites: Sequence[str],
    reduce: Reduce = "mean",
) -> dict[str, Float32[np.ndarray, "R ..."]]:
    """Read activations at response tokens, reduced while they stream.

    Args:
        model: What is read.
        prompts: Texts without template, or chats.
        responses: Texts (no end token is added), or token ids.
        sites: Where to tap; see `sites`.
        reduce: Mean over the response's tokens, its last token, given positions in it, or a function of (B, T, D) and
            the mask (B, T).

    Returns:
        For each site float32 (R, D), or (R, K, D) for K positions, or what the function returns.

    Raises:
        TapError: If a tap did not fire.
    """
    prompt_ids, response_ids = encode(model, prompts, responses, end=False)
    if any(len(r) == 0 for r in response_ids):
        raise BadInput("A response has no tokens. There is no activation to read. Leave empty responses out.")
    keep = reducer(reduce)
    network = model.network
    out: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {site: [] for site in sites}
    for some in chunks(prompt_ids, response_ids):
        tokens_BT, length_B = pad([np.concatenate([prompt_ids[i], response_ids[i]]) for i in some])
        start_B = np.array([len(prompt_ids[i]) for i in some])
        at_T = np.arange(tokens_BT.shape[1])
        within_BT = (at_T >= start_B[:, None]) & (at_T < length_B[:, None])
        response_BT = torch.from_numpy(within_BT).to(network.device)

        def reader(site: str, mask_BT: Tensor = response_BT, rows: np.ndarray = some) -> Read:
            def read(values: Tensor) -> None:
                whole = keep(_by_token(network, site, values, mask_BT.shape).float(), mask_BT)
                out[site].append((rows, whole.float().cpu().numpy()))

            return read

        backbone = plain(network).base_model  # without the vocabulary projection, which no tap needs
        if tokens_BT.shape[0] == tokens_BT.shape[1]:  # the two could be taken for one another: see which comes first
            shaped = {site: _probe(network, site) for site in sites}
            with torch.no_grad(), tapped(network, shaped):
                backbone(input_ids=torch.from_numpy(tokens_BT[:1, :2]).to(network.device), use_cache=False)
        attend_BT = torch.from_numpy((at_T < length_B[:, None]).astype(np.int64)).to(network.device)
        with torch.no_grad(), tapped(network, {site: reader(site) for site in sites}):
            backbone(
                input_ids=torch.from_numpy(tokens_BT).to(network.device), attention_mask=attend_BT, use_cache=False
            )
    return {site: _in_order(parts, len(prompt_ids)) for site, parts in out.items()}


def _probe(network: nn.Module, site: str) -> Read:
    """Refuse a site that does not give (1, 2, D) for one sequence of two tokens."""

    def read(values: Tensor) -> None:
        _by_token(network, site, values, torch.Size([1, 2]))

    return read


def _by_token(network: nn.Module, site: str, values: Tensor, shape: torch.Size) -> Tensor:
    """Activations as (B, T, D); those of all tokens in one row after another, as mixtures of experts give them, are unflattened.

    Raises:
        BadInput: If they are laid out in any other way.
    """
    B, T = shape
    if values.ndim == 3 and values.shape[:2] == shape:
        return values
    if values.ndim == 2 and len(values) == B * T:
        return values.unflatten(0, (B, T))
    raise BadInput(
        f"{site} of {type(plain(network)).__name__} gives activations of shape {tuple(values.shape)} for {B} sequences of {T} "
        "tokens. Which belong to which token is not known, and those of other tokens would be measured. Tap another site or "
        "use another architecture."
    )


def _in_order(parts: list[tuple[np.ndarray, np.ndarray]], R: int) -> np.ndarray:
    """Undo the chunks' order."""
    if not parts:
        return np.zeros((0, 0), np.float32)
    whole = np.zeros((R, *parts[0][1].shape[1:]), np.float32)
    for rows, values in parts:
        whole[rows] = values
    return whole
