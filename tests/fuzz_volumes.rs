//! Damaged volumes, many at random: an error or a right answer, never a panic, a hang, or more memory than the file justifies.
//!
//! `tests/support/fuzz.rs` says how it works; `tests/corpus/volumes/` holds earlier findings. Longer runs:
//! `SEMIETPICKER_FUZZ_SECONDS=300 cargo test --test fuzz_volumes -- --nocapture`.

#[path = "support/fuzz.rs"]
mod fuzz;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use semietpicker::geometry::VoxelBox;
use semietpicker::volume::open;
use tiff::encoder::compression::{CompressionAlgorithm, Deflate, Lzw, Packbits};

/// Earlier findings.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/volumes");

/// Voxels that a test reads of one region: reading costs what is asked for, not what the file says.
const REGION_VOXELS: usize = 1 << 14;

/// A small MRC file of `[x, y, z]` voxels.
fn mrc(mode: i32, counts: [i32; 3], axes: [i32; 3], extended: usize, big_endian: bool) -> Vec<u8> {
    let mut bytes = vec![0; 1024 + extended];
    let mut put = |offset: usize, value: i32| {
        bytes[offset..offset + 4].copy_from_slice(&if big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    };
    put(12, mode);
    for axis in 0..3 {
        put(4 * axis, counts[axis]);
        put(28 + 4 * axis, counts[axis]);
        put(40 + 4 * axis, (counts[axis] as f32 * 7.5).to_bits() as i32);
        put(52 + 4 * axis, 90.0_f32.to_bits() as i32);
        put(64 + 4 * axis, axes[axis]);
    }
    put(88, 1);
    put(92, extended as i32);
    put(220, 1);
    bytes[208..212].copy_from_slice(b"MAP ");
    bytes[212..214].copy_from_slice(if big_endian { &[0x11, 0x11] } else { &[0x44, 0x44] });
    let bits = match mode {
        0 => 8,
        2 => 32,
        101 => 4,
        _ => 16,
    };
    let row = (counts[0] as usize * bits).div_ceil(8);
    bytes.extend((0..row * counts[1] as usize * counts[2] as usize).map(|index| (index % 61) as u8));
    bytes
}

fn mrcs() -> Vec<Vec<u8>> {
    vec![
        mrc(2, [5, 4, 3], [1, 2, 3], 0, false),
        mrc(12, [6, 5, 4], [3, 1, 2], 40, false),
        mrc(101, [7, 3, 2], [1, 2, 3], 0, true),
        mrc(0, [9, 4, 3], [2, 1, 3], 0, false),
    ]
}

/// What a small TIFF stack is made of.
#[derive(Clone, Copy)]
struct Tiff {
    big: bool,
    big_endian: bool,
    compression: u16,
    predictor: u16,
    bits: u16,
    format: u16,
    /// Tiles of 16 x 16 instead of strips of 3 rows.
    tiled: bool,
    description: &'static str,
    /// Pages, and how many of them have a directory.
    pages: [usize; 2],
}

const PLAIN: Tiff = Tiff {
    big: false,
    big_endian: false,
    compression: 1,
    predictor: 1,
    bits: 8,
    format: 1,
    tiled: false,
    description: "",
    pages: [2, 2],
};

/// A stack of sections of 7 x 5 pixels.
fn tiff(kind: Tiff) -> Vec<u8> {
    const SIZE: [usize; 2] = [7, 5];
    let number = |value: u64, size: usize| {
        let bytes = value.to_be_bytes()[8 - size..].to_vec();
        if kind.big_endian { bytes } else { bytes.into_iter().rev().collect() }
    };
    let offset_bytes = if kind.big { 8 } else { 4 };
    let mut out = if kind.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    out.extend(if kind.big { [number(43, 2), number(8, 2), number(0, 2)].concat() } else { number(42, 2) });
    let mut link = out.len();
    out.extend(vec![0; offset_bytes]);
    for page in 0..kind.pages[1] {
        let (columns, rows) = if kind.tiled { (16, 16) } else { (SIZE[0], 3) };
        let (mut offsets, mut counts) = (Vec::new(), Vec::new());
        for top in (0..SIZE[1]).step_by(rows) {
            let rows = if kind.tiled { rows } else { rows.min(SIZE[1] - top) };
            let plain: Vec<u8> =
                (0..rows * columns * usize::from(kind.bits) / 8).map(|index| ((index + page) % 53) as u8).collect();
            let mut packed = Vec::new();
            match kind.compression {
                5 => Lzw.write_to(&mut packed, &plain),
                8 => Deflate::default().write_to(&mut packed, &plain),
                32773 => Packbits.write_to(&mut packed, &plain),
                _ => packed.write(&plain).map(|bytes| bytes as u64),
            }
            .expect("writing to memory");
            offsets.push(out.len() as u64);
            counts.push(packed.len() as u64);
            out.extend(packed);
        }
        // Images without directories, as ImageJ writes large stacks.
        out.extend(vec![3; (kind.pages[0] - kind.pages[1]) * SIZE[0] * SIZE[1] * usize::from(kind.bits) / 8]);
        let long = if kind.big { 16 } else { 4 };
        let mut entries: Vec<(u16, u16, Vec<u64>)> = vec![
            (256, 3, vec![SIZE[0] as u64]),
            (257, 4, vec![SIZE[1] as u64]),
            (258, 3, vec![u64::from(kind.bits)]),
            (259, 3, vec![u64::from(kind.compression)]),
            (262, 3, vec![1]),
            (270, 2, kind.description.bytes().map(u64::from).chain([0]).collect()),
            (282, 5, vec![1000, 1348]),
            (317, 3, vec![u64::from(kind.predictor)]),
            (339, 3, vec![u64::from(kind.format)]),
        ];
        if kind.tiled {
            entries.extend([(322, 3, vec![16]), (323, 3, vec![16]), (324, long, offsets), (325, long, counts)]);
        } else {
            entries.extend([(273, long, offsets), (278, 3, vec![3]), (279, long, counts)]);
        }
        entries.sort_by_key(|entry| entry.0);
        let mut directory = number(entries.len() as u64, if kind.big { 8 } else { 2 });
        for (tag, form, values) in entries {
            let size = [0, 1, 1, 2, 4, 4, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8][usize::from(form)];
            let mut bytes: Vec<u8> = values.iter().flat_map(|value| number(*value, size)).collect();
            if bytes.len() > offset_bytes {
                let place = number(out.len() as u64, offset_bytes);
                out.extend(std::mem::replace(&mut bytes, place));
            }
            bytes.resize(offset_bytes, 0);
            let count = if form == 5 { 1 } else { values.len() as u64 };
            directory
                .extend([number(u64::from(tag), 2), number(u64::from(form), 2), number(count, offset_bytes), bytes].concat());
        }
        let place = number(out.len() as u64, offset_bytes);
        out[link..link + offset_bytes].copy_from_slice(&place);
        out.extend(directory);
        link = out.len();
        out.extend(vec![0; offset_bytes]);
    }
    out
}

fn tiffs() -> Vec<Vec<u8>> {
    let imagej = "ImageJ=1.54f\nimages=4\nslices=4\nunit=nm\nspacing=1.348\n";
    let ome = "<?xml version=\"1.0\"?><OME><Image><Pixels PhysicalSizeX=\"0.001\" SizeZ=\"2\" SizeC=\"1\"/></Image></OME>";
    vec![
        tiff(PLAIN),
        tiff(Tiff { bits: 16, big_endian: true, tiled: true, ..PLAIN }),
        tiff(Tiff { compression: 5, bits: 16, predictor: 2, big: true, ..PLAIN }),
        tiff(Tiff { compression: 8, bits: 32, format: 3, predictor: 3, tiled: true, ..PLAIN }),
        tiff(Tiff { compression: 8, bits: 64, format: 3, description: ome, ..PLAIN }),
        tiff(Tiff { compression: 32773, format: 2, big_endian: true, ..PLAIN }),
        tiff(Tiff { description: imagej, pages: [4, 1], ..PLAIN }),
    ]
}

/// Puts inputs into a file, opens it and reads some of it.
struct Attempts {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Attempts {
    fn new() -> Self {
        // In memory where that is to be had: a disk that others use would set the pace.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a temporary folder");
        let path = folder.path().join("input");
        Self { _folder: folder, path }
    }

    /// Whether `bytes` are a volume of which two corners can be read.
    fn read(&self, bytes: &[u8]) -> bool {
        // Not `fs::write`: some file systems put a file on the disk at once when it was emptied and written again.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.set_len(bytes.len() as u64)));
        written.expect("the input can be written");
        read(&self.path)
    }
}

fn read(path: &Path) -> bool {
    let source = match open(path) {
        Ok(source) => source,
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1000 && message.contains(&path.display().to_string()), "{message}");
            return false;
        }
    };
    let shape = source.info().shape;
    assert!(shape.iter().all(|size| *size > 0), "{shape:?}");
    assert!(source.info().spacing_angstrom.is_none_or(|spacing| spacing.is_finite() && spacing > 0.0));
    let mut good = true;
    // A box at either corner, of all voxels when they are few.
    let mut size = shape;
    while size.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)).is_none_or(|voxels| voxels > REGION_VOXELS) {
        let longest = (0..3).max_by_key(|axis| size[*axis]).unwrap_or(0);
        size[longest] = size[longest].div_ceil(2);
    }
    let last = [0, 1, 2].map(|axis| shape[axis] - size[axis]);
    for region in [VoxelBox::new([0; 3], size), VoxelBox::new(last, shape)] {
        let mut out = vec![f32::NAN; region.voxels()];
        match source.read_region(0, region, &mut out) {
            Ok(()) => assert!(out.iter().all(|value| value.is_finite())),
            Err(_) => good = false,
        }
    }
    good
}

