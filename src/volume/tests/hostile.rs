//! Damaged files: whatever the bytes, an error or a volume that the file can hold, never a panic.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::open;
use super::MrcBytes;
use crate::geometry::VoxelBox;

/// Opens, and reads all if that succeeds; returns whether it did.
fn attempt(path: &Path, bytes: &[u8]) -> bool {
    // Not `fs::write`: some file systems put a file on the disk at once when it was emptied and written again.
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let Ok(source) = open(path) else { return false };
    let shape = source.info().shape;
    let voxels: u128 = shape.iter().map(|size| *size as u128).product();
    assert!(voxels <= 2 * bytes.len().max(4096) as u128, "{shape:?} cannot be in {} bytes", bytes.len());
    assert!(source.info().spacing_angstrom.is_none_or(|spacing| spacing.is_finite() && spacing > 0.0));
    let mut out = vec![0.0; voxels as usize];
    source.read_region(0, VoxelBox::whole(shape), &mut out).unwrap();
    assert!(out.iter().all(|value| value.is_finite()));
    true
}

#[test]
fn no_value_of_any_header_byte_does_harm() {
    let folder = tempfile::tempdir().unwrap();
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
    let folder = tempfile::tempdir().unwrap();
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
    let folder = tempfile::tempdir().unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.mrc");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&MrcBytes::new(2, [5, 4, 3]).bytes()).unwrap();
    let bytes = encoder.finish().unwrap();
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

#[test]
fn a_small_file_that_promises_exabytes_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.mrc");
    let mut bytes = MrcBytes::new(2, [5, 4, 3]).bytes();
    for offset in [0, 4, 8] {
        bytes[offset..offset + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    }
    std::fs::write(&path, &bytes).unwrap();
    let message = open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("file ends before the data does"), "{message}");
}
