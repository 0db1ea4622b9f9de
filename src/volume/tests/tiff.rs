//! TIFF stacks made byte by byte, and what they must read as.

use std::io::Write;
use std::path::PathBuf;

use flate2::write::ZlibEncoder;
use half::f16;
use tempfile::TempDir;
use tiff::encoder::compression::{CompressionAlgorithm, Lzw, Packbits};

use super::super::{VolumeError, describe};
use super::{file, open_bytes, read, read_all, voxels_of};
use crate::geometry::VoxelBox;

const NONE: u64 = 1;
const LZW: u64 = 5;
const DEFLATE: u64 = 8;
const PACKBITS: u64 = 32773;

/// A TIFF file to be.
#[derive(Clone)]
pub(super) struct TiffBytes {
    pub(super) big_endian: bool,
    /// BigTIFF.
    pub(super) big: bool,
    /// z, y, x
    shape: [usize; 3],
    /// Sample format (1 unsigned, 2 signed, 3 float) and bits.
    kind: (u64, u64),
    pub(super) compression: u64,
    predictor: u64,
    /// Columns and rows of a tile, or 0 and the rows of a strip.
    chunk: [usize; 2],
    /// One value a voxel.
    values: Vec<f64>,
    description: Vec<u8>,
    /// Numerator and denominator along x and y, and the unit.
    resolution: Option<([u32; 2], u64)>,
    /// Further or other entries of the directories: tag, value.
    tags: Vec<(u16, u64)>,
    /// Pages of which a directory is written; the others follow the pixels of the first.
    directories: usize,
}

impl TiffBytes {
    /// A little-endian stack without compression, in strips of two rows, of values that the type can hold.
    pub(super) fn new(kind: (u64, u64), shape: [usize; 3]) -> Self {
        let count = shape.iter().product::<usize>() as u64;
        let offset = if kind.0 == 1 { 0.0 } else { 60.0 };
        Self {
            big_endian: false,
            big: false,
            shape,
            kind,
            compression: NONE,
            predictor: 1,
            chunk: [0, 2],
            values: (0..count).map(|index| ((index * 7 + index / 31) % 120) as f64 - offset).collect(),
            description: Vec::new(),
            resolution: None,
            tags: Vec::new(),
            directories: shape[0],
        }
    }

    fn number(&self, value: u64, size: usize) -> Vec<u8> {
        let bytes = value.to_be_bytes()[8 - size..].to_vec();
        if self.big_endian { bytes } else { bytes.into_iter().rev().collect() }
    }

    fn bytes_of(&self, value: f64) -> u64 {
        match self.kind {
            (3, 16) => u64::from(f16::from_f64(value).to_bits()),
            (3, 32) => u64::from((value as f32).to_bits()),
            (3, _) => value.to_bits(),
            _ => value as i64 as u64,
        }
    }

