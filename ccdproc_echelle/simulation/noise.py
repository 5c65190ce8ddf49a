# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Noise drawn from the expected counts: photon noise and read noise."""

from dataclasses import dataclass

import numpy as np

from ccdproc_echelle.simulation.checks import check

__all__ = ["NOISE_STREAMS", "Noise"]

# Random streams of the photons and of the read noise; see `layers.Layer.streams`.
NOISE_STREAMS = {"flat": (7, 8), "dark": (9, 10), "bias": (11, 12)}


@dataclass(frozen=True)
class Noise:
    """Photon noise and read noise."""

    gain: float = 1.0
    read_noise: float = 4.0
    drawn: bool = True

    def __post_init__(self):
        check("gain", self.gain, np.finfo(float).tiny)
        check("read_noise", self.read_noise, 0)

    def sigma(self, counts):
        """Noise model: standard deviation in adu for counts above the bias."""
        return np.sqrt(np.maximum(counts, 0) * self.gain + self.read_noise**2) / self.gain

    def draw(self, counts, scene, exposure):
        """Observed counts above the bias, drawn from the expected ones."""
        if not self.drawn:
            return counts
        photon_rng, read_rng = (
            scene.rng(stream, exposure.index) for stream in NOISE_STREAMS[exposure.kind]
        )
        electrons = photon_rng.poisson(counts * self.gain)
        return (electrons + self.read_noise * read_rng.standard_normal(counts.shape)) / self.gain
