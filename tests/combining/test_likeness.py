# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A frame that is shifted, or of another shape, is named."""

import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation


def moved(frame, rows, axis) -> CCDData:
    data, sigma = (np.roll(image, rows, axis) for image in (frame.data, frame.uncertainty.array))
    return CCDData(data, unit=frame.unit, uncertainty=StdDevUncertainty(sigma))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("n_frames", "which", "rows"), [(4, 2, 3), (7, 5, -2), (14, 12, 1)])
def test_a_shifted_frame(axis, n_frames, which, rows):
    sim = EchelleSimulation(
        shape=(200, 220), n_orders=4, seed=3, dispersion_axis=axis).with_level_spread(0.2)
    frames = sim.flats(n_frames)
    frames[which] = moved(frames[which], rows, 1 - axis)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        two_pass_flat_combine(frames, sim.truth.orders)
    message, = (str(w.message) for w in found if "shifted relative to" in str(w.message))
    names = [part.split()[-3:] for part in message.split(": ")[1].split(" pixels;")[0].split(", ")]
    assert [name[0] for name in names] == [str(which)]
    assert float(names[0][2]) == pytest.approx(rows, abs=0.2)


def test_of_two_frames_both_are_named():
    sim = EchelleSimulation(shape=(200, 220), n_orders=4, seed=4)
    one, two = sim.flats(2)
    with pytest.warns(AstropyUserWarning) as found:
        two_pass_flat_combine([one, moved(two, 3, 0)], sim.truth.orders)
    assert any("frame 0 by -1.5, frame 1 by +1.5 pixels" in str(w.message) for w in found)


def test_a_small_flexure_is_left_to_the_vetting():
    sim = EchelleSimulation(shape=(200, 220), n_orders=4, seed=4)
    one, two, three = sim.flats(3)
    blended = (0.8 * two.data + 0.2 * moved(two, 1, 0).data).astype("f4")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        two_pass_flat_combine([one, CCDData(blended, unit="adu"), three], sim.truth.orders)
    assert not any("shifted" in str(w.message) for w in found)


def test_a_frame_that_is_saturated():
    sim = EchelleSimulation(shape=(200, 220), n_orders=4, seed=3)
    frames = sim.flats(4)
    limit = np.quantile(frames[1].data, 0.95)
    frames[1] = CCDData(
        np.minimum(frames[1].data, limit), unit="adu", uncertainty=frames[1].uncertainty)
    with pytest.warns(AstropyUserWarning, match="parts of the orders .* others: frame 1 by"):
        two_pass_flat_combine(frames, sim.truth.orders)


def test_one_of_many_frames_with_another_shape():
    sim = EchelleSimulation(shape=(200, 220), n_orders=4, seed=6)
    frames = sim.flats(40)  # of so many, few columns are examined
    frames[30].data[:, :110] *= 0.7
    with pytest.warns(AstropyUserWarning, match="differ from those of the others: frame 30 by"):
        two_pass_flat_combine(frames, sim.truth.orders)
