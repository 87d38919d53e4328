"""How a study is run, from the command line's words to the files that it leaves."""
