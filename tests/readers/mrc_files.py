"""Volumes, judged by mrcfile-validate and compared with the values that were written.

The expectation is a list of {"path", "shape" or null, "spacing", "mode", "values": [[z, y, x, value]...]}.
"""

import json

import mrcfile
import numpy as np
from common import arguments, fail, same

(expectation,) = arguments("EXPECTED")
volumes = json.loads(expectation.read_text())
if not volumes:
    fail("there is no volume")
for volume in volumes:
    path = volume["path"]
    if not mrcfile.validate(path):
        fail(f"mrcfile.validate refuses {path}")
    with mrcfile.open(path) as mrc:
        same(f"mode of {path}", int(mrc.header.mode), volume["mode"])
        same(f"volume flag of {path}", mrc.is_volume(), True)
        if volume["shape"] is not None:
            same(f"shape of {path}", list(mrc.data.shape), volume["shape"])
        spacing = [float(mrc.voxel_size[axis]) for axis in "xyz"]
        if not np.allclose(spacing, volume["spacing"], rtol=1e-6):
            fail(f"spacing of {path}: {spacing}, expected {volume['spacing']}")
        for z, y, x, value in volume["values"]:
            if abs(float(mrc.data[z, y, x]) - value) > 1e-3 * abs(value):
                fail(f"{path} has {mrc.data[z, y, x]} at {z}, {y}, {x}, expected {value}")
        if not np.isfinite(mrc.data).all():
            fail(f"{path} has values that are not finite")
print(f"{len(volumes)} volumes are valid")
