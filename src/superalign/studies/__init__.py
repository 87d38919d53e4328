"""One folder per study, and the table that names them; a module is imported only when its name is called.

A folder's study.py holds:
    DESCRIPTION: str                  one line for `superalign studies`
    Config                            a frozen dataclass with a line under each field
    quick(config) -> Config           the same study made small
    study(config, *, seed, workers, folder, ledger, log) -> superalign.report.Findings

`study` keeps records with `ledger.append_once`, so that a resumed run writes nothing twice, and long work under
`folder / "work"`, named by what it was made from (`superalign.jobs.Memo`, `superalign.inputs`). It says how far it is with
`log("a line")` or `log({"stage": "plant", "done": 3, "total": 12})`. It returns no times: the same seed gives the same study.
"""

STUDIES: dict[str, str] = {
    "amplification": "superalign.studies.amplification.study",
    "audit": "superalign.studies.audit.study",
    "critic-rl": "superalign.studies.critic_rl.study",
    "critic-transfer": "superalign.studies.critic_transfer.study",
    "debate": "superalign.studies.debate.study",
    "detectors": "superalign.studies.detectors.study",
    "loop": "superalign.studies.loop.study",
    "market": "superalign.studies.market.study",
    "organisms": "superalign.studies.organisms.study",
    "oversight-scaling": "superalign.studies.oversight_scaling.study",
    "pixel-debate": "superalign.studies.pixel_debate.study",
    "plant": "superalign.studies.plant.study",
    "pretrain": "superalign.studies.pretrain.study",
    "prompted": "superalign.studies.prompted.study",
    "protocols": "superalign.studies.protocols.study",
    "prover-verifier": "superalign.studies.prover_verifier.study",
    "recursive": "superalign.studies.recursive.study",
    "redteam": "superalign.studies.redteam.study",
    "sandwich": "superalign.studies.sandwich.study",
    "self-critique": "superalign.studies.self_critique.study",
    "unseen": "superalign.studies.unseen.study",
}
