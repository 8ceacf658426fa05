"""Who sees what: a visitor sees the own uploads only, and they are deleted after an hour.

A session is a random number in a signed cookie; nothing is kept for visitors who have not uploaded anything.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.studio.photo_episode import PhotoEpisode
from rl_aesthetics.studio.uploads import Upload
from rl_aesthetics.studio.worker import Job

COOKIE = "studio_session"


class StorageFull(Exception):
    """No room for another upload, of this visitor or at all. Says which."""


@dataclass
class Sitting:
    """One photo on the table: the episode, and what is being done to it.

    Attributes:
        key: names it in addresses.
        file: where the upload is; its size counts.
        agent, juror: what they are called, for people.
        job: the work under way, or the last one.
        goal: the score to beat, where a person plays against the agent.
        problem: what went wrong with it, one line.
    """

    key: str
    file: Upload
    bytes: int
    made: float
    agent: str = ""
    juror: str = ""
    episode: PhotoEpisode | None = None
    job: Job[Any] | None = None
    playing: bool = False
    goal: float | None = None
    problem: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def running(self) -> bool:
        """Whether something is being done to it."""
        return self.job is not None and not self.job.done

    @property
    def trouble(self) -> str:
        """What went wrong with it or with the last work on it, one line; empty if nothing did."""
        if self.problem or self.job is None or not self.job.done or self.job.future.cancelled():
            return self.problem
        error = self.job.future.exception()
        if error is None:
            return ""
        return str(error) if isinstance(error, UserError | ScoringError) else "The studio failed; its log says why"


class Sessions:
    """All visitors' uploads, in a private folder that goes with the process.

    Args:
        lifetime_s: an upload is deleted this long after it came.
        max_photos: of one visitor; the oldest goes when another one comes.
        max_bytes: of all uploads together.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        lifetime_s: float = 3600,
        max_photos: int = 12,
        max_bytes: int = 2_000_000_000,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.lifetime_s, self.max_photos, self.max_bytes, self.clock = lifetime_s, max_photos, max_bytes, clock
        self.folder = Path(tempfile.mkdtemp(prefix="rl-aesthetics-studio-"))  # mode 0700
        self._secret = secrets.token_bytes(32)
        self._sittings: dict[str, dict[str, Sitting]] = {}
        self._lock = threading.Lock()

    def new_session(self) -> tuple[str, str]:
        """A session for a visitor who has none, and its cookie."""
        name = secrets.token_urlsafe(24)
        return name, f"{name}.{self._sign('session', name)}"

    def name_of(self, cookie: str) -> str | None:
        """The session that a cookie names, None if it was not given out here."""
        name, _, signature = cookie.partition(".")
        return name if hmac.compare_digest(signature.encode(), self._sign("session", name).encode()) else None

    def form_token(self, session: str) -> str:
        """What forms of this session carry, so that no other site's form can be in its name."""
        return self._sign("form", session)

    def is_form_token(self, session: str, token: str) -> bool:
        """Whether a form is one of this session's."""
        return hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def _sign(self, purpose: str, name: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{name}".encode(), hashlib.sha256).hexdigest()[:32]

    def add(self, session: str, content: Path, name: str) -> Sitting:
        """Take an upload in: the file is moved into the private folder.

        Raises:
            StorageFull: all uploads together would take too much room.
        """
        size = content.stat().st_size
        self.sweep()
        with self._lock:
            if sum(s.bytes for those in self._sittings.values() for s in those.values()) + size > self.max_bytes:
                raise StorageFull("The studio holds as many photos as it can; come back within the hour.")
            own = self._sittings.setdefault(session, {})
            oldest = list(own.values())[: max(0, len(own) + 1 - self.max_photos)]
            key = secrets.token_urlsafe(9)
            path = self.folder / key
            shutil.move(content, path)
            sitting = Sitting(key, Upload(path, name), size, self.clock())
            own[key] = sitting
        for one in oldest:
            self.drop(session, one.key)
        return sitting

    def again(self, session: str, sitting: Sitting) -> Sitting:
        """The same photo once more, for another try; counts as another upload of no size and the same age."""
        with self._lock:
            another = Sitting(
                secrets.token_urlsafe(9), sitting.file, 0, sitting.made, agent=sitting.agent, juror=sitting.juror
            )
            self._sittings.setdefault(session, {})[another.key] = another
        return another

    def get(self, session: str, key: str) -> Sitting | None:
        """One of the visitor's own, None for anybody else's and for what is gone."""
        self.sweep()
        return self._sittings.get(session, {}).get(key)

    def all(self, session: str) -> list[Sitting]:
        """The visitor's own, newest first."""
        self.sweep()
        return list(self._sittings.get(session, {}).values())[::-1]

    def drop(self, session: str, key: str) -> None:
        """Delete one upload now; its file goes when no other try uses it."""
        with self._lock:
            own = self._sittings.get(session, {})
            sitting = own.pop(key, None)
            shared = any(sitting and other.file is sitting.file for other in own.values())
            if not own:
                self._sittings.pop(session, None)
        if sitting is not None:
            if sitting.job is not None:
                sitting.job.cancel()
            if not shared:
                sitting.file.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what has had its time."""
        limit = self.clock() - self.lifetime_s
        old = [
            (session, sitting.key)
            for session, own in list(self._sittings.items())
            for sitting in list(own.values())
            if sitting.made < limit
        ]
        for session, key in old:
            self.drop(session, key)

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
