"""Sandwiching: somebody who is no expert asks a model that may be wrong."""
