"""Transformer bodies, tokenisers and the heads on them."""
