"""The answer: choice, ties, limits and sentences, without plotly."""
