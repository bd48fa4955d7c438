"""What models predicted, on plain arrays: calibration and exit rules; no torch."""
