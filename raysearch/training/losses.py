"""Losses of a student: the distance to its teacher's logits, beside that to labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(p_T || p_S) of each row (B,), both softened by T.

    Source: arXiv:1503.02531 section 2. T^2 keeps the gradient's size as T grows; summed over
    classes. For T to infinity the gradient on the student's logits tends to (z_S - z_T, both
    centred) / C.

    Args:
        student: logits (B, C).
        teacher: logits (B, C), no gradient.
        temperature: T.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return divergence.sum(dim=1) * temperature**2


def taught(
    student: Tensor,
    teacher: Tensor,
    label: Tensor,
    *,
    alpha: float,
    temperature: float,
    hard: bool = False,
) -> Tensor:
    """Return the batch's loss: alpha times the teacher's and 1 - alpha times the label's, by row.

    Rows without a label (-1) follow the teacher alone. Hard: cross-entropy with the teacher's
    predicted class in place of the divergence. Without unlabelled rows and with alpha 0 it is
    cross-entropy to the bit.

    Args:
        student: logits (B, C).
        teacher: logits (B, C), no gradient.
        label: class ids (B,), -1 where there is none.
        alpha: weight of the teacher on labelled rows.
        temperature: T.
        hard: follow the teacher's choice, not its probabilities.
    """
    known = label >= 0
    if alpha == 0 and bool(known.all()):
        return F.cross_entropy(student, label)
    if hard:
        follow = F.cross_entropy(student, teacher.argmax(dim=1), reduction="none")
    else:
        follow = distillation(student, teacher, temperature)
    obey = F.cross_entropy(student, label, reduction="none", ignore_index=-1)
    return (follow * (~known + alpha * known) + obey * (1 - alpha) * known).mean()