    /// The pixels of one chunk, before compression.
    fn chunk_bytes(&self, z: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Vec<u8> {
        let size = self.kind.1 as usize / 8;
        let mut bytes = Vec::new();
        for y in rows {
            // Padding repeats the last row and column.
            let row = columns.clone().map(|x| {
                let [_, height, width] = self.shape;
                self.bytes_of(self.values[(z * height + y.min(height - 1)) * width + x.min(width - 1)])
            });
            let row: Vec<u64> = row.collect();
            match self.predictor {
                2 => {
                    let before = [0].into_iter().chain(row.iter().copied());
                    bytes.extend(row.iter().zip(before).flat_map(|(now, before)| self.number(now.wrapping_sub(before), size)));
                }
                3 => {
                    // Adobe's note of 2005: the most significant bytes of the row first, then differences of neighbouring bytes.
                    let planes: Vec<u8> =
                        (0..size).flat_map(|plane| row.iter().map(move |value| value.to_be_bytes()[8 - size + plane])).collect();
                    let before = [0].into_iter().chain(planes.iter().copied());
                    bytes.extend(planes.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)));
                }
                _ => bytes.extend(row.iter().flat_map(|value| self.number(*value, size))),
            }
        }
        bytes
    }

    fn compress(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match self.compression {
            LZW => drop(Lzw.write_to(&mut out, bytes).unwrap()),
            PACKBITS => drop(Packbits.write_to(&mut out, bytes).unwrap()),
            DEFLATE => {
                let mut encoder = ZlibEncoder::new(&mut out, flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap();
            }
            _ => out.extend(bytes),
        }
        out
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let offset_bytes = if self.big { 8 } else { 4 };
        let mut out: Vec<u8> = if self.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        if self.big {
            out.extend([self.number(43, 2), self.number(8, 2), self.number(0, 2)].concat());
        } else {
            out.extend(self.number(42, 2));
        }
        let mut link = out.len();
        out.extend(vec![0; offset_bytes]);
        let [_, height, width] = self.shape;
        for z in 0..self.directories {
            let [tile, rows] = self.chunk;
            let (columns, padded) = if tile > 0 { (tile, true) } else { (width, false) };
            let (mut offsets, mut counts) = (Vec::new(), Vec::new());
            for top in (0..height).step_by(rows) {
                for left in (0..width).step_by(columns) {
                    let end = if padded { top + rows } else { (top + rows).min(height) };
                    let bytes = self.compress(&self.chunk_bytes(z, top..end, left..left + columns));
                    offsets.push(out.len() as u64);
                    counts.push(bytes.len() as u64);
                    out.extend(bytes);
                }
            }
            if z == 0 {
                for rest in self.directories..self.shape[0] {
                    out.extend(self.chunk_bytes(rest, 0..height, 0..width));
                }
            }
            // Tag, type, values.
            let mut entries: Vec<(u16, u64, Vec<u64>)> = vec![
                (256, 4, vec![width as u64]),
                (257, 3, vec![height as u64]),
                (258, 3, vec![self.kind.1]),
                (259, 3, vec![self.compression]),
                (262, 3, vec![1]),
                (277, 3, vec![1]),
                (339, 3, vec![self.kind.0]),
                (317, 3, vec![self.predictor]),
            ];
            let long = if self.big { 16 } else { 4 };
            if tile > 0 {
                let size = [(322, 3, vec![columns as u64]), (323, 3, vec![rows as u64])];
                entries.extend(size.into_iter().chain([(324, long, offsets), (325, long, counts)]));
            } else {
                entries.extend([(273, long, offsets), (278, 3, vec![rows as u64]), (279, long, counts)]);
            }
            if !self.description.is_empty() && z == 0 {
                entries.push((270, 2, self.description.iter().map(|byte| u64::from(*byte)).chain([0]).collect()));
            }
            if let Some(([pixels, units], unit)) = self.resolution {
                entries.extend([282, 283].map(|tag| (tag, 5, vec![u64::from(pixels), u64::from(units)])));
                entries.push((296, 3, vec![unit]));
            }
            for &(tag, value) in &self.tags {
                entries.retain(|entry| entry.0 != tag);
                entries.push((tag, 3, vec![value]));
            }
            entries.sort_by_key(|entry| entry.0);
            // The values that do not fit into their entries, then the directory.
            let mut written = Vec::new();
            for (tag, kind, values) in entries {
                let size = [0, 1, 1, 2, 4, 4, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8][kind as usize];
                let mut bytes: Vec<u8> = values.iter().flat_map(|value| self.number(*value, size)).collect();
                if bytes.len() > offset_bytes {
                    let place = out.len() as u64;
                    out.extend(&bytes);
                    bytes = self.number(place, offset_bytes);
                }
                bytes.resize(offset_bytes, 0);
                let count = if kind == 5 { 1 } else { values.len() as u64 };
                written.extend(
                    [self.number(u64::from(tag), 2), self.number(kind, 2), self.number(count, offset_bytes), bytes].concat(),
                );
            }
            let place = self.number(out.len() as u64, offset_bytes);
            out[link..link + offset_bytes].copy_from_slice(&place);
            let entry_bytes = 4 + 2 * offset_bytes;
            out.extend(self.number((written.len() / entry_bytes) as u64, if self.big { 8 } else { 2 }));
            out.extend(written);
            link = out.len();
            out.extend(vec![0; offset_bytes]);
        }
        out
    }

    fn value(&self, [z, y, x]: [usize; 3]) -> f32 {
        self.values[(z * self.shape[1] + y) * self.shape[2] + x] as f32
    }
}

