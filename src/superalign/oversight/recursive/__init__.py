"""Recursive reward modelling: agents of one level help the judge of the next."""
