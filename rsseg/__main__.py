"""`python -m rsseg` is `rsseg`."""

from rsseg.cli.main import main

main(prog_name="rsseg")
