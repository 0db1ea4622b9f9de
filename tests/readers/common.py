"""What the scripts share: the expected positions, and the comparison with what a library has read.

The expectation is JSON:
{"tilt_series_pixel": A, "classes": [NAME...], "tomograms": [{"name", "shape": [z, y, x], "spacing": A,
 "points": [{"class", "xyz": voxel indices, "score": number or null}...]}...]}
"""

import json
import sys
from pathlib import Path

import numpy as np

VOXELS = 1e-3


class Expected:
    def __init__(self, path):
        content = json.loads(Path(path).read_text())
        self.pixel = content["tilt_series_pixel"]
        self.classes = content["classes"]
        self.tomograms = {tomogram["name"]: tomogram for tomogram in content["tomograms"]}
        self.deviations = {}

    def size(self, tomogram):
        """Voxels x, y, z."""
        return np.array(self.tomograms[tomogram]["shape"][::-1], dtype=float)

    def spacing(self, tomogram):
        return self.tomograms[tomogram]["spacing"]

    def points(self, tomogram, name=None):
        points = self.tomograms[tomogram]["points"]
        return [point for point in points if name in (None, point["class"])]

    def compare(self, what, tomogram, name, xyz, scores=None, unscored=None):
        """Compares voxel indices, and scores; a position without a score has `unscored`."""
        points = self.points(tomogram, name)
        place = f"{what}, tomogram {tomogram}, class {name}"
        xyz = np.asarray(xyz, dtype=float).reshape(-1, 3)
        if len(xyz) != len(points):
            fail(f"{place}: {len(xyz)} positions were read, {len(points)} were written")
        count, deviation = self.deviations.get(what, (0, 0.0))
        if points:
            off = np.abs(xyz - np.array([point["xyz"] for point in points])).max(axis=1)
            worst = int(off.argmax())
            if not off[worst] < VOXELS:
                fail(f"{place}, position {worst}: read {xyz[worst]}, expected {points[worst]['xyz']}")
            deviation = max(deviation, float(off[worst]))
        self.deviations[what] = (count + len(points), deviation)
        if scores is not None:
            wanted = np.array([unscored if point["score"] is None else point["score"] for point in points], dtype=float)
            if not np.allclose(np.asarray(scores, dtype=float), wanted, atol=1e-6, equal_nan=True):
                fail(f"{place}: scores {list(scores)}, expected {list(wanted)}")

    def report(self):
        if not self.deviations:
            fail("nothing was compared")
        for what, (count, deviation) in self.deviations.items():
            if count == 0:
                fail(f"{what}: no position was compared")
            print(f"{what}: {count} positions, largest deviation {deviation:.1e} voxel")


def same(what, found, expected):
    if found != expected:
        fail(f"{what}: found {found!r}, expected {expected!r}")


def fail(message):
    print(f"wrong: {message}", file=sys.stderr)
    sys.exit(1)


def arguments(*names):
    if len(sys.argv) != len(names) + 1:
        fail(f"usage: {Path(sys.argv[0]).name} {' '.join(names)}")
    return [Path(argument) for argument in sys.argv[1:]]
