# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Damage as many files as time allows: does a reader either answer or refuse with one clear error?

Valid files of each order-table format, FITS frames and a master flat are damaged at random: bytes
and bits are changed, pieces cut, doubled or moved, and numbers replaced by hostile ones. Findings,
whose files are kept, are any exception other than ValueError, TypeError or OSError, a crash, an
answer that takes longer than ten seconds, and more memory than a small file can need.

    python benchmarks/fuzz.py --seconds 600 --target iraf --keep findings
"""

import argparse
import random
import re
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from ccdproc_echelle import EchelleOrderTable, MasterFlat, combine_frames, make_master_flat
from ccdproc_echelle.orders import FORMATS, able_formats
from ccdproc_echelle.simulation import EchelleSimulation

_LONGEST = 10  # seconds for one file
_MEMORY = 3_000_000_000  # bytes, of which the imports take a tenth
_HOSTILE_NUMBERS = [
    b"0", b"-1", b"1", b"nan", b"inf", b"-inf", b"1e308", b"-1e308", b"99999999999", b"1e-320",
    b"0.5", b"2147483648", b"4294967296", b"9223372036854775807", b"", b"'", b"T", b"999999",
]
_CARRY_SHAPE = ("pypeit", "cr2res")
_EXPECTED = (ValueError, TypeError, OSError)


# ---------------------------------------------------------------------- valid files


def _orders() -> EchelleOrderTable:
    centers = np.array([[20, 0.05, 1e-4], [45, 0.06, 1e-4], [75, 0.05, 2e-4]])
    shift = np.array([6.0, 0, 0])
    return EchelleOrderTable.from_polynomials(
        [11, 12, 13], centers, lower=centers - shift, upper=centers + shift,
        shape=(120, 100), dispersion_axis=1,
    )


def _pyreduce(path: Path) -> None:
    coefficients = np.array([[1e-4, 0.05, 20], [1e-4, 0.06, 45.0]])
    with open(path, "wb") as file:
        np.savez(file, orders=coefficients, column_range=np.array([[0, 100], [5, 95]]))


def _pypeit(path: Path) -> None:
    left = np.array([[14.0], [40.0]]) + np.linspace(0, 3, 100)
    ends = np.full(2, np.inf)
    hdu = fits.BinTableHDU(
        Table({
            "spat_id": [20, 46], "ech_order": [11, 12], "left_init": left, "right_init": left + 12,
            "mask": [0, 0], "specmin": -ends, "specmax": ends,
        }),
        name="SLITS",
    )
    hdu.header.update({"PYPELINE": "Echelle", "NSPEC": 100, "NSPAT": 120, "NSLITS": 2, "PAD": 0})
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _cr2res(path: Path) -> None:
    centers = np.array([[20, 0.05, 1e-4], [45, 0.06, 1e-4]])
    columns = {
        name: centers + [offset, 0, 0]
        for name, offset in (("All", 0), ("Upper", 6), ("Lower", -6))
    }
    table = Table({"Order": [11, 12], "TraceNb": [1, 1], **columns})
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="CHIP1.INT1")]).writeto(path)


def _kpf(path: Path) -> None:
    path.write_text(
        ",Coeff0,Coeff1,Coeff2,Coeff3,BottomEdge,TopEdge,X1,X2\n"
        "0,20.0,0.05,0.0001,0.0,6.0,6.5,0,99\n1,45.0,0.06,0.0001,0.0,6.0,6.5,0,99\n"
    )


def _maroonx(path: Path) -> None:
    table = Table({"91": [1e-4, 0.05, 20, 1e-4, 0.06, 32], "92": [1e-4, 0.05, 60, 1e-4, 0.06, 72]})
    fits.HDUList([
        fits.PrimaryHDU(), fits.ImageHDU(np.zeros((120, 100), np.float32), name="SCI"),
        fits.BinTableHDU(table, name="STRIPES_ID"),
        fits.ImageHDU(np.array([2, 3]), name="STRIPES_FIBERS"),
    ]).writeto(path)


def _frame(path: Path) -> None:
    frame = EchelleSimulation(shape=(32, 40), n_orders=1).flats(1)[0]
    frame.mask = np.zeros(frame.shape, dtype=bool)
    frame.write(path, format="fits")


def _compressed_frame(path: Path) -> None:
    frame = EchelleSimulation(shape=(32, 40), n_orders=1).flats(1, raw=True)[0]
    header = fits.Header({"BUNIT": "adu"})
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(frame.data, header)]).writeto(path)


def _master(path: Path) -> None:
    simulation = EchelleSimulation(shape=(128, 160), n_orders=3, seed=5)
    make_master_flat(simulation.flats(3), simulation.truth.orders).write(path)


_MAKERS = {
    "pyreduce": _pyreduce, "pypeit": _pypeit, "cr2res": _cr2res, "kpf": _kpf,
    "maroonx": _maroonx, "frame": _frame, "compressed frame": _compressed_frame, "master": _master,
}


def _valid_file(target: str, path: Path) -> bytes:
    if target in _MAKERS:
        _MAKERS[target](path)
    else:
        _orders().write(path, format=target, overwrite=True)
    content = path.read_bytes()
    path.unlink()
    return content


# ---------------------------------------------------------------------- damage


def _damaged(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        rng.choice(_DAMAGES)(data, rng)
    return bytes(data)


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start : start + rng.randint(1, 16)] = rng.randbytes(rng.randint(1, 16))


def _cut(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + int(rng.expovariate(1 / 200)) + 1]


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _double(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + int(rng.expovariate(1 / 300)) + 1]
    place = rng.randrange(len(data) + 1)
    data[place:place] = piece


def _change_number(data: bytearray, rng: random.Random) -> None:
    """The same length where it can be: headers and tables keep their places."""
    found = list(re.finditer(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?", bytes(data[:20_000])))
    if found:
        where, number = rng.choice(found), rng.choice(_HOSTILE_NUMBERS)
        data[where.start() : where.end()] = number.rjust(where.end() - where.start())


def _change_letter(data: bytearray, rng: random.Random) -> None:
    found = list(re.finditer(rb"[A-Za-z]", bytes(data[:20_000])))
    if found:
        data[rng.choice(found).start()] = rng.choice(b"ABXYZaeinx \n=',0")


_DAMAGES = [
    _flip, _flip, _overwrite, _cut, _truncate, _double, _change_number, _change_number,
    _change_number, _change_letter,
]


# ---------------------------------------------------------------------- trials


def _read(target: str, path: Path) -> None:
    if target == "master":
        MasterFlat.read(path)
    elif target in ("frame", "compressed frame"):
        combine_frames([path], hdu=1 if target == "compressed frame" else 0)
    else:
        known = {} if target in _CARRY_SHAPE else {"shape": (120, 100), "dispersion_axis": 1}
        EchelleOrderTable.read(path, format=target, **known)


def _identify(path: Path) -> None:
    for known in FORMATS.values():
        if known.identify is not None:
            known.identify(path)


def _too_long(*_) -> None:
    raise TimeoutError(f"no answer in {_LONGEST} s")


def _outcome(target: str, path: Path) -> str:
    """The kind of answer; raises what a reader must not raise."""
    signal.alarm(_LONGEST)
    try:
        if target in FORMATS:
            _identify(path)
        _read(target, path)
    except TimeoutError:
        raise
    except _EXPECTED as error:
        if str(path.name) not in str(error) and target != "master":
            return "error that does not name the file"
        return "clear error"
    finally:
        signal.alarm(0)
    return "answer"


def fuzz(target: str, seconds: float, seed: int, keep: Path) -> Counter:
    """Outcomes by kind; the files of findings and their tracebacks are kept."""
    rng = random.Random(f"{target} {seed}")
    outcomes: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.fits"
        content = _valid_file(target, path)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            path.write_bytes(_damaged(content, rng))
            try:
                outcomes[_outcome(target, path)] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                kind = f"finding: {type(error).__name__}"
                outcomes[kind] += 1
                if outcomes[kind] <= 5:
                    keep.mkdir(parents=True, exist_ok=True)
                    name = f"{target.replace(' ', '_')}_{type(error).__name__}_{outcomes[kind]}"
                    (keep / name).write_bytes(path.read_bytes())
                    (keep / f"{name}.txt").write_text(traceback.format_exc())
    return outcomes


def main() -> None:
    targets = [*able_formats("read"), "frame", "compressed frame", "master"]
    parser = argparse.ArgumentParser(description="Fuzz the readers.")
    parser.add_argument("--seconds", type=float, default=10, help="for each target")
    parser.add_argument("--target", choices=targets, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("findings"), help="folder for findings")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for target in args.target or targets:
        outcomes = fuzz(target, args.seconds, args.seed, args.keep)
        print(f"{target:18}", sum(outcomes.values()), dict(outcomes), flush=True)


if __name__ == "__main__":
    main()
