"""What the studies of generalization call their arms: a page shows them, and may not import what trains them."""

# Weak supervision.
NAIVE, TRUTH, NOISE, SHUFFLED = "naive", "truth", "independent noise", "labels permuted"
SAME_SIZE = "same-size student"

# Problems of graded hardness: who is taught, with which problems, labelled how; and what makes them hard.
GENERATOR, EVALUATOR = "generator", "evaluator"
EASY, HARD, ALL, MIXED = "easy", "hard", "all", "easy and a few hard"
CHEAP, NOISY, PERMUTED = "hard, at the cost of easy", "hard, some labels wrong", "easy, labels permuted"
UNTAUGHT, OWN = "before", "before, in its own words"
OPERATIONS, RANDOM = "operations", "nothing (random)"

# Disagreement between techniques: what says where a model is wrong.
OTHER, DEALT = "the other opposes", "the other, dealt anew (null)"
ALONE = THIRD, CONFIDENCE, JUDGE = "third run opposes", "own confidence", "judge alone"
SAME = "same technique"
