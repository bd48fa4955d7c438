"""raysearch: which way of training, which model size and how many labels buy the most accuracy."""

__version__ = "0.1.0"
__all__ = ["__version__"]
