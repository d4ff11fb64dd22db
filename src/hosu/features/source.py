"""The kernel as a dataset's source of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hosu.features import grid, kernel
from hosu.features.batch import indicators

if TYPE_CHECKING:
    from hosu.features.definitions import FeatureSet
    from hosu.features.followed import Followed
    from hosu.features.panel import BarPanel, Floats


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A ``dataset_definition.FeatureSource`` of one feature set.

    Minutes are stepped with their empty ones, as the stream steps them, whichever of them become rows.
    """

    features: FeatureSet
    interval: str = "day"
    scope: str = "KRX"

    @property
    def name(self) -> str:
        return self.features.name

    @property
    def version(self) -> int:
        return kernel.VERSION

    @property
    def names(self) -> tuple[str, ...]:
        return self.features.features

    @property
    def revision(self) -> str:
        """The kernel's version; it is raised with every change of a formula. Of minutes the grid's too."""
        steps = f" grid/{grid.REVISION}" if self.interval == "minute" else ""
        return f"kernel/{kernel.VERSION}{steps}"

    def compute(self, panel: BarPanel, followed: Followed | None = None) -> Floats:
        """(n, k) features of the panel's rows; NaN is null. ``followed``: as ``grid.filled``."""
        if self.interval == "day":
            return self.features.make(indicators(panel), panel.close / 100.0)
        bars, places = grid.filled(panel, followed, self.scope)
        return self.features.make(indicators(bars)[places], panel.close / 100.0)

    def of_outputs(self, outputs: Floats, close: Floats) -> Floats:
        """(n, k) features of what the kernel gave, at closes in won."""
        return self.features.make(outputs, close)
