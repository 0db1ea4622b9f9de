"""The table of Dynamo, read by dynamotable."""

import dynamotable
from common import Expected, arguments, same

folder, expectation = arguments("FOLDER", "EXPECTED")
expected = Expected(expectation)
place = folder / "dynamo"
table = dynamotable.read(place / "particles.tbl", place / "particles.doc")
same("tomograms", set(table["tomo_file"]) - set(expected.tomograms), set())
lines = (place / "particles_classes.doc").read_text().splitlines()
numbers = {name: int(number) for number, name in (line.split(" ", 1) for line in lines)}
same("classes", list(numbers), expected.classes)
same("tags", list(table["tag"]), list(range(1, len(table) + 1)))
for tomogram in expected.tomograms:
    for name in expected.classes:
        rows = table[(table["tomo_file"] == tomogram) & (table["class"] == numbers[name])]
        expected.compare("dynamo", tomogram, name, rows[["x", "y", "z"]].to_numpy(), rows["cc"], 0.0)
expected.report()
