//! Reading whole volumes from the system's cache, slab by slab, as statistics, normalisation and picking do.
//!
//! Beside each form stands a plain copy of the same bytes, `plain_read`, which is what `dd bs=4M` does.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use semietpicker::geometry::VoxelBox;
use semietpicker::volume::{VolumeSource, open, slabs};

fn main() {
    divan::main();
}

/// 512 sections of 1024 x 1024 voxels: 2 GB in single precision.
const SHAPE: [usize; 3] = [512, 1024, 1024];
const VOXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
/// Voxels of a slab, as the statistics read them.
const SLAB_VOXELS: usize = 2 << 20;

/// MRC modes.
const INT8: i32 = 0;
const FLOAT32: i32 = 2;
const FLOAT16: i32 = 12;

fn voxel_bytes(mode: i32) -> usize {
    match mode {
        INT8 => 1,
        FLOAT16 => 2,
        _ => 4,
    }
}

/// A volume of small numbers in a folder of its own.
fn mrc(mode: i32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("volume.mrc");
    let mut header = vec![0_u8; 1024];
    let mut put = |offset: usize, value: i32| header[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    for axis in 0..3 {
        let size = SHAPE[2 - axis] as i32;
        put(4 * axis, size);
        put(28 + 4 * axis, size);
        put(40 + 4 * axis, (size as f32 * 10.0).to_bits() as i32);
        put(64 + 4 * axis, axis as i32 + 1);
    }
    put(12, mode);
    put(88, 1);
    put(208, i32::from_le_bytes(*b"MAP "));
    put(212, 0x4444);
    // No pattern of a half or whole float with these bits is NaN.
    let section: Vec<u8> = (0..SHAPE[1] * SHAPE[2] * voxel_bytes(mode)).map(|index| (index * 7 % 61) as u8).collect();
    let mut file = File::create(&path).expect("a file");
    file.write_all(&header).and_then(|()| (0..SHAPE[0]).try_for_each(|_| file.write_all(&section))).expect("room for a volume");
    (folder, path)
}

fn read_slabs(source: &dyn VolumeSource, buffer: &mut Vec<f32>) {
    for slab in slabs(source.info().shape, SLAB_VOXELS) {
        buffer.resize(slab.voxels(), 0.0);
        source.read_region(0, slab, buffer).expect("a region inside");
        black_box(&mut *buffer);
    }
}

#[divan::bench(args = [FLOAT32, FLOAT16, INT8])]
fn mrc_by_slabs(bencher: Bencher<'_, '_>, mode: i32) {
    let (_folder, path) = mrc(mode);
    let source = open(&path).expect("a volume");
    let mut buffer = Vec::new();
    read_slabs(source.as_ref(), &mut buffer);
    bencher.counter(BytesCount::new(VOXELS * voxel_bytes(mode))).bench_local(|| read_slabs(source.as_ref(), &mut buffer));
}

fn read_plainly(path: &Path, buffer: &mut [u8]) {
    let mut file = File::open(path).expect("a file");
    while file.read(buffer).expect("reading") > 0 {
        black_box(&mut *buffer);
    }
}

#[divan::bench(args = [FLOAT32, FLOAT16, INT8])]
fn plain_read(bencher: Bencher<'_, '_>, mode: i32) {
    let (_folder, path) = mrc(mode);
    let mut buffer = vec![0; 4 << 20];
    read_plainly(&path, &mut buffer);
    bencher.counter(BytesCount::new(VOXELS * voxel_bytes(mode))).bench_local(|| read_plainly(&path, &mut buffer));
}

/// A volume of noise in chunks of 128 x 128 x 128 voxels, compressed by Blosc with LZ4 as copick does; or the hierarchy that
/// `SEMIETPICKER_BENCH_ZARR` names, to compare with another program on the same file.
fn zarr() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Some(path) = std::env::var_os("SEMIETPICKER_BENCH_ZARR") {
        return (folder, path.into());
    }
    let path = folder.path().join("volume.zarr");
    let metadata = serde_json::json!({
        "zarr_format": 2, "shape": SHAPE, "chunks": [128, 128, 128], "dtype": "<f4", "fill_value": 0, "order": "C", "filters": null,
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}, "dimension_separator": "/"
    });
    let metadata = serde_json::from_value(metadata).expect("metadata of version 2");
    let store = std::sync::Arc::new(zarrs::filesystem::FilesystemStore::new(&path).expect("a folder"));
    let array = zarrs::array::Array::new_with_metadata(store, "/", zarrs::array::ArrayMetadata::V2(metadata)).expect("an array");
    array.store_metadata().expect("room for metadata");
    let shape = SHAPE.map(|size| size as u64).to_vec();
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 1e6
    };
    let voxels: Vec<f32> = (0..VOXELS).map(|_| noise()).collect();
    array.store_array_subset(&zarrs::array::ArraySubset::new_with_shape(shape), &voxels).expect("room for a volume");
    (folder, path)
}

/// `whole` reads the volume in one call, as `array[:]` does in Python; else slab by slab, which fits in no cache when it is large.
fn read_zarr(bencher: Bencher<'_, '_>, whole: bool) {
    let (_folder, path) = zarr();
    let mut buffer = Vec::new();
    let read = |buffer: &mut Vec<f32>| {
        // Opened anew each time: what is kept of the last reading goes with it.
        let source = open(&path).expect("a volume");
        if whole {
            let shape = source.info().shape;
            buffer.resize(shape.iter().product(), 0.0);
            source.read_region(0, VoxelBox::whole(shape), buffer).expect("a region inside");
            black_box(&mut *buffer);
        } else {
            read_slabs(source.as_ref(), buffer);
        }
    };
    read(&mut buffer);
    let voxels: usize = open(&path).expect("a volume").info().shape.iter().product();
    bencher.counter(BytesCount::new(voxels * 4)).bench_local(|| read(&mut buffer));
}

#[divan::bench(sample_count = 10)]
fn zarr_blosc_whole(bencher: Bencher<'_, '_>) {
    read_zarr(bencher, true);
}

#[divan::bench(sample_count = 10)]
fn zarr_blosc_by_slabs(bencher: Bencher<'_, '_>) {
    read_zarr(bencher, false);
}