/// Sizes, mode, axes, and the rest that decides how an MRC file is read.
fn mrc_fields() -> impl Iterator<Item = (usize, usize)> {
    [0, 4, 8, 12, 28, 40, 64, 68, 72, 88, 92, 152, 156, 212, 220].into_iter().map(|offset| (offset, 4))
}

#[test]
fn mrc_files() {
    let attempts = Attempts::new();
    fuzz::Fuzzer::new("mrc", "mrc")
        .seeds(mrcs())
        .regressions(CORPUS)
        .fields(mrc_fields())
        .tokens(&[
            b"MAP ",
            b"\x44\x44\0\0",
            b"\x11\x11\0\0",
            b"\x44\x20\x20\x20",
            b"version https://git-lfs",
            b"\x09\x04\x4f\x44",
        ])
        .allowance(|length| (1 << 20) + 16 * length)
        .run(|bytes| attempts.read(bytes));
}

#[test]
fn tiff_files() {
    let attempts = Attempts::new();
    fuzz::Fuzzer::new("tiff", "tif")
        .seeds(tiffs())
        .regressions(CORPUS)
        .fields([(2, 2), (4, 4), (8, 8)])
        .tokens(&[
            b"II*\0",
            b"MM\0*",
            b"II+\0\x08\0\0\0",
            b"ImageJ=1\n",
            b"images=4000000000\n",
            b"channels=2\n",
            b"unit=\\u00B5m\n",
            b"<OME><Pixels PhysicalSizeX=\"",
            b"\x00\x01\x03\x00\x01\x00\x00\x00",
            b"\x11\x01\x04\x00\x01\x00\x00\x00",
            b"\x03\x01\x03\x00\x01\x00\x00\x00\x05\x00\x00\x00",
        ])
        // A byte of LZW stands for 4096 pixels at most.
        .allowance(|length| (1 << 20) + 4096 * length)
        .run(|bytes| attempts.read(bytes));
}

/// What decompression holds whatever the file: buffers, and bzip2's block.
fn decompressing(length: usize) -> usize {
    (12 << 20) + 16 * length
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory")
}

#[test]
fn gzip_files() {
    let attempts = Attempts::new();
    fuzz::Fuzzer::new("gzip", "mrc.gz")
        .seeds(mrcs().iter().map(|bytes| gzip(bytes)))
        .regressions(CORPUS)
        .allowance(decompressing)
        .run(|bytes| attempts.read(bytes));
}

#[test]
fn bzip2_files() {
    let attempts = Attempts::new();
    fuzz::Fuzzer::new("bzip2", "mrc.bz2")
        .seeds(mrcs().iter().map(|bytes| bzip2(bytes)))
        .regressions(CORPUS)
        .allowance(decompressing)
        .run(|bytes| attempts.read(bytes));
}

#[test]
fn damaged_mrc_files_compressed_by_gzip() {
    let attempts = Attempts::new();
    fuzz::Fuzzer::new("gzipped", "mrc")
        .seeds(mrcs())
        .regressions(CORPUS)
        .fields(mrc_fields())
        .allowance(decompressing)
        .run(|bytes| attempts.read(&gzip(bytes)));
}
