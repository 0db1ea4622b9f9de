"""Models of IMOD, read by imodmodel: scattered points at x = i + 0.5, y = j + 0.5, z = k."""

import numpy as np
from common import Expected, arguments, same
from imodmodel.models import ImodModel

folder, expectation = arguments("FOLDER", "EXPECTED")
expected = Expected(expectation)
for tomogram, content in expected.tomograms.items():
    model = ImodModel.from_file(folder / "imod" / f"{tomogram}.mod")
    same("size of the image", [model.header.xmax, model.header.ymax, model.header.zmax], content["shape"][::-1])
    same("objects", [item.header.name.rstrip("\0") for item in model.objects], expected.classes)
    for name, item in zip(expected.classes, model.objects):
        points = np.concatenate([contour.points for contour in item.contours] or [np.zeros((0, 3))])
        expected.compare("imod", tomogram, name, points - [0.5, 0.5, 0.0])
        values = {e.index: e.value for contour in item.contours for e in contour.extra or [] if e.type == 10}
        scores = {i: p["score"] for i, p in enumerate(expected.points(tomogram, name)) if p["score"] is not None}
        same(f"scores in {tomogram} of {name}", set(values), set(scores))
        same(f"scores in {tomogram} of {name}", [i for i in scores if abs(values[i] - scores[i]) > 1e-6], [])
expected.report()
