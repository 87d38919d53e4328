"""A campaign of automated researchers before a vault that they cannot game."""
