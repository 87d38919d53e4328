"""What every study is made of: its settings, its run, its evidence, the parts of its page, one panel, one blind look.

It cannot touch a model, a problem or an answer; a study of one's own needs nothing else of the lab (docs/studies/own.md).
"""
