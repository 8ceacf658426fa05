"""An episode on a user's photo that can be watched, taken back, steered and played by hand.

`rl_aesthetics.enhance.enhance` opens the same session and lets the agent go on to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.agents.edit_session import WHY, EditSession, Look, Stopped
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.enhance.enhance import editable, finish, open_session, usable_scorer
from rl_aesthetics.enhance.results import describe_session
from rl_aesthetics.photos.resize import eight_bits
from rl_aesthetics.photos.write import encode_photo
from rl_aesthetics.scores.scorer import Scorer
from rl_aesthetics.studio.uploads import Upload


class PhotoEpisode:
    """The edits of one photo, from the first look on.

    Args:
        agent: whose values are shown and who goes on when asked to.
        scorer: who keeps the score; decides nothing. Nobody does where it is None, or compares with originals, which a
            user's photo has not.
        photo: loaded when the first look is taken.
    """

    def __init__(self, agent: DQNAgent, scorer: Scorer | None, photo: Upload):
        self.agent, self.photo, self.scorer = agent, photo, usable_scorer(scorer)
        self.space = edit_space(agent.actions)
        self._session: EditSession | None = None

    @property
    def session(self) -> EditSession:
        """The walk of the photo; `begin` it first."""
        if self._session is None:
            raise RuntimeError("begin the episode first")
        return self._session

    @property
    def looks(self) -> list[Look]:
        """The photo as it came and after each edit; none before it began."""
        return [] if self._session is None else self._session.looks[0]

    @property
    def stopped(self) -> Stopped | None:
        """Why there is no further step, a key of `WHY`; None while there may be."""
        return None if self._session is None else self._session.stopped[0]

    @property
    def edits(self) -> tuple[str, ...]:
        """Names of the edits so far, in order."""
        return self.session.edits()

    def begin(self) -> None:
        """Decode the photo and take the first look.

        Raises:
            PhotoError: it cannot be decoded.
            ScoringError: the juror cannot answer.
        """
        even, sizes = self.space.needs_even_sides, [self.agent.size]
        if self.scorer is not None:
            sizes.append(self.scorer.size)
        self.photo.load(sizes, even)
        self._session = open_session(
            self.agent,
            self.scorer,
            self.space,
            lambda size: self.photo.reduction(size, even),
            lambda: eight_bits(editable(self.space, self.photo.pixels())),
        )

    def go_on(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Let the agent edit until it stops, as many steps as it was trained for, or the first repetition.

        It may go back to what the photo was before a person's last edit: that is how it takes a mistake back.
        """
        self.session.run(self.agent.description.max_steps, until_repeat=True, cancelled=cancelled)

    def apply(self, edit: str) -> None:
        """Apply an edit of one's own choice; `STOP` says that it is done.

        Raises:
            UserError: the agent has no such edit.
        """
        self.session.apply(edit)

    def undo(self) -> None:
        """Take the last edit back; without an edit, nothing happens."""
        self.session.go_back(len(self.looks) - 2)

    def go_back(self, step: int) -> None:
        """Take back everything after the given number of edits."""
        self.session.go_back(step)

    def why(self) -> str:
        """Why there is no further step, with STOP's value beside the best alternative's; empty while there may be."""
        if (stopped := self.stopped) is None:
            return ""
        said = f"{WHY[stopped][0].upper()}{WHY[stopped][1:]}"
        if stopped == "you":
            return f"{said}."
        values = self.looks[-1].values
        edits = {edit: value for edit, value in values.items() if edit != STOP}
        best = max(edits, key=edits.__getitem__)
        alternative = f"the best edit, {TRANSFORMS[best].title}, with {edits[best]:+.3f}"
        if stopped == "STOP":
            return f"{said}: it expects {values[STOP]:+.3f} of stopping here and less of {alternative}."
        if stopped == "repeats":
            return f"{said}: {TRANSFORMS[best].title} ({edits[best]:+.3f}), which it cannot know; it sees no past."
        stop = f"; STOP stood at {values[STOP]:+.3f}" if STOP in values else ""
        return f"{said} ({self.agent.description.max_steps}). It would have gone on to {alternative}{stop}."

    def rendered(self, step: int) -> np.ndarray:
        """The display copy after some edits, uint8 BGR."""
        return self.space.render(self.photo.display_HWC, self.looks[step].state)

    def full_size(self) -> np.ndarray:
        """Every pixel of the original, edited; whole where nothing was done. BGR `(H, W, 3)` of the photo's own depth,
        8 bits where the edits know no more."""
        pixels_HWC = self.photo.pixels()
        return finish(self.session, pixels_HWC if self.space.renders_16_bits else eight_bits(pixels_HWC))

    def download(self, suffix: str) -> bytes:
        """The result as a file, with the photo's EXIF block and colour profile, as `enhance` writes it.

        Args:
            suffix: `.png` and `.tif` keep the depth, `.jpg` has 8 bits.
        """
        return encode_photo(self.full_size(), suffix, self.photo.exif(), self.photo.header.icc_profile)

    def recipe(self) -> dict[str, Any]:
        """What was done, by whom, what the agent expected and what the juror said, for JSON; `enhance --apply` does it
        again."""
        return {
            "photo": self.photo.name,
            **describe_session(
                self.edits,
                self.session.steps(),
                (self.looks[0].score, self.looks[-1].score),
                self.stopped,
                self.why(),
                "" if self.scorer is None else self.scorer.fingerprint,
                self.agent.description.juror,
            ),
        }
