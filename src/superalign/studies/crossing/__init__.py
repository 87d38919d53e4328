"""Train one model by generalization and one by oversight, and let each be validated by the other."""
