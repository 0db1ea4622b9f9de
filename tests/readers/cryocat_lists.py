"""Particle lists, read by cryoCAT."""

import warnings

import numpy as np
import pandas as pd
from common import Expected, arguments, same

warnings.simplefilter("ignore")
from cryocat import cryomotl  # noqa: E402

folder, expectation = arguments("FOLDER", "EXPECTED")
expected = Expected(expectation)
names = list(expected.tomograms)
# cryoCAT knows a tomogram by the digits in its name.
numbers = {name: int("".join(letter for letter in name if letter.isdigit())) for name in names}
classes = [name for name in expected.classes if any(expected.points(tomogram, name) for tomogram in names)]

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]


def completed(table):
    """cryoCAT 0.7.1 wants what refined particles have and picks have not: rotations and names. It fails without them."""
    table = table.copy()
    table[ANGLES] = 0.0
    table["rlnTomoParticleName"] = [f"{tomogram}/{number}" for number, tomogram in enumerate(table["rlnTomoName"], 1)]
    return table


for name in classes:
    file = str(folder / "relion4" / name / "particles.star")
    motl = cryomotl.RelionMotl(version=4.0, binning=1.0)
    table, version, optics = motl.read_in(file)
    motl.convert_to_motl(completed(table), 4.0, optics)
    for tomogram in names:
        xyz = motl.get_coordinates(numbers[tomogram]) * expected.pixel / expected.spacing(tomogram)
        expected.compare("relion4 by cryoCAT", tomogram, name, xyz)

    # Sizes of tomograms are those of the unbinned ones, and coordinates come in unbinned pixels.
    sizes = [[other, *(expected.size(other) * expected.spacing(other) / expected.pixel)] for other in names]
    sizes = pd.DataFrame(sizes, columns=["rlnTomoName", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"])
    motl = cryomotl.RelionMotlv5(input_tomograms=sizes, pixel_size=expected.pixel, binning=1.0)
    table, optics = motl.read_in(str(folder / "relion5" / name / "particles.star"))
    motl.convert_to_motl(completed(table), optics)
    for tomogram in names:
        xyz = motl.get_coordinates(numbers[tomogram]) * expected.pixel / expected.spacing(tomogram)
        expected.compare("relion5 by cryoCAT", tomogram, name, xyz)

motl = cryomotl.DynamoMotl(str(folder / "dynamo" / "particles.tbl"))
for number, tomogram in enumerate(names, 1):
    here = motl.df[motl.df["tomo_id"] == number]
    expected.compare("dynamo by cryoCAT", tomogram, None, here[["x", "y", "z"]].to_numpy(), here["score"], 0.0)

same("cryoCAT's coordinates are numbers", bool(np.isfinite(motl.get_coordinates()).all()), True)
expected.report()
