"""Prices: measured rates, quietly and quickly."""

import time

import pytest
import torch

from raysearch.config.ladder import ModelSize
from raysearch.planning import throughput
from raysearch.planning.throughput import Rates, measure, seconds

CPU = torch.device("cpu")
SMALL = ModelSize(
    "small", "encoder", layers=3, hidden=64, intermediate=128, vocabulary=1000, params=200_000
)


def test_a_rate_is_flops_a_second():
    start = time.perf_counter()
    rates = measure(SMALL, 16, "fp32", CPU, 1)
    assert 1e6 < rates.train < 1e13 and 1e6 < rates.infer < 1e13
    assert time.perf_counter() - start < 20


def test_measuring_leaves_threads_and_generators_as_they_were():
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(before + 1)
    try:
        measure(SMALL, 4, "fp32", CPU, 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_seconds_add_up_by_phase():
    rates = Rates(train=1e9, infer=4e9)
    alone = seconds({}, rates, SMALL)
    assert alone == pytest.approx(throughput.SETUP + 200_000 / throughput.LOAD_RATE)
    assert seconds({"train": 2e9}, rates, SMALL) - alone == pytest.approx(2)
    assert seconds({"validate": 2e9, "label": 2e9}, rates, SMALL) - alone == pytest.approx(1)
