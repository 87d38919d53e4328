"""Explanations of units as programs over text: questions, search, words, scores. It is given activations and knows no model."""
