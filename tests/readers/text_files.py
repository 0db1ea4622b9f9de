"""Tables, JSON, plain text and markers, read as the programs that they are for read them."""

import json
from xml.sax import parse
from xml.sax.handler import ContentHandler

import pandas as pd
from common import Expected, arguments, fail, same

folder, expectation = arguments("FOLDER", "EXPECTED")
expected = Expected(expectation)

table = pd.read_csv(folder / "csv" / "particles.csv", dtype={"tomogram": str})
columns = "tomogram class x_angstrom y_angstrom z_angstrom x_voxel y_voxel z_voxel score source"
same("columns of csv", list(table.columns), columns.split())
kaggle = pd.read_csv(folder / "kaggle" / "submission.csv", dtype={"experiment": str})
same("columns of kaggle", list(kaggle.columns), "id experiment particle_type x y z".split())
same("id of kaggle", list(kaggle["id"]), list(range(len(kaggle))))


class Markers(ContentHandler):
    """As ChimeraX reads them (cmmfiles.py)."""

    def __init__(self):
        super().__init__()
        self.sets = []

    def startElement(self, name, attributes):
        if name == "marker_set":
            self.sets.append((attributes["name"], []))
        elif name == "marker":
            self.sets[-1][1].append(dict(attributes.items()))


for tomogram, content in expected.tomograms.items():
    spacing = expected.spacing(tomogram)
    markers = Markers()
    parse(str(folder / "cmm" / f"{tomogram}.cmm"), markers)
    sets = dict(markers.sets)
    info = json.loads((folder / "eman2" / "info" / f"{tomogram}_info.json").read_text())
    same("apix_unbin", info["apix_unbin"], expected.pixel)
    listed = {entry["name"]: int(index) for index, entry in info["class_list"].items()}
    for name in expected.classes:
        rows = table[(table["tomogram"] == tomogram) & (table["class"] == name)]
        voxels, angstrom = rows[["x_voxel", "y_voxel", "z_voxel"]], rows[["x_angstrom", "y_angstrom", "z_angstrom"]]
        expected.compare("csv, voxels", tomogram, name, voxels.to_numpy(), rows["score"], float("nan"))
        expected.compare("csv, angstrom", tomogram, name, angstrom.to_numpy() / spacing)
        rows = kaggle[(kaggle["experiment"] == tomogram) & (kaggle["particle_type"] == name)]
        expected.compare("kaggle", tomogram, name, rows[["x", "y", "z"]].to_numpy() / spacing)

        lines = (folder / "portal-ndjson" / f"{tomogram}_{name}.ndjson").read_text().splitlines()
        points = [json.loads(line) for line in lines]
        same("type of a point", {point["type"] for point in points} - {"point"}, set())
        expected.compare("portal-ndjson", tomogram, name, [[point["location"][axis] for axis in "xyz"] for point in points])
        text = (folder / "coords" / f"{tomogram}_{name}.coords").read_text()
        expected.compare("coords", tomogram, name, [[float(number) for number in line.split()] for line in text.splitlines()])

        here = [[float(marker[axis]) / spacing for axis in "xyz"] for marker in sets.get(name, [])]
        expected.compare("cmm", tomogram, name, here)

        # e2spt_boxer.py: b[0] / apix * apix_unbin + nx // 2
        boxes = [box for box in info["boxes_3d"] if box[5] == listed[name]]
        centre = expected.size(tomogram) // 2
        xyz = [[box[axis] / spacing * info["apix_unbin"] + centre[axis] for axis in range(3)] for box in boxes]
        expected.compare("eman2", tomogram, name, xyz)
    for sets_name in sets:
        if sets_name not in expected.classes:
            fail(f"cmm: a set is named {sets_name}")

expected.report()
