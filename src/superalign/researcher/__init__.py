"""The researcher, untrusted by design: it proposes methods, registers plans, submits artefacts, and reads the answers."""
