"""Prover-verifier games: a small verifier, and provers that learn to convince it."""
