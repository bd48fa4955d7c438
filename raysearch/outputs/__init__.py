"""Predictions of models, on plain arrays: calibration and exit rules; no torch."""
