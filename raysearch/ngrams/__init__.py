"""Hashed and tabulated n-grams."""
