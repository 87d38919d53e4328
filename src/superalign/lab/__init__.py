"""What studies share: how one is run, shapes of evidence, parts of pages, one blind look, arms, panels, and people."""
