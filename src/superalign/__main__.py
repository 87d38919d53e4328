"""`python -m superalign` is the command `superalign`."""

from superalign.cli import main

main()