fn check(tiff: &TiffBytes, what: &str) {
    let source = open_bytes(&tiff.bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(source.info().shape, tiff.shape, "{what}");
    let [z, y, x] = tiff.shape;
    for region in [VoxelBox::whole(tiff.shape), VoxelBox::new([1, 1, 2], [z, y - 1, x]), VoxelBox::new([0, y - 1, 0], [z, y, 1])]
    {
        let expected: Vec<f32> = voxels_of(region).map(|voxel| tiff.value(voxel)).collect();
        assert_eq!(read(source.as_ref(), region), expected, "{what}, {region:?}");
    }
}

#[test]
fn every_type_layout_compression_and_byte_order_reads_the_same_voxels() {
    let kinds = [(1, 8), (1, 16), (1, 32), (1, 64), (2, 8), (2, 16), (2, 32), (2, 64), (3, 16), (3, 32), (3, 64)];
    let names = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"];
    let layouts: Vec<([usize; 2], (bool, bool))> = [[0, 2], [0, 9], [16, 16], [4, 3]]
        .into_iter()
        .flat_map(|chunk| [(false, false), (true, true), (true, false)].map(|order| (chunk, order)))
        .collect();
    // Every type with every compression and predictor, and each of these with some of the layouts, all in turn.
    let mut turn = layouts.iter().cycle();
    for (kind, name) in kinds.into_iter().zip(names) {
        for compression in [NONE, LZW, DEFLATE, PACKBITS] {
            for predictor in if kind.0 == 3 { 1..=3 } else { 1..=2 } {
                for &(chunk, (big_endian, big)) in turn.by_ref().take(if compression == NONE { 7 } else { 3 }) {
                    let tiff = TiffBytes { big_endian, big, compression, predictor, chunk, ..TiffBytes::new(kind, [3, 9, 11]) };
                    check(&tiff, &format!("{name}, {compression}, {chunk:?}, {big_endian} {big}, predictor {predictor}"));
                    assert_eq!(open_bytes(&tiff.bytes()).unwrap().info().data_type, name);
                }
            }
        }
    }
}

#[test]
fn regions_large_enough_for_all_cores_read_the_same_voxels() {
    for compression in [NONE, DEFLATE] {
        check(&TiffBytes { compression, chunk: [0, 17], ..TiffBytes::new((1, 8), [40, 90, 100]) }, "large");
    }
}

#[test]
fn a_spacing_comes_from_imagej_ome_or_a_believable_resolution() {
    let spacing = |description: &str, resolution| {
        let tiff = TiffBytes { description: description.as_bytes().to_vec(), resolution, ..TiffBytes::new((1, 8), [3, 4, 5]) };
        let source = open_bytes(&tiff.bytes()).unwrap();
        (source.info().spacing_angstrom, source.info().warnings.join("\n"))
    };
    let imagej = |lines: &str| format!("ImageJ=1.54f\nimages=3\nslices=3\n{lines}loop=false\n");
    let known = |angstrom: f64| (Some(angstrom), String::new());
    assert_eq!(spacing(&imagej("unit=nm\nspacing=1.348\n"), Some(([741_839, 1_000_000], 1))), known(13.48));
    assert_eq!(spacing(&imagej("unit=\\u00B5m\nspacing=0.001\n"), Some(([1000, 1], 1))), known(10.0));
    assert_eq!(spacing(&imagej("unit=angstrom\n"), Some(([1, 8], 1))), known(8.0));
    let (x, warning) = spacing(&imagej("unit=nm\nspacing=2\n"), Some(([1, 1], 1)));
    assert!(x == Some(10.0) && warning.contains("anisotropic voxels of 10 x 10 x 20"), "{warning}");
    for (lines, resolution, why) in [
        ("unit=pixel\n", Some(([1, 1], 1)), "ImageJ's unit is `pixel`"),
        ("", Some(([1, 1], 1)), "no unit"),
        ("unit=nm\n", None, "resolution along x is missing"),
        ("unit=nm\n", Some(([0, 1], 1)), "resolution along x is missing"),
        ("unit=inch\n", Some(([72, 1], 2)), "would be"),
    ] {
        let (x, warning) = spacing(&imagej(lines), resolution);
        assert!(x.is_none() && warning.starts_with("spacing unknown") && warning.contains(why), "{lines:?}: {warning}");
    }
    let ome = |attributes: &str| {
        format!("<?xml version=\"1.0\"?>\n<!-- x --><OME xmlns=\"o\"><Image><Pixels ID=\"p\" SizeZ=\"3\" {attributes}></Pixels>")
    };
    assert_eq!(spacing(&ome("PhysicalSizeX=\"1.1\" PhysicalSizeXUnit=\"nm\""), None), known(11.0));
    assert_eq!(spacing(&ome("PhysicalSizeX=\"0.00084\" PhysicalSizeY=\"0.00084\""), Some(([72, 1], 2))), known(8.4));
    assert_eq!(spacing(&ome(""), None).0, None);
    assert_eq!(spacing(&ome("PhysicalSizeX=\"1\" PhysicalSizeXUnit=\"pixel\""), None).0, None);
    assert_eq!(spacing("", Some(([10_000_000, 1], 3))), known(10.0));
    assert_eq!(spacing("", Some(([72, 1], 2))).0, None);
    assert_eq!(spacing("", None).0, None);
}

#[test]
fn imagejs_large_stacks_have_one_directory_for_all_images() {
    let mut tiff = TiffBytes::new((1, 16), [7, 5, 6]);
    tiff.directories = 1;
    tiff.description = b"ImageJ=1.54f\nimages=7\nslices=7\nunit=nm\nspacing=1\n".to_vec();
    tiff.resolution = Some(([1, 1], 1));
    check(&tiff, "one directory");
    let bytes = tiff.bytes();
    assert_eq!(open_bytes(&bytes).unwrap().info().spacing_angstrom, Some(10.0));
    tiff.description = b"ImageJ=1.54f\nimages=700\n".to_vec();
    assert!(matches!(open_bytes(&tiff.bytes()), Err(VolumeError::Truncated { .. })));
    // Another program may have kept the description of a stack with one of its pages.
    tiff.compression = DEFLATE;
    let one = open_bytes(&tiff.bytes()).unwrap();
    assert_eq!(one.info().shape, [1, 5, 6]);
    let told = one.info().warnings.join("\n");
    assert!(told.contains("speaks of 700 images, the file has 1"), "{told}");
}

#[test]
fn pages_that_are_no_sections_of_a_volume_are_refused_by_name() {
    let message = |tags: &[(u16, u64)]| {
        let bytes = TiffBytes { tags: tags.to_vec(), ..TiffBytes::new((1, 8), [2, 4, 5]) }.bytes();
        open_bytes(&bytes).map(|_| ()).unwrap_err().to_string()
    };
    for (tags, words) in [
        (&[(262, 2), (277, 3)][..], "page 1 is in colour (RGB)"),
        (&[(262, 3)], "page 1 has a palette"),
        (&[(262, 6)], "YCbCr"),
        (&[(277, 2)], "2 values a pixel"),
        (&[(258, 1)], "whole numbers of 1 bits"),
        (&[(258, 12)], "12 bits"),
        (&[(339, 6)], "complex"),
        (&[(339, 3), (258, 24)], "floats of 24 bits"),
        (&[(259, 7)], "JPEG compression"),
        (&[(259, 50000)], "zstd compression"),
        (&[(259, 4)], "fax compression"),
        (&[(266, 2)], "reverse order"),
        (&[(317, 3)], "no predictor 3"),
        (&[(278, 1)], "2 strips or tiles of 4"),
        (&[(256, 0)], "size is missing or not positive"),
        (&[(257, 60000), (278, 60000)], "file ends before the data does"),
        (&[(259, 8), (257, 60000), (278, 60000)], "cannot be in the 10 bytes"),
    ] {
        let message = message(tags);
        assert!(message.contains(words), "{tags:?}: {message}");
    }
    let mut other = TiffBytes::new((1, 8), [1, 4, 5]).bytes();
    // A chain of two: the second page, behind the first, has another width.
    let second = TiffBytes::new((1, 8), [1, 4, 6]).bytes();
    let link = other.len() - 4;
    let directory = u32::from_le_bytes(second[4..8].try_into().unwrap());
    assert_eq!(second[directory as usize + 10..][..4], [6, 0, 0, 0], "the width is the first entry");
    let at = other.len() as u32 + directory;
    other[link..].copy_from_slice(&at.to_le_bytes());
    other.extend(second);
    let message = open_bytes(&other).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("page 2 is 6 x 4 uint8, the first page 5 x 4 uint8"), "{message}");
}

