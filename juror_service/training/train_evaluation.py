"""How good a juror is on photos that its training never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from juror_service.training.degradations import DEGRADATIONS, STRENGTHS
from juror_service.training.train_photos import ONE_EDIT
from rl_aesthetics.edits.algebra import ORIGINAL, compose, distance, render_rgb
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.scores.scorer import Images, Scorer

Score = Callable[[Images], np.ndarray]
"""uint8 `(B, H, W, 3)` RGB to float `(B,)`."""


def measure_juror(score: Score, photos: Sequence[np.ndarray], size: int = 64, seed: int = 0) -> dict[str, Any]:
    """Measure how a juror ranks photos above what was done to them.

    Args:
        photos: uint8 RGB of any size, seen as a whole, reduced to the juror's size.

    Returns:
        Shares of 1, ready for JSON: `pairs_in_order` of (photo, one-edit state); `by_edit`, the same for each edit;
        `greedy_exact`, of one-edit states from which the best-scored of the 14 edits and STOP gives the photo back;
        `two_edits_exact`, of two-edit states, two such steps; `degradations`, by kind the mean score and the share of
        photos above it at each of `STRENGTHS`; and quantiles of scores.
    """
    images_BHWC = np.stack([reduce_image(photo, size) for photo in photos])
    images_BCHW = images_BHWC.transpose(0, 3, 1, 2)
    originals_B = score(images_BHWC)

    def score_states(states_BS: np.ndarray) -> np.ndarray:
        columns = [render_rgb(images_BCHW, states_B) for states_B in states_BS.T]
        return np.stack([score(np.ascontiguousarray(c.transpose(0, 2, 3, 1))) for c in columns], axis=1)

    every_photo = np.zeros((len(photos), 1), int)
    edited_BA = score_states(every_photo + ONE_EDIT)
    in_order_BA = originals_B[:, None] > edited_BA
    by_edit = in_order_BA.mean(axis=0)
    actions = np.append(ONE_EDIT, ORIGINAL)

    def greedy_step(states_B: np.ndarray) -> np.ndarray:
        results_BA = compose(states_B[:, None], actions)
        return results_BA[np.arange(len(states_B)), score_states(results_BA).argmax(axis=1)]

    one_step = [greedy_step(np.full(len(photos), state)) == ORIGINAL for state in ONE_EDIT]
    rng = np.random.default_rng(seed)
    deep_states = np.flatnonzero(distance(np.arange(3072)) == 2)
    two_steps = [greedy_step(greedy_step(rng.choice(deep_states, len(photos)))) == ORIGINAL for _ in range(4)]
    return {
        "photos": len(photos),
        "pairs": in_order_BA.size,
        "pairs_in_order": float(in_order_BA.mean()),
        "by_edit": dict(zip(REVERSIBLE, by_edit.tolist(), strict=True)),
        "worst_edit": float(by_edit.min()),
        "greedy_exact": float(np.mean(one_step)),
        "two_edits_exact": float(np.mean(two_steps)),
        "degradations": _measure_degradations(score, images_BHWC, originals_B, seed),
        "score_quantiles": {
            "at": [0.05, 0.25, 0.5, 0.75, 0.95],
            "originals": np.quantile(originals_B, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist(),
            "one_edit": np.quantile(edited_BA, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist(),
        },
    }


def _measure_degradations(score: Score, images_BHWC: np.ndarray, originals_B: np.ndarray, seed: int) -> dict[str, Any]:
    measured = {}
    for name, degrade in DEGRADATIONS.items():
        scores_SB = np.stack(
            [
                score(
                    np.stack(
                        [degrade(image, s, np.random.default_rng([seed, i])) for i, image in enumerate(images_BHWC)]
                    )
                )
                for s in STRENGTHS
            ]
        )
        measured[name] = {
            "strength": list(STRENGTHS),
            "mean_score": [float(originals_B.mean()), *scores_SB.mean(axis=1).tolist()],
            "in_order": (originals_B > scores_SB).mean(axis=1).tolist(),
        }
    return measured


def measure_drift(scorer: Scorer, photos: Images) -> dict[str, float]:
    """The largest difference of a score by batch size and after a PNG round trip, over whole photos."""
    images = [reduce_image(photo, scorer.size) for photo in photos]
    alone = np.concatenate([scorer.score([image]) for image in images])
    drift = {}
    for size in (2, 7, 32):
        batches = [images[i : i + size] for i in range(0, len(images), size)]
        drift[f"batch_{size}"] = float(np.abs(np.concatenate([scorer.score(b) for b in batches]) - alone).max())
    decoded = [_through_png(image) for image in images]
    drift["png"] = float(np.abs(scorer.score(decoded) - alone).max())
    return drift


def _through_png(image_HWC: np.ndarray) -> np.ndarray:
    """What is read back of an image that was written as PNG."""
    decoded = cv2.imdecode(cv2.imencode(".png", image_HWC[..., ::-1])[1], cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded a moment ago
    return decoded[..., ::-1]
