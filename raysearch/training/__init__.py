"""Loops, losses, fitted models and the protocol of methods."""
