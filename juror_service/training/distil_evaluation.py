"""How far a student agrees with its teacher on photos that its training never saw."""

from __future__ import annotations

from typing import Any

import numpy as np

from juror_service.training.train_photos import ONE_EDIT


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two equally long series, ties at their mean rank; NaN if one is constant."""
    a, b = (_ranks(series) - (len(series) + 1) / 2 for series in (first, second))
    product = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / product) if product else float("nan")


def _ranks(series: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(series, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def quantiles(scores: np.ndarray) -> np.ndarray:
    """Of each score the share of all scores that lie below it, ties counted half; in (0, 1)."""
    return (_ranks(scores) - 0.5) / len(scores)


def measure_agreement(teacher_PI: np.ndarray, student_PI: np.ndarray) -> dict[str, Any]:
    """Compare scores of held-out photos.

    Args:
        teacher_PI, student_PI: scores of P photos, I images each: the photo, its 14 one-edit states, and others.

    Returns:
        Ready for JSON. `spearman`: over all images; `spearman_within`: among the images of one photo, mean over photos
        (that is what an editing agent's rewards depend on); `spearman_photos`: over the photos themselves.
        `pairs_in_order`: share of pairs of images of one photo that the student puts in the teacher's order;
        `clear_pairs_in_order`: the same where the teacher's scores differ by at least their standard deviation.
        `photo_above_edit`: share of one-edit states that score below their photo, for the teacher and the student: how
        far the teacher's taste is a reason to undo edits. A number that cannot be had is None.
    """
    i, j = np.triu_indices(teacher_PI.shape[1], 1)
    apart = teacher_PI[:, i] - teacher_PI[:, j]
    agree = np.sign(apart) == np.sign(student_PI[:, i] - student_PI[:, j])
    differ, clear = apart != 0, np.abs(apart) >= max(teacher_PI.std(), np.finfo(np.float32).tiny)
    within = np.array([spearman(t, s) for t, s in zip(teacher_PI, student_PI, strict=True)])
    within = within[np.isfinite(within)]
    edits = slice(1, 1 + len(ONE_EDIT))
    measured = {
        "photos": len(teacher_PI),
        "images": teacher_PI.size,
        "spearman": spearman(teacher_PI.ravel(), student_PI.ravel()),
        "spearman_within": within.mean() if len(within) else None,
        "spearman_photos": spearman(teacher_PI[:, 0], student_PI[:, 0]),
        "pairs": int(differ.sum()),
        "pairs_in_order": agree[differ].mean() if differ.any() else None,
        "clear_pairs": int(clear.sum()),
        "clear_pairs_in_order": agree[clear].mean() if clear.any() else None,
        "photo_above_edit": {
            "teacher": (teacher_PI[:, :1] > teacher_PI[:, edits]).mean(),
            "student": (student_PI[:, :1] > student_PI[:, edits]).mean(),
        },
    }
    return _json_ready(measured)


def _json_ready(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
