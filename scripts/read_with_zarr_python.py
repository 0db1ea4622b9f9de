#!/usr/bin/env python3
"""zarr-python's half of the comparison in docs/performance.md: makes the volume if it is not there, reads it, prints MB/s.

    python scripts/read_with_zarr_python.py /tmp/volume.zarr
    SEMIETPICKER_BENCH_ZARR=/tmp/volume.zarr cargo bench --profile dev --bench volumes -- zarr

Take turns with the two. Needs zarr 3 and numcodecs, and 0.8 GB of disk.
"""
import pathlib
import sys
import time

import numpy
import zarr
from numcodecs import Blosc

SHAPE, CHUNK = (512, 1024, 1024), 256


def make(path):
    array = zarr.open(
        path, mode="w", shape=SHAPE, chunks=(CHUNK,) * 3, dtype="f4", zarr_format=2, compressor=Blosc("lz4", clevel=5)
    )
    random = numpy.random.default_rng(0)
    for first in range(0, SHAPE[0], CHUNK):
        array[first : first + CHUNK] = random.integers(-120, 120, (CHUNK, *SHAPE[1:])).astype("f4")


def main():
    path = sys.argv[1]
    if not pathlib.Path(path).exists():
        make(path)
    for _ in range(3):
        start = time.perf_counter()
        values = zarr.open(path, mode="r")[:]
        print(f"zarr-python {zarr.__version__}: {values.nbytes / (time.perf_counter() - start) / 1e6:.0f} MB/s")


if __name__ == "__main__":
    main()
