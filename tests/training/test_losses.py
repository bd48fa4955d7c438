"""The distance to a teacher: its invariants, in numbers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from raysearch.encoders.classifier import task_loss
from raysearch.training.losses import distillation, taught


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return [2 * torch.randn(16, 5, generator=generator, dtype=torch.float64) for _ in range(2)]


def test_it_is_t_squared_times_the_divergence(logits):
    student, teacher = logits
    p = (teacher / 3).softmax(dim=1)
    q = (student / 3).softmax(dim=1)
    expected = 9 * (p * (p.log() - q.log())).sum(dim=1)
    torch.testing.assert_close(distillation(student, teacher, 3.0), expected)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 20.0])
def test_nothing_to_learn_from_equal_answers_up_to_a_constant(logits, temperature):
    student = logits[0].clone().requires_grad_()
    loss = distillation(student, logits[0] + 7.0, temperature)
    torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-12, rtol=0)
    loss.sum().backward()
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize(("temperature", "cosine"), [(4.0, 0.97), (10.0, 0.993), (20.0, 0.998)])
def test_hot_gradients_tend_to_the_difference_of_centred_logits(logits, temperature, cosine):
    """For T to infinity: (z_S - z_T, both centred) / C; arXiv:1503.02531 section 2.1."""
    student, teacher = logits[0].clone().requires_grad_(), logits[1]
    distillation(student, teacher, temperature).sum().backward()
    limit = (student - student.mean(1, True) - teacher + teacher.mean(1, True)).detach() / 5
    assert F.cosine_similarity(student.grad.flatten(), limit.flatten(), dim=0) > cosine
    ratio = student.grad.norm() / limit.norm()
    assert 0.5 < ratio < 1.5, "without T^2 it would be 1 / T^2"


def test_alpha_0_is_cross_entropy_to_the_bit(logits):
    student, teacher = (x.float() for x in logits)
    label = torch.arange(16) % 5
    loss = taught(student, teacher, label, alpha=0.0, temperature=2.0)
    assert torch.equal(loss, task_loss(student, label))


def test_alpha_1_is_the_teacher_alone(logits):
    student, teacher = logits
    label = torch.arange(16) % 5
    loss = taught(student, teacher, label, alpha=1.0, temperature=2.0)
    torch.testing.assert_close(loss, distillation(student, teacher, 2.0).mean())


def test_rows_without_a_label_follow_the_teacher_whatever_alpha(logits):
    student, teacher = logits
    label = torch.where(torch.arange(16) < 6, torch.arange(16) % 5, -1)
    follow = distillation(student, teacher, 2.0)
    obey = F.cross_entropy(student[:6], label[:6], reduction="none")
    expected = (0.3 * follow[:6].sum() + 0.7 * obey.sum() + follow[6:].sum()) / 16
    loss = taught(student, teacher, label, alpha=0.3, temperature=2.0)
    torch.testing.assert_close(loss, expected)


def test_hard_targets_are_the_teachers_choice(logits):
    student, teacher = logits
    none = torch.full((16,), -1)
    loss = taught(student, teacher, none, alpha=0.5, temperature=2.0, hard=True)
    torch.testing.assert_close(loss, F.cross_entropy(student, teacher.argmax(dim=1)))


def test_no_gradient_reaches_the_teacher(logits):
    student, teacher = logits[0].clone().requires_grad_(), logits[1]
    taught(student, teacher, torch.arange(16) % 5, alpha=0.5, temperature=2.0).backward()
    assert student.grad is not None and teacher.grad is None
