"""`python -m superalign.researcher SETTINGS.json`: one campaign, whose totals are printed as one line of JSON."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from superalign.errors import BadInput
from superalign.researcher.campaign import Campaign, Settings, researchers_of
from superalign.researcher.client import Client
from superalign.types import canonical_json, rebuild


def main(arguments: list[str]) -> None:
    """Read settings, run the campaign, print its totals."""
    try:
        given = json.loads(Path(arguments[0]).read_text())
        settings: Settings = rebuild({"noun": "Settings", **given}, {"Settings": Settings})
        researchers = researchers_of(settings)
    except (IndexError, OSError, ValueError, TypeError, AttributeError) as error:
        why = error if isinstance(error, BadInput) else f"No settings can be read ({error}). Name a JSON file of them."
        sys.exit(str(why))
    log = partial(print, file=sys.stderr, flush=True)
    campaign = Campaign(settings=settings, vault=Client(settings.vault), researchers=researchers, log=log)
    print(canonical_json(campaign.run()))


if __name__ == "__main__":
    main(sys.argv[1:])
