"""Amplification: X learns from an overseer who splits questions, and judges."""
