"""Any juror behind the HTTP service (`rl-aesthetics juror serve`), as a `Scorer`."""

from __future__ import annotations

import httpx
import numpy as np

from juror_service.http.client import JurorClient
from juror_service.jurors.registry import Juror
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.scores.scorer import Images


class RemoteJuror:
    """A `Scorer` that asks a service. Picklable; may be called from several threads.

    Attributes:
        size: what the service's juror looks at.
        fingerprint: the service's juror's own, so that scores are comparable however they were had.
        device: the service's address, where a local juror names what it computes on.
    """

    def __init__(self, url: str = "http://localhost:5010", token: str | None = None, timeout_s: float = 30.0):
        """Ask the service which juror it has.

        Args:
            url: where the service is.
            token: its bearer token; `JUROR_TOKEN` of the environment if left out.
            timeout_s: how long a call may take, retries included.

        Raises:
            UserError: there is no juror at that address, or it does not let us in.
        """
        self._arguments = (url, token, timeout_s)
        if not httpx.URL(url).is_absolute_url:
            raise UserError(f"juror 'remote' needs url=http://HOST:PORT, got {url!r}")
        self._client, self.device = JurorClient(url, token, timeout_s), url
        try:
            info = self._client.describe()
        except ScoringError as error:
            raise UserError(
                f"no juror answers at {url}: {error}; start one with `rl-aesthetics juror serve`"
            ) from error
        self.size, self.fingerprint = info.size, info.fingerprint

    def __reduce__(self):
        return type(self), self._arguments

    def score(self, images: Images) -> np.ndarray:
        """Scores float32 `(B,)` of uint8 RGB images `(size, size, 3)`.

        Raises:
            ValueError: an image of another shape or type.
            ScoringError: no answer, see `JurorClient.score`, or the service has another juror now.
        """
        answer = self._client.score_with_fingerprint(images)
        if answer.fingerprint != self.fingerprint:
            raise ScoringError(f"the juror at {self._client.url} was {self.fingerprint}, is {answer.fingerprint} now")
        return answer.scores_B


JUROR = Juror(
    title="whatever the juror behind an HTTP service judges",
    licence="its own",
    size=0,
    weights="at its option url, http://localhost:5010 by default",
    weights_bytes=None,
    load=RemoteJuror,
)
