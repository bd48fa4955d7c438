"""From records to frontiers and verdicts; loads neither torch nor Ray nor plotly."""

from raysearch.analysis.frontier import Frontier, frontier, frontiers
from raysearch.analysis.run import Run, RunReader, read_run, read_runs
from raysearch.analysis.spend import (
    Reference,
    best_over_spend,
    hypervolume_over_spend,
    reference_point,
    search_flops,
    unbilled,
)
from raysearch.analysis.summary import summary
from raysearch.analysis.table import read_parquet, to_table, write_parquet
from raysearch.analysis.winners import selected, winners

__all__ = [
    "Frontier",
    "Reference",
    "Run",
    "RunReader",
    "best_over_spend",
    "frontier",
    "frontiers",
    "hypervolume_over_spend",
    "read_parquet",
    "read_run",
    "read_runs",
    "reference_point",
    "search_flops",
    "selected",
    "summary",
    "to_table",
    "unbilled",
    "winners",
    "write_parquet",
]
