"""Transformer bodies, tokenisers and what stands on them."""
