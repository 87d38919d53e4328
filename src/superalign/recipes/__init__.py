"""One short file per study, and the table that names them; a module is imported only when its name is called.

A recipe module holds:
    DESCRIPTION: str                  one line for `superalign recipes`
    Config                            a frozen dataclass with a line under each field
    quick(config) -> Config           the same study made small
    study(config, *, seed, workers, folder, ledger, log) -> superalign.report.Study

`study` keeps records with `ledger.append_once`, so that a resumed run writes nothing twice, and long work under
`folder / "work"`, named by what it was made from (`superalign.jobs.Memo`, `superalign.inputs`). It says how far it is with
`log("a line")` or `log({"stage": "plant", "done": 3, "total": 12})`. It returns no times: the same seed gives the same study.
"""

RECIPES: dict[str, str] = {
    "amplification": "superalign.recipes.amplification",
    "audit": "superalign.recipes.audit",
    "critics": "superalign.recipes.critics",
    "critique": "superalign.recipes.critique",
    "debate": "superalign.recipes.debate",
    "detectors": "superalign.recipes.detectors",
    "digits": "superalign.recipes.digits",
    "gaps": "superalign.recipes.gaps",
    "loop": "superalign.recipes.loop",
    "market": "superalign.recipes.market",
    "organisms": "superalign.recipes.organisms",
    "oversight": "superalign.recipes.oversight",
    "plant": "superalign.recipes.plant",
    "pretrain": "superalign.recipes.pretrain",
    "prover": "superalign.recipes.prover",
    "recursive": "superalign.recipes.recursive",
    "redteam": "superalign.recipes.redteam",
    "sandwich": "superalign.recipes.sandwich",
    "scaling": "superalign.recipes.scaling",
    "seats": "superalign.recipes.seats",
    "unseen": "superalign.recipes.unseen",
}