#[test]
fn hyperstacks_are_refused_and_other_names_for_z_are_taken() {
    let open_with = |description: &str| {
        open_bytes(&TiffBytes { description: description.as_bytes().to_vec(), ..TiffBytes::new((1, 8), [6, 4, 5]) }.bytes())
    };
    let message = open_with("ImageJ=1\nimages=6\nchannels=2\nslices=3\n").map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("2 channels of 3 sections at 1 times"), "{message}");
    let frames = open_with("ImageJ=1\nimages=6\nframes=6\n").unwrap();
    assert!(frames.info().warnings[0].contains("6 time points"), "{:?}", frames.info().warnings);
}

#[test]
fn inverted_and_reduced_pages_are_told() {
    let open_with = |tags: &[(u16, u64)]| {
        open_bytes(&TiffBytes { tags: tags.to_vec(), ..TiffBytes::new((3, 32), [3, 4, 5]) }.bytes()).unwrap()
    };
    let inverted = open_with(&[(262, 0)]);
    assert!(inverted.info().warnings[0].contains("0 as white"));
    assert_eq!(read_all(inverted.as_ref()), read_all(open_with(&[]).as_ref()));
    // Every page says so, but the first is the volume itself.
    let reduced = open_with(&[(254, 1)]);
    assert_eq!(reduced.info().shape, [1, 4, 5]);
    assert!(reduced.info().warnings[0].contains("2 pages of reduced resolution"));
}

