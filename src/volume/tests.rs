//! Tests of the whole module, and what they share: files made byte by byte, independently of the writer.

mod hostile;
mod manifest;
mod numbers;
mod reading;
mod resampling;
mod tiff;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::{VolumeError, VolumeSource, open};
use crate::geometry::VoxelBox;

/// The folder of test data, or `None`, said aloud, when it is absent.
pub(super) fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("SEMIETPICKER_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no test data at {}", folder.display());
    None
}

/// An MRC file to be, field by field.
#[derive(Clone)]
pub(super) struct MrcBytes {
    big_endian: bool,
    mode: i32,
    /// Columns, rows, sections.
    counts: [usize; 3],
    /// mapc, mapr, maps.
    pub(super) axes: [i32; 3],
    /// Bytes between header and data.
    extended: usize,
    /// One value a voxel, in the order of the file.
    values: Vec<f32>,
    /// Further header fields: offset and value in the file's byte order.
    ints: Vec<(usize, i32)>,
}

impl MrcBytes {
    /// A little-endian file of spacing 10 with values that the mode can hold, all different where it has room.
    pub(super) fn new(mode: i32, counts: [usize; 3]) -> Self {
        let modulus = match mode {
            0 => 251,
            101 => 16,
            12 => 2039,
            _ => 32749,
        };
        let offset = if matches!(mode, 6 | 101) { 0 } else { modulus / 2 };
        let count = counts.iter().product::<usize>() as i64;
        let values = (0..count).map(|index| ((index * 7 + index / 31) % modulus - offset) as f32).collect();
        Self { big_endian: false, mode, counts, axes: [1, 2, 3], extended: 0, values, ints: Vec::new() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let int = |value: i32| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut header = vec![0; 1024 + self.extended];
        let mut put = |offset: usize, value: [u8; 4]| header[offset..offset + 4].copy_from_slice(&value);
        put(12, int(self.mode));
        for axis in 0..3 {
            put(4 * axis, int(self.counts[axis] as i32));
            put(64 + 4 * axis, int(self.axes[axis]));
            put(52 + 4 * axis, int(90.0_f32.to_bits() as i32));
            // Sampling and cell follow x, y, z, not the order of the file.
            let along = self.axes[axis] as usize - 1;
            put(28 + 4 * along, int(self.counts[axis] as i32));
            put(40 + 4 * along, int((self.counts[axis] as f32 * 10.0).to_bits() as i32));
        }
        put(88, int(1));
        put(92, int(self.extended as i32));
        put(208, *b"MAP ");
        put(212, if self.big_endian { [0x11, 0x11, 0, 0] } else { [0x44, 0x44, 0, 0] });
        for &(offset, value) in &self.ints {
            put(offset, int(value));
        }
        for row in self.values.chunks(self.counts[0]) {
            if self.mode == 101 {
                header.extend(row.chunks(2).map(|pair| pair[0] as u8 | (pair.get(1).copied().unwrap_or(0.0) as u8) << 4));
                continue;
            }
            for value in row {
                let mut word = match self.mode {
                    0 => (*value as i8).to_be_bytes().to_vec(),
                    1 => (*value as i16).to_be_bytes().to_vec(),
                    6 => (*value as u16).to_be_bytes().to_vec(),
                    12 => half::f16::from_f32(*value).to_be_bytes().to_vec(),
                    _ => value.to_be_bytes().to_vec(),
                };
                if !self.big_endian {
                    word.reverse();
                }
                header.extend(word);
            }
        }
        header
    }

    /// The value that voxel `(z, y, x)` must have.
    pub(super) fn value(&self, voxel: [usize; 3]) -> f32 {
        let [column, row, section] = self.axes.map(|axis| voxel[3 - axis as usize]);
        self.values[(section * self.counts[1] + row) * self.counts[0] + column]
    }
}

/// Writes `bytes` as a file of their own.
pub(super) fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.mrc");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open_bytes(bytes: &[u8]) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    // The map keeps the file's content when the name is gone.
    let (_folder, path) = file(bytes);
    open(&path)
}

fn read(source: &dyn VolumeSource, region: VoxelBox) -> Vec<f32> {
    let mut out = vec![f32::NAN; region.voxels()];
    source.read_region(0, region, &mut out).unwrap();
    out
}

fn read_all(source: &dyn VolumeSource) -> Vec<f32> {
    read(source, VoxelBox::whole(source.info().shape))
}

/// The voxels of a box, `(z, y, x)` row-major.
pub(super) fn voxels_of(region: VoxelBox) -> impl Iterator<Item = [usize; 3]> {
    let VoxelBox { start, end } = region;
    (start[0]..end[0]).flat_map(move |z| (start[1]..end[1]).flat_map(move |y| (start[2]..end[2]).map(move |x| [z, y, x])))
}

/// Reproducible noise of mean 0 and deviation 1, nearly normal: sums of twelve uniform numbers less six.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}
