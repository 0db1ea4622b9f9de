//! Damaged files: whatever the bytes, an error or a volume that the file can hold, never a panic.
//!
//! These go through fields, lengths and bytes one by one; `tests/fuzz_volumes.rs` changes several at random and counts allocations.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::super::open;
use super::MrcBytes;
use super::tiff::TiffBytes;
use crate::geometry::VoxelBox;

/// A folder in memory where that is to be had: a disk that others use would set the pace.
fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Opens, and reads all if that succeeds; returns whether it did.
fn attempt(path: &Path, bytes: &[u8]) -> bool {
    attempt_ratio(path, bytes, 2)
}

/// The same for a file of which a byte may stand for `ratio` voxels.
fn attempt_ratio(path: &Path, bytes: &[u8], ratio: u128) -> bool {
    // Not `fs::write`: some file systems put a file on the disk at once when it was emptied and written again.
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let Ok(source) = open(path) else { return false };
    let shape = source.info().shape;
    let voxels: u128 = shape.iter().map(|size| *size as u128).product();
    assert!(voxels <= ratio * bytes.len().max(4096) as u128, "{shape:?} cannot be in {} bytes", bytes.len());
    assert!(source.info().spacing_angstrom.is_none_or(|spacing| spacing.is_finite() && spacing > 0.0));
    let mut out = vec![0.0; voxels as usize];
    let read = source.read_region(0, VoxelBox::whole(shape), &mut out);
    // Damage in what is compressed shows when it is read.
    assert!(read.is_ok() || ratio > 2, "{:?}", read.err());
    assert!(read.is_err() || out.iter().all(|value| value.is_finite()));
    read.is_ok()
}

/// Numbers at which arithmetic goes wrong.
const EXTREMES: [i32; 12] = [0, 1, -1, 2, 5, 101, 255, 65535, 65536, 1 << 24, i32::MAX, i32::MIN];

#[test]
fn no_extreme_value_of_any_header_field_does_harm() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.mrc");
    let mut random = 0x1e37_79b9_i32;
    for (mode, big_endian) in [(2, false), (0, true)] {
        let bytes = MrcBytes { big_endian, extended: 24, ..MrcBytes::new(mode, [5, 4, 3]) }.bytes();
        for offset in (0..256).step_by(4) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for value in EXTREMES.into_iter().chain([random, f32::NAN.to_bits() as i32]) {
                let mut damaged = bytes.clone();
                let word = if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
                damaged[offset..offset + 4].copy_from_slice(&word);
                attempt(&path, &damaged);
            }
        }
        // Pairs of sizes whose product overflows where one would not.
        for fields in [[0, 4], [4, 8], [0, 8], [8, 92], [0, 12]] {
            for values in EXTREMES.iter().flat_map(|a| EXTREMES.map(|b| [*a, b])) {
                let mut damaged = bytes.clone();
                for (offset, value) in fields.into_iter().zip(values) {
                    let word = if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
                    damaged[offset..offset + 4].copy_from_slice(&word);
                }
                attempt(&path, &damaged);
            }
        }
    }
}

#[test]
fn no_byte_of_a_tiff_file_does_harm() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.tif");
    for (compression, big, big_endian) in [(1, false, false), (5, true, false), (8, false, true), (32773, false, false)] {
        let mut tiff = TiffBytes::new((1, 16), [2, 4, 5]);
        (tiff.compression, tiff.big, tiff.big_endian) = (compression, big, big_endian);
        let bytes = tiff.bytes();
        assert!(attempt_ratio(&path, &bytes, 4096));
        let (mut opened, mut refused) = (0, 0);
        for offset in 0..bytes.len() {
            for value in [0, 2, 0x7f, 0xff, bytes[offset] ^ 1] {
                let mut damaged = bytes.clone();
                damaged[offset] = value;
                if attempt_ratio(&path, &damaged, 4096) { opened += 1 } else { refused += 1 }
            }
        }
        assert!(opened > 300 && refused > 300, "{opened} opened, {refused} refused");
        for length in 0..bytes.len() {
            // The last bytes are the end of the chain of directories.
            assert!(!attempt_ratio(&path, &bytes[..length], 4096), "cut at {length} of {}", bytes.len());
        }
    }
}

#[test]
fn no_value_of_any_header_byte_does_harm() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.mrc");
    for (mode, big_endian, extended) in [(2, false, 0), (101, true, 40)] {
        let bytes = MrcBytes { big_endian, extended, ..MrcBytes::new(mode, [5, 4, 3]) }.bytes();
        let (mut opened, mut refused) = (0, 0);
        for offset in 0..1024 {
            let mut damaged = bytes.clone();
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                damaged[offset] = value;
                if attempt(&path, &damaged) { opened += 1 } else { refused += 1 }
            }
        }
        assert!(opened > 4000 && refused > 20, "{opened} opened, {refused} refused");
    }
}

#[test]
fn no_random_header_does_harm() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.mrc");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..2000 {
        let mut bytes = MrcBytes::new(2, [5, 4, 3]).bytes();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // The fields that decide sizes and places lie in the first 232 bytes.
            bytes[(state >> 8) as usize % 232] = state as u8;
        }
        attempt(&path, &bytes);
    }
}

#[test]
fn no_length_of_a_file_does_harm() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.mrc");
    let bytes = MrcBytes { extended: 40, ..MrcBytes::new(1, [5, 4, 3]) }.bytes();
    let data = 5 * 4 * 3 * 2;
    for length in 0..bytes.len() {
        // Short by the extended header alone, the file reads as if it had none.
        assert_eq!(attempt(&path, &bytes[..length]), length == 1024 + data, "{length} bytes");
    }
    assert!(attempt(&path, &bytes));
}

#[test]
fn no_damage_to_a_compressed_file_does_harm() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.mrc");
    let plain = MrcBytes::new(2, [5, 4, 3]).bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&plain).unwrap();
    let mut bzip2 = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&plain).unwrap();
    for bytes in [gzip.finish().unwrap(), bzip2.finish().unwrap()] {
        assert!(attempt(&path, &bytes));
        for length in 0..bytes.len() {
            assert!(!attempt(&path, &bytes[..length]), "cut at {length} of {}", bytes.len());
        }
        for offset in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[offset] ^= flip;
                attempt(&path, &damaged);
            }
        }
    }
}

#[test]
fn a_small_file_that_promises_exabytes_is_refused_at_once() {
    let folder = quick_folder();
    let path = folder.path().join("hostile.mrc");
    let mut bytes = MrcBytes::new(2, [5, 4, 3]).bytes();
    for offset in [0, 4, 8] {
        bytes[offset..offset + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    }
    std::fs::write(&path, &bytes).unwrap();
    let message = open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("file ends before the data does"), "{message}");
}
