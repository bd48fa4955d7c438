"""Proposals, samplers, budgets and the queue of trials; no Ray."""
