"""What a Q-network can be told, and how it is built of that: a class for each kind, which checks itself.

Reading settings must be quick, so nothing here imports torch; `build` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

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

        return HeadPerAction(actions, size, self.trunk(size), self.hidden, self)


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

        return Afterstate(actions, size, self)


class ToneSettings(HeadSettings):
    """What decides about tone and colour: statistics of both, and layers over them. For the photographic edits."""

    kind: Literal["tone"] = "tone"
    hidden: ClassVar[int] = 128
    widths: tuple[int, ...] = Field((32, 64, 96, 128), description="channels of convolutions beside the statistics")
    histograms: tuple[int, ...] = Field((), description="widths of layers over histograms of the colours")
    quantiles: bool = Field(False, description="quantiles of light, colour ratios and edges beside the histograms")
    edits: bool = Field(False, description="which edits were made, from a fourth channel of the observation")
    strengths: bool = Field(False, description="learn what is still wrong with the photo beside the values")
    members: int = Field(1, ge=1, description="networks that learn side by side; a value is the mean of theirs")
    dropout: float = Field(0.0, ge=0, le=1, description="share of the statistics that is left out when learning")
    value_scale: float = Field(1.0, gt=0, description="what outputs are divided by: rewards are hundredths")
    mirror: bool = Field(False, description="once trained, let the convolutions look at the mirror image, too")
    change_limit: float = Field(
        1.0, gt=0, le=1, description="change of the photo whose price is computed, not learned; filled in by the reward"
    )
    change_price: float = Field(1.0, ge=0, description="what more change costs; filled in by the reward")

    @field_validator("histograms", mode="before")
    @classmethod
    def _switched_on(cls, given: object) -> object:
        return {True: (64,), False: ()}[given] if isinstance(given, bool) else given

    @model_validator(mode="after")
    def _what_it_sees(self) -> Self:
        if not self.widths and not self.histograms:
            raise ValueError("it sees nothing: give widths or histograms")
        if (self.quantiles or self.edits) and not self.histograms:
            raise ValueError("quantiles and edits stand beside histograms; give widths of their layers")
        if self.change_limit < 1 and not self.edits:
            raise ValueError("the price of change is computed from the edits so far: it needs edits")
        if self.members > 1 and self.widths:
            raise ValueError("members share what is described beforehand; they need widths=[]")
        if (self.strengths or self.members > 1) and (self.num_atoms > 1 or self.dueling):
            raise ValueError("strengths and members go with plain values: no atoms, not dueling")
        return self

    @property
    def channels(self) -> int:
        return 4 if self.edits else 3

    def build(self, actions: Sequence[str], size: int) -> QNetwork:
        from rl_aesthetics.networks.tone import Tone

        return Tone(actions, size, self)