#[test]
fn voxels_that_are_not_finite_read_as_the_mean_of_the_others() {
    for compression in [NONE, DEFLATE] {
        let mut tiff = TiffBytes { compression, ..TiffBytes::new((3, 32), [2, 3, 4]) };
        tiff.values = (0..24).map(f64::from).collect();
        tiff.values[5] = f64::NAN;
        tiff.values[6] = f64::INFINITY;
        let source = open_bytes(&tiff.bytes()).unwrap();
        let mean = (276.0 - 11.0) / 22.0;
        assert_eq!(read(source.as_ref(), VoxelBox::new([0, 1, 0], [1, 2, 4])), [4.0, mean as f32, mean as f32, 7.0]);
        let (_folder, path) = file(&tiff.bytes());
        let description = describe(&path, &[]).unwrap();
        assert_eq!(description.not_finite, 2);
        assert!(description.warnings.iter().any(|warning| warning.contains("2 voxels are not finite")));
    }
}

#[test]
fn a_damaged_strip_is_an_error_that_names_its_page() {
    let tiff = TiffBytes { compression: DEFLATE, chunk: [0, 9], ..TiffBytes::new((1, 8), [3, 9, 11]) };
    let mut bytes = tiff.bytes();
    bytes[8..20].fill(0xaa);
    let source = open_bytes(&bytes).unwrap();
    let mut out = vec![0.0; 99];
    let error = source.read_region(0, VoxelBox::new([0, 0, 0], [1, 9, 11]), &mut out).unwrap_err();
    assert!(matches!(error, VolumeError::TiffPage { page: 1, .. }), "{error}");
    source.read_region(0, VoxelBox::new([1, 0, 0], [2, 9, 11]), &mut out).unwrap();
    assert_eq!(out[0], tiff.value([1, 0, 0]));
}

#[test]
fn chains_of_directories_that_never_end_are_refused() {
    let bytes = TiffBytes::new((1, 8), [2, 4, 5]).bytes();
    let message = |bytes: &[u8]| open_bytes(bytes).map(|_| ()).unwrap_err().to_string();
    let mut cycle = bytes.clone();
    let (end, first) = (bytes.len() - 4, cycle[4..8].to_vec());
    cycle[end..].copy_from_slice(&first);
    assert!(message(&cycle).contains("directory is that of an earlier page"));
    cycle[end..].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    assert!(message(&cycle).contains("page 3: its directory does not lie in the file"));
    assert!(message(b"II*\0\0\0\0\0").contains("there is no page"));
    // Directories of 5000 entries that begin 12 bytes apart.
    let count = 5000_u16;
    let mut overlapping = b"II*\0\x08\0\0\0".to_vec();
    overlapping.extend((0..40_000).flat_map(|_| [count.to_le_bytes(), [0x88, 0x13]].concat()));
    assert!(open_bytes(&overlapping).is_err());
}

#[test]
fn a_tiff_file_cut_while_it_is_open_gives_an_error() {
    let (_folder, path): (TempDir, PathBuf) = file(&TiffBytes::new((1, 8), [3, 40, 50]).bytes());
    let source = super::super::open(&path).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3000).unwrap();
    let result = source.read_region(0, VoxelBox::new([2, 0, 0], [3, 1, 50]), &mut [0.0; 50]);
    assert!(matches!(result, Err(VolumeError::Shrunk { .. })));
}
