"""`python -m raysearch`."""

from raysearch.program import main

main()
