"""Pictures and pages over records: plotly, and neither torch nor Ray."""

from raysearch.panels.page import write_pages

__all__ = ["write_pages"]
