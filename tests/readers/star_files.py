"""STAR files of RELION 4 and 5, Warp and crYOLO, read by starfile."""

import numpy as np
import pandas as pd
import starfile
from common import Expected, arguments, fail, same

CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
PIXELS = [f"rlnCoordinate{axis}" for axis in "XYZ"]

folder, expectation = arguments("FOLDER", "EXPECTED")
expected = Expected(expectation)


def read(path):
    # Without this, 001 becomes the number 1.
    return starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName"])


def of_tomogram(table, name, column="rlnTomoName"):
    return table[table[column] == name] if len(table) else table


def known_tomograms(what, table, column="rlnTomoName"):
    unknown = set(table[column]) - set(expected.tomograms) if len(table) else set()
    if unknown:
        fail(f"{what}: unknown tomograms {unknown}")


def centred(what, table, name):
    for tomogram in expected.tomograms:
        part = of_tomogram(table, tomogram)
        xyz = part[CENTRED].to_numpy(dtype=float) / expected.spacing(tomogram) + expected.size(tomogram) / 2
        expected.compare(what, tomogram, name, xyz, part["rlnAutopickFigureOfMerit"], 1.0)


for name in expected.classes:
    blocks = read(folder / "relion5" / name / "particles.star")
    same("blocks of relion5", list(blocks), ["particles"])
    known_tomograms("relion5", blocks["particles"])
    centred("relion5", blocks["particles"], name)
    named = read(folder / "relion5" / name / "optimisation_set.star")
    same("optimisation_set.star", len(named), 1)
    row = next(iter(named.values()))
    row = row.iloc[0] if isinstance(row, pd.DataFrame) else row
    if not str(row["rlnTomoParticlesFile"]).endswith("particles.star"):
        fail(f"optimisation_set.star names {row['rlnTomoParticlesFile']}")

    index = next(iter(read(folder / "relion5-import" / name / "import_coordinates.star").values()))
    parts = []
    for tomogram, file in zip(index["rlnTomoName"], index["rlnTomoImportParticleFile"]):
        blocks = read(file)
        table = next(iter(blocks.values()))
        same(f"tomograms of {file}", set(table["rlnTomoName"]) - {tomogram}, set())
        parts.append(table)
    if expected.points(next(iter(expected.tomograms)), name):
        centred("relion5-import", pd.concat(parts), name)

    blocks = read(folder / "relion4" / name / "particles.star")
    same("blocks of relion4", sorted(blocks), ["optics", "particles"])
    optics = blocks["optics"].set_index("rlnOpticsGroup")
    known_tomograms("relion4", blocks["particles"])
    for tomogram in expected.tomograms:
        part = of_tomogram(blocks["particles"], tomogram)
        pixel = optics.loc[part["rlnOpticsGroup"], "rlnTomoTiltSeriesPixelSize"].to_numpy(dtype=float)
        same("rlnTomoTiltSeriesPixelSize", set(pixel) - {expected.pixel}, set())
        xyz = part[PIXELS].to_numpy(dtype=float) * pixel[:, None] / expected.spacing(tomogram)
        expected.compare("relion4", tomogram, name, xyz, part["rlnAutopickFigureOfMerit"], 1.0)

    tables = read(folder / "warp" / f"{name}.star")
    same("blocks of warp", list(tables), [""])
    table = tables[""]
    for tomogram in expected.tomograms:
        part = of_tomogram(table, f"{tomogram}.tomostar", "rlnMicrographName")
        xyz = part[PIXELS].to_numpy(dtype=float) if len(part) else []
        expected.compare("warp", tomogram, name, xyz, part["rlnAutopickFigureOfMerit"] if len(part) else [], 1.0)

    for tomogram in expected.tomograms:
        blocks = read(folder / "cbox" / name / f"{tomogram}.cbox")
        same("blocks of cbox", set(blocks), {"global", "cryolo", "cryolo_include"})
        boxes = blocks["cryolo"].apply(pd.to_numeric, errors="coerce")
        xyz = [boxes["CoordinateX"] + boxes["Width"] / 2, boxes["CoordinateY"] + boxes["Height"] / 2, boxes["CoordinateZ"]]
        expected.compare("cbox", tomogram, name, np.array(xyz).T, boxes["Confidence"], 1.0)

expected.report()
