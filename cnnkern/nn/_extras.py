# SPDX-License-Identifier: BSD-3-Clause
"""What every convolution layer has beyond torch's: a fused activation and a choice of algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..functional import _arguments as arguments

if TYPE_CHECKING:
    from torch.nn.modules.conv import _ConvNd as _Base
else:
    _Base = object


class Extras(_Base):
    """Comes before torch's class among the bases."""

    # On the class too, so that modules pickled without them have torch's behaviour.
    activation: str | None = None
    algorithm: str = "auto"

    def _check_extras(self, activation: str | None, algorithm: str) -> None:
        name = type(self).__name__
        arguments.is_relu(name, activation)
        arguments.known_algorithm(name, algorithm)

    def _activation_text(self) -> str:
        return "" if self.activation is None else f", activation={self.activation}"

    def extra_repr(self) -> str:
        """Describes the layer as torch does, then what is not torch's default."""
        text: str = super().extra_repr()  # type: ignore[no-untyped-call]
        text += self._activation_text()
        if self.algorithm != "auto":
            text += f", algorithm={self.algorithm}"
        return text
