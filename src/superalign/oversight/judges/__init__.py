"""Judges: who may check a few steps of a response, or is asked about it in words; models and people."""
