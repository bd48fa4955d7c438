"""Which precision a machine gets."""

import pytest
import torch

from raysearch.errors import InputError
from raysearch.training import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_name_stands_for_itself(name):
    assert precision.resolve(name, CPU) == name


@pytest.mark.parametrize(("speedup", "taken"), [(0.07, "fp32"), (1.1, "fp32"), (3.5, "bf16")])
def test_auto_takes_what_is_measured_faster(monkeypatch, speedup, taken):
    monkeypatch.setattr(precision, "_cpu_speedup", lambda: speedup)
    assert precision.resolve("auto", CPU) == taken


def test_auto_on_cuda_asks_the_card(monkeypatch):
    for can, taken in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda can=can: can)
        assert precision.resolve("auto", torch.device("cuda")) == taken


def test_the_measurement_is_a_ratio_and_taken_once():
    first = precision._cpu_speedup()
    assert 0.001 < first < 100 and precision._cpu_speedup() == first


def test_another_name_is_refused():
    with pytest.raises(InputError, match="--precision: no 'fp16'. Known: auto, fp32, bf16"):
        precision.resolve("fp16", CPU)
