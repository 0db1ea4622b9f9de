"""Writes OME-Zarr 0.4 and 0.5 and bare arrays by zarr-python and ome-zarr, and what is in them."""

import json
import sys

import numcodecs
import numpy as np
import zarr
from common import arguments
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_multiscale

(folder,) = arguments("FOLDER")
random = np.random.default_rng(3)
volumes = []
VOXELS = [[0, 0, 0], [3, 7, 11], [20, 24, 30]]


def axes(unit, names="zyx"):
    space = {"type": "space"} if unit is None else {"type": "space", "unit": unit}
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    return [{"name": name, **kinds.get(name, space)} for name in names]


def note(name, data, spacing):
    values = [[*voxel, float(data[tuple(voxel)])] for voxel in VOXELS]
    volumes.append({"path": str(folder / name), "shape": list(data.shape), "spacing": spacing, "values": values})


def scale(*numbers):
    return [{"type": "scale", "scale": list(numbers)}]


data = random.normal(size=(21, 25, 31)).astype(np.float32)
for version, form in (("0.4", FormatV04()), ("0.5", FormatV05())):
    for unit, factor in (("angstrom", 1.0), ("nanometer", 10.0)):
        name = f"ome-{version}-{unit}.zarr"
        group = zarr.open_group(folder / name, mode="w", zarr_format=form.zarr_format)
        levels = [scale(*[7.84 * level / factor] * 3) for level in (1, 2)]
        write_multiscale([data, data[::2, ::2, ::2]], group, fmt=form, axes=axes(unit), coordinate_transformations=levels)
        note(name, data, 7.84)
    name = f"ome-{version}-five-axes.zarr"
    group = zarr.open_group(folder / name, mode="w", zarr_format=form.zarr_format)
    five = (data[None, None] * 1000).astype(np.int16)
    transformation = [scale(1.0, 1.0, 13.48, 13.48, 13.48)]
    write_multiscale([five], group, fmt=form, axes=axes("angstrom", "tczyx"), coordinate_transformations=transformation)
    note(name, five[0, 0], 13.48)


def metadata(path, spacing):
    return {"datasets": [{"path": path, "coordinateTransformations": scale(*[spacing] * 3)}], "axes": axes("angstrom")}


# Version 0.5 as the CryoET Data Portal's newer volumes have it: shards, zstd, and a chunk that is the fill value.
name = "ome-0.5-sharded.zarr"
group = zarr.open_group(folder / name, mode="w", zarr_format=3)
array = group.create_array("s0", shape=data.shape, shards=(16, 32, 32), chunks=(8, 16, 16), dtype="float16", fill_value=0)
half = data.astype(np.float16)
half[:8, :16, 16:] = 0
array[...] = half
group.attrs["ome"] = {"version": "0.5", "multiscales": [metadata("s0", 10.012)]}
note(name, half, 10.012)

# Version 0.4 as copick writes it: blosc with lz4.
name = "ome-0.4-blosc.zarr"
group = zarr.open_group(folder / name, mode="w", zarr_format=2)
blosc = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
array = group.create_array("0", shape=data.shape, chunks=(16, 16, 16), dtype="float32", compressors=blosc,
                           chunk_key_encoding={"name": "v2", "separator": "/"})
array[...] = data
group.attrs["multiscales"] = [{"version": "0.4", "name": "", **metadata("0", 10.012)}]
note(name, data, 10.012)

for version in (2, 3):
    name = f"bare-{version}.zarr"
    array = zarr.create_array(folder / name, shape=data.shape, chunks=(8, 8, 8), dtype="uint8", zarr_format=version)
    bytes_ = np.clip(data * 40 + 128, 0, 255).astype(np.uint8)
    array[...] = bytes_
    note(name, bytes_, None)

(folder / "expected.json").write_text(json.dumps(volumes))
print(f"{len(volumes)} volumes by zarr {zarr.__version__}, Python {sys.version.split()[0]}")
