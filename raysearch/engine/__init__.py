"""The engine: data, models, training, FLOPs and evaluation that every method stands on."""
