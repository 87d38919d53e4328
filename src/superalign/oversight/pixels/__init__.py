"""Debate about what an image shows, before a judge who sees a few pixels."""
