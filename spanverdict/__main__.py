"""`python -m spanverdict`."""

from spanverdict.cli import main

main(prog_name="spanverdict")
