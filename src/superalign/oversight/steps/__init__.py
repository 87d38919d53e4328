"""A critic of annotated solutions, and the features of steps and wording that it reads."""
