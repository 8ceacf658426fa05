"""The pocket juror: how much an image looks like a photo that nobody manipulated.

It comes with the package (at most 2 MB), runs on the CPU through ONNX Runtime and needs no PyTorch.

**The score** is a float32 in (0, 1); higher is more natural. It is `sigmoid((logit − location) / temperature)` of a
small ranking network. The two constants put the median photo that training never saw at 0.85 and the median of its
one-edit states at 0.25: undoing an edit is typically worth 0.1 to 0.8. The score is strictly increasing in the logit,
so rankings are the network's own. Differences between states of one photo are what it is made for; differences between
photos mean less, and it knows nothing of human taste. `weights/pocket.md` is its model card.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import onnxruntime

from juror_service.jurors.registry import Juror
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.scores.scorer import Images

WEIGHTS = Path(__file__).parents[1] / "weights" / "pocket.onnx"

_PREPROCESSING = "rgb-uint8-64-area"
_CHUNK = 64  # images an inference; larger ones were not faster and take more memory


class PocketJuror:
    """A `Scorer` over an ONNX file that `rl-aesthetics juror train` wrote. Safe to call from several threads.

    Attributes:
        size: 64.
        fingerprint: `pocket:` and 16 hexadecimal digits of a hash of the weights and the preprocessing.
        threads: CPU threads that one call uses.
    """

    def __init__(self, weights: str | Path = WEIGHTS, threads: int | None = None):
        """Load the weights.

        Args:
            weights: an ONNX file; the packaged one if left out.
            threads: CPU threads for one call; all that this process may use if left out.

        Raises:
            UserError: the file is missing or holds no pocket juror, or `threads` is not positive.
        """
        if threads is not None and threads < 1:
            raise UserError(f"a juror needs at least 1 thread, got threads={threads}")
        try:
            content = Path(weights).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the juror weights {weights}: {error.strerror}") from error
        options = onnxruntime.SessionOptions()
        self.threads = threads or _usable_cores()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # Idle threads must sleep: rollouts and the learner share these cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no other base class
            raise UserError(f"{weights} is no ONNX model: {str(error).splitlines()[0]}") from error
        shapes = [i.shape[1:] for i in self._session.get_inputs()]
        names = [o.name for o in self._session.get_outputs()]
        if names != ["score"] or len(shapes) != 1 or shapes[0][0] != shapes[0][1] or shapes[0][2] != 3:
            raise UserError(f"{weights} is no pocket juror: inputs {shapes}, outputs {names}")
        self.size: int = shapes[0][0]
        self.fingerprint = "pocket:" + hashlib.sha256(_PREPROCESSING.encode() + content).hexdigest()[:16]

    def score(self, images: Images) -> np.ndarray:
        """Scores float32 `(B,)` in (0, 1) of uint8 RGB images `(64, 64, 3)`; an array `(B, 64, 64, 3)` will do too.

        Raises:
            ValueError: an image has another dtype or shape.
            ScoringError: the runtime failed, or gave something that is no score.
        """
        expected = (self.size, self.size, 3)
        for i, image in enumerate(images):
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != expected:
                given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
                raise ValueError(f"image {i}: the pocket juror needs uint8 {expected} RGB, got {given}")
        scores = np.empty(len(images), np.float32)
        for start in range(0, len(images), _CHUNK):
            chunk_BHWC = np.ascontiguousarray(images[start : start + _CHUNK])
            try:
                (scores[start : start + _CHUNK],) = self._session.run(["score"], {"images": chunk_BHWC})
            except Exception as error:
                raise ScoringError(f"the pocket juror failed on {len(chunk_BHWC)} images: {error}") from error
        if not np.isfinite(scores).all():
            raise ScoringError("the pocket juror gave a score that is not a number")
        return scores


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


JUROR = Juror(
    title="how much an image looks like an unmanipulated photo",
    licence="Apache-2.0",
    size=64,
    weights=str(WEIGHTS),
    weights_bytes=WEIGHTS.stat().st_size if WEIGHTS.exists() else None,
    load=PocketJuror,
    score_range=(0.0, 1.0),
)
