"""Market making: a market foresees a judge's belief, and an adversary argues."""
