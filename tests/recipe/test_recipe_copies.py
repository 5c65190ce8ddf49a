# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the recipe does with copies of flats, and of bias and dark frames."""

import pytest

from ccdproc_echelle import accepted_frames, make_master_flat, vet_frames
from ccdproc_echelle.simulation import EchelleSimulation

SIM = EchelleSimulation(shape=(128, 160), n_orders=3, seed=4).with_bias(300)
ORDERS = SIM.truth.orders
SMALL = EchelleSimulation(shape=(120, 128), n_orders=2, seed=4)
SETTINGS = dict(gain=1, read_noise=4, scattered_light=None)


def test_copies_do_not_outvote_the_others():
    flats = SMALL.flats(3)
    copies = flats[0].copy(), flats[0].copy()
    table = vet_frames([flats[0], *copies, *flats[1:]], SMALL.truth.orders)
    assert [v.split(":")[0] for v in table["verdict"]] == [
        "", "a copy of frame 0", "a copy of frame 0", "", ""]


def test_more_copies_than_frames_can_be_left_out():
    flat, other = SMALL.flats(2)
    table = vet_frames([flat, *[flat.copy() for _ in range(4)], other], SMALL.truth.orders)
    with pytest.warns(UserWarning, match="a copy of frame 0.*they are left out"):
        assert accepted_frames(table, "drop").tolist() == [True, *[False] * 4, True]


@pytest.mark.parametrize(("reject", "n_used"), [("drop", 3), ("warn", 4)])
def test_flats(reject, n_used):
    flats, darks = SIM.flats(3, raw=True), SIM.darks(3, raw=True)
    with pytest.warns(UserWarning, match="frame 3 does not belong .* a copy of frame 0"):
        master = make_master_flat(
            [*flats, flats[0].copy()], ORDERS, dark=darks, reject=reject, **SETTINGS)
    assert len(master.levels) == n_used
    assert master.vetting["used"].tolist() == [True] * 3 + [reject == "warn"]
    assert master.vetting["verdict"][3].startswith("a copy of frame 0:")


@pytest.mark.parametrize("kind", ["flats", "darks"])
def test_they_can_be_refused(kind):
    flats, darks = SIM.flats(3, raw=True), SIM.darks(3, raw=True)
    frames = flats if kind == "flats" else darks
    frames.append(frames[1].copy())
    with pytest.raises(ValueError, match="frame 3 does not belong .* a copy of .*frame 1"):
        make_master_flat(flats, ORDERS, dark=darks, reject="error", **SETTINGS)


def test_a_copy_among_the_darks_is_left_out():
    flats, darks = SIM.flats(3, raw=True), SIM.darks(3, raw=True)
    expected = make_master_flat(flats, ORDERS, dark=darks, reject="drop", **SETTINGS)
    with pytest.warns(UserWarning, match="a copy of dark frame 2: .*; it is left out"):
        found = make_master_flat(
            flats, ORDERS, dark=[*darks, darks[2].copy()], reject="drop", **SETTINGS)
    assert (found.flat.uncertainty.array == expected.flat.uncertainty.array).all()
    with pytest.warns(UserWarning, match="dark frame 3 is a copy of dark frame 2:"):
        make_master_flat(flats, ORDERS, dark=[*darks, darks[2].copy()], **SETTINGS)


def test_each_cause_has_one_warning():
    """Flats are calibrated again once their noise is measured, and all have the same dark."""
    simulation = EchelleSimulation(shape=(300, 256), n_orders=4).with_bias(300)
    flats, darks = simulation.flats(4, raw=True), simulation.darks(3, raw=True)
    for frame in [*flats, *darks]:
        frame.uncertainty = None
    for dark in darks:
        dark.header["EXPTIME"] = 20.0
    with pytest.warns(UserWarning, match="flats were exposed for 10 s, the dark for 20 s") as told:
        make_master_flat(flats, simulation.truth.orders, dark=darks)
    assert len(told) == 1
    for dark in darks:
        dark.data = dark.data + 50
        del dark.header["EXPTIME"]
    with pytest.warns(UserWarning) as told:
        make_master_flat(flats, simulation.truth.orders, dark=darks, scale_dark=False)
    negative = [one for one in told if "negative by more than its noise" in str(one.message)]
    assert len(negative) == 1
    assert str(negative[0].message).startswith("frame 0 and 3 others: ")


@pytest.mark.parametrize("role", ["bias", "dark"])
def test_a_frame_of_two_kinds_is_refused(role, tmp_path):
    """As where a pattern of a calibration frame matches the flats as well."""
    simulation = EchelleSimulation(shape=(64, 64), n_orders=2).with_bias(300)
    flats, darks = simulation.write(tmp_path, 3, 2)
    with pytest.raises(ValueError, match=rf"flat_01\.fits is given as flat and as {role}"):
        make_master_flat(flats, simulation.truth.orders, **{role: [*darks, flats[0]]})
