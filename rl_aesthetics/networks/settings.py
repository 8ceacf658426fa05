"""What a Q-network can be told, and how it is built of that: a class for each kind, which checks itself.

Reading settings must be quick, so nothing here imports torch; `build` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Self

    from rl_aesthetics.networks.q_network import QNetwork


class NetworkSettings(BaseModel):
    """What every network's settings have.

    Attributes:
        kind: the network's name, a `Literal` in each class; listed in `registry.py`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    @property
    def channels(self) -> int:
        """Of the observations: 3, or 4 where the network sees which edits were made (`photographic.edits_plane`)."""
        return 3

    @property
    def explores(self) -> bool:
        """Whether the network's own noise takes the place of random actions."""
        return False

    @property
    def needs_files(self) -> bool:
        """Whether files besides the network's own weights say what it is."""
        return False

    def portable(self) -> Self:
        """The settings of the same network whose weights are at hand: what it begins as is no longer said.

        What an agent file and rollout workers are told.

        Raises:
            UserError: files that say what the network is cannot be had.
        """
        return self

    def unlike(self, other: NetworkSettings) -> str:
        """What differs between this network and another one, for messages; nothing if they are the same."""
        if self.kind != other.kind:
            return f"{self.kind}, not {other.kind}"
        theirs = other.model_dump()
        changed = [(name, value, theirs[name]) for name, value in self.model_dump().items() if value != theirs[name]]
        return ", ".join(f"{self.kind}.{name}={value}, not {their}" for name, value, their in changed)

    def build(self, actions: Sequence[str], size: int) -> QNetwork:
        """The network with new weights.

        Args:
            actions: canonical names in the order of the action indices, `STOP` last or not at all.
            size: side S of the square observation.

        Raises:
            UserError: there is no such network for observations of that size, or pretrained weights cannot be had.
        """
        raise NotImplementedError


class HeadSettings(NetworkSettings):
    """A network with an output for each action: features, then a head."""

    hidden: ClassVar[int]
    """Width of the head's hidden layer."""

    dueling: bool = Field(False, description="one stream for the state's value, one for the actions' advantages")
    num_atoms: int = Field(1, ge=1, description="more than 1 learns the return's distribution on so many values (C51)")
    value_support: tuple[float, float] | None = Field(
        None, description="the least and the greatest of these values; none derives them from reward and juror"
    )
    noisy: bool = Field(False, description="learned noise on the head's weights explores, in place of epsilon")

    @property
    def explores(self) -> bool:
        return self.noisy

    @model_validator(mode="after")
    def _support_of_atoms(self) -> Self:
        if self.value_support is None:
            return self
        if self.num_atoms == 1:
            raise ValueError("value_support needs num_atoms above 1, such as 51")
        if self.value_support[0] >= self.value_support[1]:
            raise ValueError("value_support must be [LOW, HIGH] with LOW below HIGH")
        return self

    def trunk(self, size: int) -> nn.Module:
        """From uint8 `(B, C, S, S)` to features, float32 `(B, F)`."""
        raise NotImplementedError

    def build(self, actions: Sequence[str], size: int) -> QNetwork:
        from rl_aesthetics.networks.q_network import HeadPerAction

        return HeadPerAction(
            actions,
            size,
            self.trunk(size),
            self.hidden,
            dueling=self.dueling,
            num_atoms=self.num_atoms,
            value_support=self.value_support,
            noisy=self.noisy,
        )


class AfterstateSettings(NetworkSettings):
    """An afterstate network (Sutton and Barto, section 6.8): one function of what an action leads to, shared by all
    actions, without a head for each."""

    kind: Literal["afterstate"] = "afterstate"
    widths: tuple[int, ...] | None = Field(
        None, min_length=1, description="channels of its convolutions; none takes narrow ones, or those of warm_start"
    )
    value_range: tuple[float, float] | Literal["auto"] | None = Field(
        None,
        description="the least and the greatest value there can be: values are then learned by cross-entropy on that "
        "range; 'auto' derives it from reward and juror",
    )
    values_include_score: bool | None = Field(
        None, description="learn Q + score in place of Q; none does where the reward allows it"
    )
    mirror: bool = Field(False, description="once trained, look at the mirror image, too: twice the time")
    warm_start: bool = Field(False, description="begin as the pocket juror, whose convolutions are of the same shape")

    @field_validator("value_range")
    @classmethod
    def _low_below_high(cls, given: tuple[float, float] | str | None) -> tuple[float, float] | str | None:
        if isinstance(given, tuple) and given[0] >= given[1]:
            raise ValueError("must be [LOW, HIGH] with LOW below HIGH")
        return given

    @property
    def includes_score(self) -> bool:
        """Whether values are Q + score."""
        return self.values_include_score is not False

    def portable(self) -> Self:
        return self.model_copy(update={"warm_start": False})

    def build(self, actions: Sequence[str], size: int) -> QNetwork:
        from rl_aesthetics.networks.afterstate import Afterstate

        if self.value_range == "auto":
            raise ValueError("value_range: auto is settled where reward and juror are known")
        return Afterstate(
            actions,
            size,
            widths=self.widths,
            value_range=self.value_range,
            values_include_score=self.includes_score,
            mirror=self.mirror,
        )


class ToneSettings(NetworkSettings):
    """What decides about tone and colour, for the photographic edits: statistics of both and the edits made so far,
    which a fourth channel of the observation says, and layers over them. Beside the values it learns what is still
    wrong."""

    kind: Literal["tone"] = "tone"
    histograms: tuple[int, ...] = Field(
        (256, 256), min_length=1, description="widths of the layers over histograms, quantiles and edits"
    )
    members: int = Field(
        2,
        ge=1,
        description="networks that learn side by side, whose mean is the value: what one makes up of an unknown photo "
        "the others do not",
    )
    dropout: float = Field(
        0.3, ge=0, le=1, description="share of the statistics left out when learning: they, too, tell which photo it is"
    )
    value_scale: float = Field(10.0, gt=0, description="what outputs are divided by: rewards are hundredths")
    change_limit: float = Field(
        1.0, gt=0, le=1, description="change of the photo whose price is computed, not learned; filled in by the reward"
    )
    change_price: float = Field(1.0, ge=0, description="what more change costs; filled in by the reward")

    @model_validator(mode="before")
    @classmethod
    def _switches_of_the_last_format(cls, tree: Any) -> Any:
        """What could be turned off, and no longer can; whatever mirrored images went into is gone."""
        if not isinstance(tree, dict):
            return tree
        tree = {name: value for name, value in tree.items() if name != "mirror"}
        if tree.pop("widths", None) or not all(tree.pop(name, True) for name in ("quantiles", "edits", "strengths")):
            raise ValueError(
                "it has no convolutions any more, and always quantiles, edits and strengths: earlier ones that "
                "were trained otherwise cannot be read"
            )
        return tree

    @property
    def channels(self) -> int:
        return 4

    def build(self, actions: Sequence[str], size: int) -> QNetwork:
        from rl_aesthetics.networks.tone_network import Tone

        options = self.model_dump(exclude={"kind"})
        return Tone(actions, size, **options)
