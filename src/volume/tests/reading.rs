//! What well-formed files must read as, and how files of other kinds are refused.

use std::io::Write;
use std::path::Path;

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::{MemoryVolume, VolumeError, VolumeSource, open};
use super::{MrcBytes, file, open_bytes, read, read_all, voxels_of};
use crate::geometry::VoxelBox;

const PERMUTATIONS: [[i32; 3]; 6] = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn warnings(bytes: &[u8]) -> Vec<String> {
    open_bytes(bytes).unwrap().info().warnings.clone()
}

#[test]
fn every_mode_byte_order_and_axis_order_reads_the_same_voxels() {
    for mode in [0, 1, 2, 6, 12, 101] {
        for big_endian in [false, true] {
            for axes in PERMUTATIONS {
                // An odd extended header puts the voxels at addresses that their type does not like.
                for extended in [0, 77] {
                    let mrc = MrcBytes { big_endian, axes, extended, ..MrcBytes::new(mode, [7, 5, 6]) };
                    let source = open_bytes(&mrc.bytes()).unwrap();
                    assert_eq!(source.info().warnings, Vec::<String>::new());
                    let shape = source.info().shape;
                    for region in
                        [VoxelBox::whole(shape), VoxelBox::new([1, 2, 1], [3, 5, 4]), VoxelBox::new([2, 0, 3], [2, 1, 4])]
                    {
                        let expected: Vec<f32> = voxels_of(region).map(|voxel| mrc.value(voxel)).collect();
                        assert_eq!(
                            read(source.as_ref(), region),
                            expected,
                            "mode {mode}, {axes:?}, big {big_endian}, {region:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn regions_large_enough_for_all_cores_read_the_same_voxels() {
    for axes in [[1, 2, 3], [3, 1, 2]] {
        let mrc = MrcBytes { axes, ..MrcBytes::new(1, [90, 80, 70]) };
        let source = open_bytes(&mrc.bytes()).unwrap();
        let mut region = VoxelBox::whole(source.info().shape);
        region.start = [1, 2, 3];
        let expected: Vec<f32> = voxels_of(region).map(|voxel| mrc.value(voxel)).collect();
        assert!(expected.len() > 1 << 18, "the region must not be read on one core");
        assert!(read(source.as_ref(), region) == expected, "{axes:?}");
    }
}

#[test]
fn the_imod_flag_decides_whether_bytes_have_a_sign() {
    let mut mrc = MrcBytes::new(0, [4, 3, 2]);
    mrc.values[0] = -1.0;
    let first = |mrc: &MrcBytes| {
        let source = open_bytes(&mrc.bytes()).unwrap();
        (read_all(source.as_ref())[0], source.info().data_type.clone())
    };
    assert_eq!(first(&mrc), (-1.0, "int8".to_owned()));
    mrc.ints = vec![(152, 1_146_047_817), (156, 0)];
    assert_eq!(first(&mrc), (255.0, "uint8".to_owned()));
    mrc.ints = vec![(152, 1_146_047_817), (156, 1)];
    assert_eq!(first(&mrc), (-1.0, "int8".to_owned()));
}

#[test]
fn a_swapped_stamp_is_recognised_by_the_sizes() {
    let mut bytes = MrcBytes::new(2, [7, 5, 6]).bytes();
    bytes[212..214].copy_from_slice(&[0x11, 0x11]);
    let source = open_bytes(&bytes).unwrap();
    assert!(source.info().warnings[0].contains("only as little-endian"), "{:?}", source.info().warnings);
    assert_eq!(source.info().shape, [6, 5, 7]);
    let mut bytes = MrcBytes { big_endian: true, ..MrcBytes::new(1, [7, 5, 6]) }.bytes();
    bytes[212..216].copy_from_slice(&[0; 4]);
    assert!(warnings(&bytes)[0].contains("read as big-endian"));
}

#[test]
fn each_stamp_in_use_is_known_and_others_are_told() {
    for (stamp, big_endian, known) in [
        ([0x44, 0x44, 0, 0], false, true),
        ([0x44, 0x41, 0, 0], false, true),
        ([0x11, 0x11, 0, 0], true, true),
        ([0, 0, 0, 0], false, false),
        ([0x44, 0x20, 0x20, 0x20], true, false),
        ([1, 2, 3, 4], true, false),
    ] {
        let mut bytes = MrcBytes { big_endian, ..MrcBytes::new(2, [7, 5, 6]) }.bytes();
        bytes[212..216].copy_from_slice(&stamp);
        let source = open_bytes(&bytes).unwrap();
        assert_eq!(source.info().shape, [6, 5, 7]);
        let told = source.info().warnings.iter().any(|warning| warning.contains("unknown machine stamp"));
        assert_eq!(told, !known, "{stamp:02x?}: {:?}", source.info().warnings);
    }
}

#[test]
fn complex_and_unknown_modes_are_refused() {
    for mode in [3, 4] {
        let mut mrc = MrcBytes::new(2, [4, 3, 2]);
        mrc.ints = vec![(12, mode)];
        assert!(matches!(open_bytes(&mrc.bytes()), Err(VolumeError::Complex { .. })), "{mode}");
    }
    for mode in [5, 7, 16, -1, i32::MAX] {
        let mut mrc = MrcBytes::new(2, [4, 3, 2]);
        mrc.ints = vec![(12, mode)];
        assert!(matches!(open_bytes(&mrc.bytes()), Err(VolumeError::UnknownMode { .. })), "{mode}");
    }
}

#[test]
fn what_was_understood_can_be_asked_for() {
    let mut mrc = MrcBytes { axes: [3, 2, 1], extended: 8, ..MrcBytes::new(0, [7, 5, 6]) };
    mrc.ints = vec![(152, 1_146_047_817), (156, 0), (16, 3), (220, 2), (224, i32::from_le_bytes(*b"abc ")), (88, 1)];
    let source = open_bytes(&mrc.bytes()).unwrap();
    let fact = |name: &str| {
        let facts = &source.info().facts;
        facts.iter().find(|fact| fact.name == name).unwrap_or_else(|| panic!("{name}: {facts:?}")).value.clone()
    };
    assert_eq!(fact("form"), "MRC, mode 0 (uint8, unsigned bytes by IMOD's flag)");
    assert_eq!(fact("compression"), "none");
    assert_eq!(fact("byte order"), "little-endian, machine stamp 44 44 00 00");
    assert_eq!(fact("axes"), "columns z, rows y, sections x");
    assert_eq!(fact("spacing from"), "cell / sampling along x, y, z: 60 / 6, 50 / 5, 70 / 7");
    assert!(fact("origin").contains("start [3, 0, 0] (x, y, z); positions ignore both"));
    assert_eq!(fact("extended header"), "8 bytes");
    assert_eq!(fact("label"), "abc");
    assert!(fact("header's statistics").starts_with("minimum 0"));
}

#[test]
fn spacing_is_cell_over_sampling_to_the_digits_that_were_meant() {
    let spacing = |sampling: i32, cell: f32| {
        let bits = cell.to_bits() as i32;
        let fields = [(28, sampling), (32, sampling), (36, sampling), (40, bits), (44, bits), (48, bits)];
        let mrc = MrcBytes { ints: fields.to_vec(), ..MrcBytes::new(0, [7, 5, 6]) };
        open_bytes(&mrc.bytes()).unwrap().info().spacing_angstrom
    };
    assert_eq!(spacing(34, 344.182), Some(10.123));
    assert_eq!(spacing(928, 928.0 * 13.48), Some(13.48));
    assert_eq!(spacing(3, 1.0), Some(0.333_333_3));
    assert_eq!(spacing(1000, 1000.0), None);
    assert_eq!(spacing(0, 100.0), None);
    assert_eq!(spacing(-7, -70.0), None);
    for cell in [f32::NAN, f32::INFINITY, -1.0, 1e-30, 1e30] {
        assert_eq!(spacing(7, cell), None, "{cell}");
    }
}

#[test]
fn each_oddity_of_a_header_is_told() {
    let with =
        |ints: &[(usize, i32)]| warnings(&MrcBytes { ints: ints.to_vec(), ..MrcBytes::new(1, [7, 5, 6]) }.bytes()).join("\n");
    assert!(with(&[(16, 3)]).contains("origin is ignored"));
    assert!(with(&[(204, 12.5_f32.to_bits() as i32)]).contains("origin is ignored"));
    assert!(with(&[(88, 0)]).contains("flagged as an image stack"));
    assert!(with(&[(88, 401)]).contains("stack of volumes"));
    assert!(with(&[(56, 75.0_f32.to_bits() as i32)]).contains("cell angles"));
    assert!(with(&[(64, 2)]).contains("axis order 2, 2, 3 is none"));
    assert!(with(&[(92, -5)]).contains("negative"));
    assert_eq!(with(&[(64, 0), (68, 0), (72, 0)]), "");
    let mut long = MrcBytes::new(1, [7, 5, 6]).bytes();
    long.extend([1; 13]);
    assert!(warnings(&long)[0].contains("13 bytes longer"));
    // A single image need not be flagged as a volume.
    assert!(warnings(&MrcBytes { ints: vec![(88, 0)], ..MrcBytes::new(1, [7, 5, 1]) }.bytes()).is_empty());
}

#[test]
fn voxels_that_are_not_finite_read_as_the_mean_of_the_others() {
    for (mode, axes) in [(2, [1, 2, 3]), (12, [1, 2, 3]), (2, [3, 2, 1])] {
        let mut mrc = MrcBytes { axes, ..MrcBytes::new(mode, [4, 3, 2]) };
        mrc.values = (0..24).map(|value| value as f32).collect();
        mrc.values[5] = f32::NAN;
        mrc.values[6] = f32::NEG_INFINITY;
        mrc.values[7] = f32::INFINITY;
        let source = open_bytes(&mrc.bytes()).unwrap();
        let mean = (276.0 - 18.0) / 21.0;
        let expected: Vec<f32> = voxels_of(VoxelBox::whole(source.info().shape))
            .map(|voxel| mrc.value(voxel))
            .map(|value| if value.is_finite() { value } else { mean as f32 })
            .collect();
        assert_eq!(read_all(source.as_ref()), expected);
        let mut stored = vec![0.0; 24];
        source.read_region_as_stored(0, VoxelBox::whole(source.info().shape), &mut stored).unwrap();
        assert_eq!(stored.iter().filter(|value| !value.is_finite()).count(), 3);
    }
    let nothing = MrcBytes { values: vec![f32::NAN; 24], ..MrcBytes::new(2, [4, 3, 2]) };
    assert_eq!(read_all(open_bytes(&nothing.bytes()).unwrap().as_ref()), [0.0; 24]);
}

#[test]
fn compressed_volumes_read_like_plain_ones() {
    let mrc = MrcBytes { extended: 100, ..MrcBytes::new(1, [70, 50, 60]) };
    let plain = mrc.bytes();
    for pack in [gzip, bzip2] {
        let source = open_bytes(&pack(&plain)).unwrap();
        assert!(source.info().warnings.is_empty());
        assert!(read_all(source.as_ref()) == mrc.values);
        // Two streams one after the other are one file, as `cat` makes them.
        let joined = [pack(&plain[..5000]), pack(&plain[5000..])].concat();
        assert!(read_all(open_bytes(&joined).unwrap().as_ref()) == mrc.values);
        let mut long = plain.clone();
        long.push(0);
        assert!(warnings(&pack(&long))[0].contains("longer than its header says"));
        let absent = [&plain[..1024], &plain[1124..]].concat();
        assert!(warnings(&pack(&absent))[0].contains("extended header promised but absent"));
    }
}

#[test]
fn damaged_or_misleading_compressed_files_are_refused() {
    let plain = MrcBytes::new(1, [70, 50, 60]).bytes();
    let message = |bytes: &[u8]| open_bytes(bytes).map(|_| ()).unwrap_err().to_string();
    for (pack, name) in [(gzip as fn(&[u8]) -> Vec<u8>, "gzip"), (bzip2, "bzip2")] {
        let packed = pack(&plain);
        assert!(message(&packed[..packed.len() / 2]).contains(&format!("the {name} data are damaged or cut short")));
        assert!(message(&pack(&plain[..20_000])).contains("file ends before the data does"));
        assert!(message(&pack(&plain[..600])).contains("shorter than a header"));
        assert!(message(&pack(&[])).contains("empty file"));
        assert!(message(&pack(&packed)).contains("compressed twice"));
        assert!(message(&pack("a text\n".repeat(500).as_bytes())).contains("not MRC, TIFF or Zarr but text"));
        let tiff = message(&pack(b"II*\0\x08\0\0\0"));
        assert!(tiff.contains("a compressed TIFF file; decompress it first"), "{tiff}");
    }
}

#[test]
fn no_more_is_decompressed_than_the_header_promises() {
    // A hundred megabytes of zeros behind a small volume, in a few kilobytes.
    let mut plain = MrcBytes::new(1, [7, 5, 6]).bytes();
    plain.resize(100 << 20, 0);
    let packed = gzip(&plain);
    let begin = std::time::Instant::now();
    assert!(warnings(&packed)[0].contains("longer than its header says"));
    assert!(begin.elapsed().as_millis() < 2000, "{:?}", begin.elapsed());
}

#[test]
fn what_is_not_mrc_is_called_by_its_name() {
    let message = |bytes: &[u8]| open_bytes(bytes).map(|_| ()).unwrap_err().to_string();
    assert!(message(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n").contains("a Git LFS pointer"));
    assert!(message(b"  <!DOCTYPE html>\n<title>Sign in</title>").contains("a web page"));
    assert!(message("x,y,z\n1,2,3 \u{c5}\n".as_bytes()).contains("text"));
    assert!(message(b"BZh91AY&SY").contains("bzip2"));
    assert!(message(b"BZh is how this text begins\n").contains("but text"));
    assert!(message(b"II*\0\x08\0\0\0").contains("TIFF"));
    assert!(message(b"\x89HDF\r\n\x1a\n").contains("HDF5"));
    assert!(message(&[0; 4096]).contains("not MRC: neither"));
    let mut tar = vec![0; 2048];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(message(&tar).contains("tar archive"));
    let folder = tempfile::tempdir().unwrap();
    let of = |path: &Path| open(path).map(|_| ()).unwrap_err().to_string();
    assert!(of(folder.path()).contains("a folder"));
    let missing = folder.path().join("missing.mrc");
    assert!(of(&missing).starts_with("cannot open the file") && of(&missing).ends_with("missing.mrc"));
    #[cfg(unix)]
    assert!(of(Path::new("/dev/null")).contains("device or pipe"));
}

#[test]
fn a_file_cut_while_it_is_open_gives_an_error() {
    let (_folder, path) = file(&MrcBytes::new(2, [40, 30, 20]).bytes());
    let source = open(&path).unwrap();
    let region = VoxelBox::new([19, 0, 0], [20, 30, 40]);
    let mut out = vec![0.0; 1200];
    source.read_region(0, region, &mut out).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
    assert!(matches!(source.read_region(0, region, &mut out), Err(VolumeError::Shrunk { .. })));
}

#[test]
fn requests_that_do_not_fit_are_errors() {
    let mrc = open_bytes(&MrcBytes::new(2, [4, 3, 2]).bytes()).unwrap();
    let memory = MemoryVolume::new(vec![0.0; 24], [2, 3, 4], 10.0).unwrap();
    for source in [mrc.as_ref(), &memory] {
        let read = |level, start, end, length| source.read_region(level, VoxelBox::new(start, end), &mut vec![0.0; length]);
        assert!(read(0, [0; 3], [2, 3, 4], 24).is_ok());
        assert!(matches!(read(1, [0; 3], [1, 1, 1], 1), Err(VolumeError::Level { .. })));
        assert!(matches!(read(0, [0; 3], [2, 3, 5], 30), Err(VolumeError::Region { .. })));
        assert!(matches!(read(0, [1, 2, 3], [0, 3, 4], 0), Err(VolumeError::Region { .. })));
        assert!(matches!(read(0, [0; 3], [usize::MAX; 3], 0), Err(VolumeError::Region { .. })));
        assert!(matches!(read(0, [0; 3], [2, 3, 4], 23), Err(VolumeError::Length { .. })));
    }
    assert!(matches!(MemoryVolume::new(vec![0.0; 23], [2, 3, 4], None), Err(VolumeError::Length { .. })));
    assert!(matches!(MemoryVolume::new(vec![], [2, 0, 4], None), Err(VolumeError::Shape { .. })));
    assert!(matches!(MemoryVolume::new(vec![], [usize::MAX; 3], None), Err(VolumeError::Shape { .. })));
}

#[test]
fn a_memory_volume_reads_its_regions_and_replaces_nan() {
    let mut data: Vec<f32> = (0..24).map(|value| value as f32).collect();
    data[3] = f32::NAN;
    let volume = MemoryVolume::new(data, [2, 3, 4], 10.0).unwrap().with_path(Path::new("demo"));
    assert_eq!(read(&volume, VoxelBox::new([0, 1, 2], [2, 3, 4])), [6.0, 7.0, 10.0, 11.0, 18.0, 19.0, 22.0, 23.0]);
    assert_eq!(read(&volume, VoxelBox::new([0, 0, 3], [1, 1, 4])), [(273.0 / 23.0) as f32]);
    assert_eq!(volume.info().path, Path::new("demo"));
}
