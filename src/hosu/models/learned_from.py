"""What a served model learned from is kept: who wants to know why it says what it says must have its rows.

Training keeps the dataset of whatever may serve. A version promoted past its gate was not meant to, so its dataset is
made again at its promotion, from the facts in its card, and kept if it is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosu.errors import DatasetCorruptError, DatasetLostError, InputError, VersionGoneError
from hosu.features.dataset_files import is_kept, reproduce, save
from hosu.features.definitions import feature_set
from hosu.features.source import KernelSource

if TYPE_CHECKING:
    from hosu.lake.lake import Lake
    from hosu.models.history import Version


def keep_dataset(lake: Lake, version: Version) -> None:
    """Sees to it that the dataset of a version is kept, whole. A card that names none has none.

    Raises:
        DatasetLostError: what is kept is damaged; or none is, and the tables it was made of are not there as they
            were, or the features' code is another one, or the card does not say which.
        LakeReadOnlyError, LakeFullError, LakeUnreachableError, LakeRefusedError: the lake does not take it.
    """
    wanted, facts = version.card.get("dataset"), version.card.get("dataset_facts")
    if wanted is None or facts is None:
        return
    try:
        if is_kept(lake, wanted):
            return
        told = facts["definition"]
        source = KernelSource(feature_set(told["features"]["set"]), told["interval"], told["scope"])
        save(lake, reproduce(lake, facts, source))
    except (InputError, VersionGoneError, DatasetCorruptError) as error:
        raise DatasetLostError(version.model, version.version, str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # a card is JSON, and may hold anything
        cause = f"its card does not say of what it was made: {type(error).__name__} {error}"
        raise DatasetLostError(version.model, version.version, cause) from error
