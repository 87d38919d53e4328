"""reward-inside: see study.py for the question, measure for the jobs, page for what is claimed."""
