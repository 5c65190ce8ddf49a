# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames derived from others, whose rows are computed on demand."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u

from ccdproc_echelle.frames.views import Frame, Metadata

__all__ = ["DerivedFrame"]


@dataclass(frozen=True, eq=False)
class DerivedFrame(Frame):
    """
    A frame derived from another one, from which it takes everything that it does not change.

    Parameters
    ----------
    raw : `Frame`
        The other frame.
    """

    raw: Frame

    @property
    def name(self) -> str:
        return self.raw.name

    @property
    def shape(self) -> tuple[int, int]:
        return self.raw.shape

    @property
    def unit(self) -> u.UnitBase:
        return self.raw.unit

    @property
    def dtype(self) -> np.dtype:
        return self.raw.dtype

    @property
    def uncertainty_type(self) -> type | None:
        return self.raw.uncertainty_type

    @property
    def quantum(self) -> float:
        return self.raw.quantum

    @property
    def header(self) -> Any:
        return self.raw.header

    @property
    def as_read(self) -> Frame:
        return self.raw.as_read

    @property
    def source(self) -> Hashable:
        return self.raw.source

    @property
    def file(self) -> str | None:
        return self.raw.file

    @property
    def illegal_cards(self) -> list[str]:
        return self.raw.illegal_cards

    def load(self) -> Self:
        return replace(self, raw=self.raw.load())

    def without_uncertainty(self) -> Self:
        return replace(self, raw=self.raw.without_uncertainty())

    def unpacked(self, path: Path) -> Self:
        return replace(self, raw=self.raw.unpacked(path))

    def metadata(self) -> Metadata:
        return self.raw.metadata()
