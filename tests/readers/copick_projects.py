"""copick: reads an export (`export`), makes a project (`make`), and reads what was saved into it (`saved`)."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from common import VOXELS, Expected, fail, same

warnings.simplefilter("ignore")
import copick  # noqa: E402

OBJECTS = [
    {"name": "ribosome", "is_particle": True, "label": 1, "color": [0, 117, 220, 255], "radius": 150.0},
    {"name": "apo-ferritin", "is_particle": True, "label": 2, "color": [220, 117, 0, 255], "radius": 60.0},
    {"name": "membrane", "is_particle": False, "label": 3, "color": [1, 2, 3, 255]},
]


def configuration(path, overlay, objects, user, static=None):
    content = {
        "config_type": "filesystem",
        "name": "made by copick",
        "version": copick.__version__,
        "user_id": user,
        "pickable_objects": objects,
        "overlay_root": f"local://{overlay}",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    if static is not None:
        content |= {"static_root": f"local://{static}", "static_fs_args": {"auto_mkdir": True}}
    path.write_text(json.dumps(content, indent=2))
    return copick.from_file(str(path))


def read_export(folder, expectation):
    expected = Expected(expectation)
    # copick allows neither blanks nor underscores.
    objects = {name: name.replace(" ", "-").replace("_", "-") for name in expected.classes}
    listed = [
        {"name": safe, "is_particle": True, "label": label, "color": [1, 2, 3, 255]}
        for label, safe in enumerate(objects.values(), 1)
    ]
    root = configuration(expectation.with_name("export-config.json"), folder / "copick", listed, "reader")
    same("runs", sorted(run.name for run in root.runs), sorted(expected.tomograms))
    for tomogram in expected.tomograms:
        run = root.get_run(tomogram)
        for name, safe in objects.items():
            (picks,) = run.get_picks(object_name=safe)
            same("user and session", (picks.user_id, picks.session_id), ("a-user", "7"))
            picks.load()
            same("trust_orientation", picks.trust_orientation, False)
            same("voxel spacing", round(picks.meta.voxel_spacing, 4), expected.spacing(tomogram))
            positions = picks.full_positions() if picks.points else []
            scores = picks.scores() if picks.points else []
            expected.compare("copick", tomogram, name, np.array(positions) / expected.spacing(tomogram), scores, 1.0)
    expected.report()


def make(folder):
    for root in ("static", "overlay"):
        (folder / root).mkdir(parents=True)
    random = np.random.default_rng(1)
    truth = {"picks": {}, "tomograms": []}

    def add(run, user, session, name, points, shifts):
        transforms = np.tile(np.eye(4), (len(points), 1, 1))
        transforms[:, :3, 3] = shifts
        picks = run.new_picks(name, session, user)
        picks.from_numpy(points, transforms, scores=random.uniform(0, 1, len(points)))
        truth["picks"][f"{run.name}|{user}/{session}|{name}"] = np.array(picks.full_positions()).tolist()

    root = configuration(folder / "maker.json", folder / "static", OBJECTS, "maker")
    for name in ("TS_001", "TS-2"):
        run = root.new_run(name)
        for spacing, shape in ((10.012, (24, 41, 50)), (20.024, (12, 20, 25))):
            voxel_spacing = run.new_voxel_spacing(spacing)
            data = random.normal(size=shape).astype(np.float32)
            voxel_spacing.new_tomogram("wbp").from_numpy(data)
            path = folder / f"static/ExperimentRuns/{name}/VoxelSpacing{spacing:.3f}/wbp.zarr"
            values = [[*voxel, float(data[voxel])] for voxel in ((0, 0, 0), (3, 7, 11), (11, 19, 24))]
            truth["tomograms"].append({"path": str(path), "shape": list(shape), "spacing": spacing, "values": values})
        for user, session, target, count in (("maker", "1", "ribosome", 5), ("tool", "0", "apo-ferritin", 7)):
            points = random.uniform(1, np.array([48, 39, 22]), (count, 3)) * 10.012
            add(run, user, session, target, points, random.uniform(-0.5, 0.5, (count, 3)))
    root = configuration(folder / "config.json", folder / "overlay", OBJECTS, "jane", folder / "static")
    points = np.array([[100.5, 200.25, 50.125], [33.3, 44.4, 55.5]])
    add(root.get_run("TS_001"), "jane", "manual-1", "ribosome", points, np.zeros((2, 3)))
    (folder / "truth.json").write_text(json.dumps(truth))


def read_saved(folder):
    """`saved.json` has the positions in angstrom of each RUN|OBJECT that were saved under jane/labels-1."""
    saved = json.loads((folder / "saved.json").read_text())
    truth = json.loads((folder / "truth.json").read_text())
    root = copick.from_file(str(folder / "config.json"))
    found, worst = {}, 0.0
    for run in root.runs:
        for picks in run.get_picks(user_id="jane", session_id="labels-1"):
            picks.load()
            same("trust_orientation", picks.trust_orientation, False)
            same("run and unit", (picks.meta.run_name, picks.meta.unit), (run.name, "angstrom"))
            found[f"{run.name}|{picks.pickable_object_name}"] = np.array(picks.full_positions())
    same("sets of picks", sorted(found), sorted(saved))
    for key, positions in saved.items():
        same(f"number of {key}", len(found[key]), len(positions))
        worst = max(worst, np.abs(np.array(sorted(found[key].tolist())) - np.array(sorted(positions))).max() / 10.012)
    if not worst < VOXELS:
        fail(f"saved positions deviate by {worst} voxel")
    for key, positions in truth["picks"].items():
        run, source, name = key.split("|")
        user, session = source.split("/")
        (picks,) = root.get_run(run).get_picks(object_name=name, user_id=user, session_id=session)
        same(f"{key} as it was", np.allclose(picks.full_positions(), positions), True)
    # copick goes on with what was saved.
    key = next(iter(saved))
    run, name = key.split("|")
    (picks,) = root.get_run(run).get_picks(object_name=name, user_id="jane", session_id="labels-1")
    before = len(picks.points)
    picks.points = picks.points[:-1]
    picks.store()
    again = copick.from_file(str(folder / "config.json")).get_run(run)
    (picks,) = again.get_picks(object_name=name, user_id="jane", session_id="labels-1")
    same("picks after copick's own edit", len(picks.points), before - 1)
    print(f"saved to copick: {sum(map(len, saved.values()))} positions, largest deviation {worst:.1e} voxel")


commands = {"export": read_export, "make": make, "saved": read_saved}
if len(sys.argv) < 3 or sys.argv[1] not in commands:
    fail("usage: copick_projects.py export FOLDER EXPECTED | make FOLDER | saved FOLDER")
commands[sys.argv[1]](*map(Path, sys.argv[2:]))
