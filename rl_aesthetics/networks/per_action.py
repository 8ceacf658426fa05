"""Networks with an output for each action: the guide's CNN, Mnih's, IMPALA's, and published backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rl_aesthetics.networks.settings import HeadSettings

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Self


class SimpleCNN(HeadSettings):
    """The guide's simple CNN: three 5×5 convolutions with stride 2."""

    kind: Literal["simple_cnn"] = "simple_cnn"
    hidden: ClassVar[int] = 128

    def trunk(self, size: int) -> nn.Module:
        from rl_aesthetics.networks.trunks import plain_trunk

        return plain_trunk([(16, 5, 2), (32, 5, 2), (32, 5, 2)], size)


class AtariCNN(HeadSettings):
    """The network of Mnih et al., "Human-level control through deep reinforcement learning", Nature 518, 2015."""

    kind: Literal["atari_cnn"] = "atari_cnn"
    hidden: ClassVar[int] = 512

    def trunk(self, size: int) -> nn.Module:
        from rl_aesthetics.networks.trunks import plain_trunk

        return plain_trunk([(32, 8, 4), (64, 4, 2), (64, 3, 1)], size)


class Residual(HeadSettings):
    """The larger network of IMPALA (Espeholt et al., arXiv 1802.01561): three times a convolution, max pooling and two
    residual blocks, with 16, 32 and 32 channels."""

    kind: Literal["residual"] = "residual"
    hidden: ClassVar[int] = 256

    def trunk(self, size: int) -> nn.Module:
        from rl_aesthetics.networks.trunks import residual_trunk

        return residual_trunk()


class _Backbone(HeadSettings):
    """A backbone of `rl_aesthetics.networks.backbones`, which explains its options."""

    hidden: ClassVar[int] = 256
    pretrained: str | None = Field(None, description="folder or hub name of the weights that it begins with")
    frozen: bool = Field(False, description="leave the pretrained convolutions as they are")
    architecture: dict[str, Any] | None = Field(
        None, description="the backbone's configuration in place of the published one; of pretrained weights their own"
    )
    imagenet: bool | None = Field(
        None, description="normalise pixels as for ImageNet's classifiers; none does for pretrained weights"
    )

    @model_validator(mode="after")
    def _what_weights_bring(self) -> Self:
        if self.pretrained is not None and self.architecture is not None:
            raise ValueError("the architecture comes with the pretrained weights; leave it out")
        if self.frozen and self.pretrained is None and self.architecture is None:
            raise ValueError("frozen needs pretrained: random convolutions would stay random")
        return self

    @property
    def needs_files(self) -> bool:
        return self.pretrained is not None

    def portable(self) -> Self:
        from rl_aesthetics.networks.backbones import architecture_of

        if self.pretrained is None:
            return self
        architecture = architecture_of(self.kind, self.pretrained)
        imagenet = True if self.imagenet is None else self.imagenet
        return self.model_copy(update={"pretrained": None, "architecture": architecture, "imagenet": imagenet})

    def trunk(self, size: int) -> nn.Module:
        from rl_aesthetics.networks.backbones import BackboneTrunk

        return BackboneTrunk(self.kind, self.pretrained, self.frozen, self.architecture, self.imagenet)


class ResNet18(_Backbone):
    """ResNet18 (arXiv 1512.03385) from `transformers`, with or without pretrained weights, frozen or not."""

    kind: Literal["resnet18"] = "resnet18"


class EfficientNetB0(_Backbone):
    """EfficientNet-B0 (arXiv 1905.11946) from `transformers`, with or without pretrained weights, frozen or not."""

    kind: Literal["efficientnet_b0"] = "efficientnet_b0"
