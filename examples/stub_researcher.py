"""A whole campaign in one page, of the standard library alone: three methods, a confirmation, and the sealed tier.

Any agent takes the place of METHODS: see AGENTS.md. Give the socket of a vault: python examples/stub_researcher.py SOCKET
"""

import hashlib
import sys

from superalign.researcher.client import Client, VaultError

HEAD = """import numpy as np

def solve(public, inputs, seed):
    x, dev = np.asarray(public["x"], float), np.asarray(public["dev_x"], float)
    new, weak, true = np.asarray(inputs["x"], float), public["weak"], public["dev_true"]
"""
FIT = """    x = x - x.mean(0)
    return new @ np.linalg.solve(x.T @ x + len(x) * 0.01 * np.eye(x.shape[1]), x.T @ (y - y.mean()))
"""
METHODS = {
    "rounded weak labels in a ridge regression": "    y = (weak > 0.5).astype(float)\n" + FIT,
    "the more confident half of the weak labels in a ridge regression": (
        "    keep = abs(weak - 0.5) >= np.median(abs(weak - 0.5))\n    x, y = x[keep], (weak[keep] > 0.5).astype(float)\n"
        + FIT
    ),
    "development labels, five times each, joined to the weak ones in a ridge regression": (
        "    x, y = np.vstack([x] + [dev] * 5), np.concatenate([weak] + [true] * 5)\n" + FIT
    ),
}


def send(vault: Client, question: str, tier: str, number: int) -> tuple[str, dict]:
    """Register a plan, submit its artefact; return ticket and answer."""
    words, body = list(METHODS.items())[number]
    source = (HEAD + body).encode()
    plan = {
        "question": question,
        "researcher": "stub",
        "hypothesis": words,
        "family": words.split()[0],
        "predicted": 0.0,
        "artefact": hashlib.sha256(source).hexdigest(),
        "tier": tier,
        "number": number,
        "cites": [],
    }
    ticket = vault.register(plan)
    return ticket, {} if tier == "sealed" else vault.submit(ticket, "code", source)


def main(socket: str) -> None:
    """Climb, confirm what was better last, and open the sealed tier for it if it passed."""
    vault = Client(socket)
    for question in vault.questions():
        name, best = question["name"], None
        for number, words in enumerate(METHODS):
            answer = send(vault, name, "climb", number)[1]
            print(f"{name}: {words}: {answer['word']}, best {answer['score']}, {answer['left']} left")
            best = number if answer["word"] == "better" else best
        if best is None or send(vault, name, "confirm", best)[1]["word"] != "passed":
            print(f"{name}: nothing is claimed")
            continue
        try:
            print(f"{name}: sealed: {vault.reveal(send(vault, name, 'sealed', best)[0])['gain']}")
        except VaultError as error:
            print(f"{name}: sealed: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
