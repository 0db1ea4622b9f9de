//! Codecs, types, axes, units, levels and pieces.

use half::f16;
use serde_json::json;

use super::*;
use crate::volume::Level;
use crate::volume::tests::voxels_of;

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

fn blosc() -> Value {
    json!({"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 256}})
}

/// Every region of a set reads as the voxels it holds.
fn check(source: &dyn VolumeSource, value: impl Fn(usize) -> f32) {
    let shape = source.info().shape;
    let index = |[z, y, x]: [usize; 3]| (z * shape[1] + y) * shape[2] + x;
    let [z, y, x] = shape;
    for region in [
        VoxelBox::whole(shape),
        VoxelBox::new([z / 2, 0, 0], [z / 2 + 1, y, x]),
        VoxelBox::new([0, y / 2, 0], [z, y / 2 + 1, x]),
        VoxelBox::new([0, 0, x - 1], [z, y, x]),
        VoxelBox::new([z / 3, y / 3, x / 3], [z - 1, y - 2, x - 3]),
        VoxelBox::new([2, 2, 2], [2, 2, 2]),
    ] {
        let expected: Vec<f32> = voxels_of(region).map(|voxel| value(index(voxel))).collect();
        assert_eq!(read(source, 0, region).unwrap(), expected, "{region:?}");
    }
}

#[test]
fn every_codec_gives_the_same_voxels() {
    let shape = [20, 30, 34];
    let value = |index: usize| (index * 7 % 3011) as f32 - 1500.0;
    let zstd = json!({"name": "zstd", "configuration": {"level": 1, "checksum": true}});
    let gzip = json!({"name": "gzip", "configuration": {"level": 2}});
    let crc = json!({"name": "crc32c"});
    let transpose = json!({"name": "transpose", "configuration": {"order": [2, 0, 1]}});
    let big = json!({"name": "bytes", "configuration": {"endian": "big"}});
    for (chunks, codecs) in [
        ([8, 16, 16], json!([little()])),
        ([8, 16, 16], json!([little(), blosc()])),
        ([64, 64, 64], json!([little(), blosc()])),
        ([8, 16, 16], json!([big.clone(), blosc()])),
        ([8, 16, 16], json!([little(), zstd, crc])),
        ([8, 16, 16], json!([little(), blosc(), gzip])),
        ([64, 64, 64], json!([transpose, little(), gzip])),
        ([16, 32, 32], sharded(&[4, 16, 8], &json!([little(), blosc(), crc]))),
        ([16, 32, 32], sharded(&[16, 16, 32], &json!([big, zstd]))),
        ([16, 32, 32], sharded(&[8, 16, 16], &sharded(&[4, 4, 8], &json!([little()])))),
    ] {
        let hierarchy = Hierarchy::new();
        hierarchy.array("", &v3(&shape, &chunks, "float32", &codecs), value);
        let source = hierarchy.open().unwrap_or_else(|error| panic!("{codecs}: {error}"));
        assert_eq!(source.info().spacing_angstrom, None);
        println!("{codecs}");
        check(source.as_ref(), value);
    }
}

#[test]
fn version_2_reads_with_every_compressor_separator_and_order() {
    let value = |index: usize| (index % 251) as f32;
    for compressor in [Value::Null, json!({"id": "zstd", "level": 3}), json!({"id": "gzip", "level": 1})] {
        for (separator, order) in [("/", "C"), (".", "F")] {
            let mut metadata = v2(&[11, 12, 13], &[4, 5, 16], ">f4");
            metadata["compressor"] = compressor.clone();
            metadata["dimension_separator"] = separator.into();
            metadata["order"] = order.into();
            let hierarchy = Hierarchy::new();
            hierarchy.array("", &metadata, value);
            check(hierarchy.open().unwrap().as_ref(), value);
        }
    }
}

#[test]
fn zlib_and_a_missing_separator_field_are_read() {
    let hierarchy = Hierarchy::new();
    let mut metadata = v2(&[2, 3, 4], &[2, 3, 4], "|u1");
    metadata["compressor"] = json!({"id": "zlib", "level": 1});
    metadata.as_object_mut().unwrap().remove("dimension_separator");
    hierarchy.write(".zarray", metadata.to_string());
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &(0..24).collect::<Vec<u8>>()).unwrap();
    hierarchy.write("0.0.0", encoder.finish().unwrap());
    let source = hierarchy.open().unwrap();
    assert_eq!(read_all(source.as_ref()).unwrap(), (0..24).map(|value| value as f32).collect::<Vec<_>>());
    assert_eq!(source.info().data_type, "uint8");
}

#[test]
fn every_type_is_read_and_bool_is_refused() {
    fn case<T: Element + Clone>(name: &str, value: impl Fn(usize) -> T, expected: impl Fn(usize) -> f32) {
        let hierarchy = Hierarchy::new();
        hierarchy.array("", &v3(&[3, 5, 7], &[2, 5, 4], name, &json!([little()])), value);
        let source = hierarchy.open().unwrap();
        assert_eq!(source.info().data_type, name);
        check(source.as_ref(), expected);
    }
    case("int8", |i| (i % 200) as u8 as i8, |i| f32::from((i % 200) as u8 as i8));
    case("uint8", |i| i as u8, |i| f32::from(i as u8));
    case("int16", |i| i as i16 * -99, |i| (i as f32) * -99.0);
    case("uint16", |i| 65535 - i as u16, |i| 65535.0 - i as f32);
    case("int32", |i| i as i32 * -9999, |i| i as f32 * -9999.0);
    case("uint32", |i| 4_000_000_000 + 256 * i as u32, |i| 4e9 + 256.0 * i as f32);
    case("int64", |i| -(1_i64 << 40) * i as i64, |i| -((1_u64 << 40) as f32) * i as f32);
    case("uint64", |i| (1_u64 << 60) * (i as u64 % 16), |i| (1_u64 << 60) as f32 * (i % 16) as f32);
    case("float16", |i| f16::from_f32(i as f32 / 4.0), |i| i as f32 / 4.0);
    case("float64", |i| i as f64 * 0.1, |i| (i as f64 * 0.1) as f32);
    for refused in ["bool", "complex64", "string", "r24"] {
        let hierarchy = Hierarchy::new();
        hierarchy.write("zarr.json", v3(&[3, 5, 7], &[3, 5, 7], refused, &json!([little()])).to_string());
        let message = hierarchy.open().map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(refused) && message.contains("float32"), "{message}");
    }
}

#[test]
fn units_scales_and_translations_give_the_spacing() {
    type Case = (Option<&'static str>, [f64; 3], Option<f64>, Option<&'static str>);
    let cases: [Case; 9] = [
        (Some("angstrom"), [10.123; 3], Some(10.123), None),
        (Some("nanometer"), [1.0123; 3], Some(10.123), None),
        (Some("micrometer"), [0.001_348; 3], Some(13.48), None),
        (None, [13.48; 3], Some(13.48), Some("no unit")),
        (None, [1.0; 3], None, Some("exactly 1")),
        (Some("pixel"), [10.0; 3], None, Some("pixel")),
        (Some("angstrom"), [20.0, 10.0, 10.0], Some(10.0), Some("anisotropic")),
        (Some("angstrom"), [0.0; 3], None, Some("spacing unknown")),
        (Some("angstrom"), [-10.0; 3], None, Some("spacing unknown")),
    ];
    for (unit, scale, spacing, warning) in cases {
        let hierarchy = Hierarchy::new();
        hierarchy.multiscales_v2(unit, &[scale]);
        hierarchy.array("0", &v2(&[3, 4, 5], &[3, 4, 5], "<f4"), |index| index as f32);
        let source = hierarchy.open().unwrap();
        let info = source.info();
        assert_eq!(info.spacing_angstrom, spacing, "{unit:?} {scale:?}");
        match warning {
            Some(words) => assert!(info.warnings.len() == 1 && info.warnings[0].contains(words), "{:?}", info.warnings),
            None => assert_eq!(info.warnings, Vec::<String>::new()),
        }
    }
    // The image's own transformations come on top of those of its arrays.
    let hierarchy = Hierarchy::new();
    let mut image = multiscale(Some("nanometer"), &[[0.5; 3]]);
    image["coordinateTransformations"] = json!([{"type": "scale", "scale": [2.0, 2.0, 2.0]}]);
    image["datasets"][0]["coordinateTransformations"] =
        json!([{"type": "scale", "scale": [0.5, 0.5, 0.5]}, {"type": "translation", "translation": [0.0, 1.5, 0.0]}]);
    // Fields that nobody needs do no harm.
    image["axes"][0]["long_name"] = "depth".into();
    image["omero"] = json!({});
    hierarchy.write(".zattrs", json!({"multiscales": [image]}).to_string());
    hierarchy.array("0", &v2(&[3, 4, 5], &[3, 4, 5], "<f4"), |index| index as f32);
    let source = hierarchy.open().unwrap();
    assert_eq!(source.info().spacing_angstrom, Some(10.0));
    assert!(source.info().warnings[0].contains("translation"), "{:?}", source.info().warnings);
}

#[test]
fn axes_before_the_last_three_must_have_length_1_and_the_last_be_z_y_x() {
    let hierarchy = Hierarchy::new();
    hierarchy.array("", &v2(&[1, 1, 4, 5, 6], &[1, 3, 2, 8, 6], "<f4"), |index| index as f32);
    let source = hierarchy.open().unwrap();
    assert_eq!(source.info().shape, [4, 5, 6]);
    check(source.as_ref(), |index| index as f32);
    // A chunk that is longer than the array along such an axis, and decodes as a whole.
    let hierarchy = Hierarchy::new();
    let mut metadata = v2(&[1, 4, 5, 6], &[2, 2, 8, 6], "<f4");
    metadata["compressor"] = json!({"id": "gzip", "level": 1});
    hierarchy.array("", &metadata, |index| index as f32);
    check(hierarchy.open().unwrap().as_ref(), |index| index as f32);

    let hierarchy = Hierarchy::new();
    hierarchy.array("", &v2(&[2, 4, 5, 6], &[1, 4, 5, 6], "<f4"), |index| index as f32);
    let message = hierarchy.open().map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("2 channels or time points along axis 0"), "{message}");

    let hierarchy = Hierarchy::new();
    let mut image = multiscale(Some("angstrom"), &[[10.0; 3]]);
    image["axes"][0]["name"] = "x".into();
    image["axes"][2]["name"] = "z".into();
    hierarchy.write(".zattrs", json!({"multiscales": [image]}).to_string());
    hierarchy.array("0", &v2(&[4, 5, 6], &[4, 5, 6], "<f4"), |index| index as f32);
    let message = hierarchy.open().map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("the axes are x, y, z and not z, y, x"), "{message}");
}

#[test]
fn an_array_of_an_image_has_its_spacing_and_the_levels_from_there() {
    let hierarchy = Hierarchy::new();
    hierarchy.multiscales_v3(Some("angstrom"), &[[5.0; 3], [10.0; 3], [20.0; 3]]);
    for (level, size) in [16, 8, 4].into_iter().enumerate() {
        let metadata = v3(&[size; 3], &[4; 3], "int16", &json!([little(), blosc()]));
        hierarchy.array(&level.to_string(), &metadata, |index| index as i16 + level as i16);
    }
    let source = hierarchy.open().unwrap();
    let level = |size: usize, factor: f64| Level { shape: [size; 3], factor: [factor; 3] };
    assert_eq!(source.levels(), [level(16, 1.0), level(8, 2.0), level(4, 4.0)]);
    assert_eq!(read(source.as_ref(), 2, VoxelBox::new([0; 3], [1, 1, 2])).unwrap(), [2.0, 3.0]);
    assert_eq!(source.info().warnings, Vec::<String>::new());

    let inner = open(&hierarchy.path().join("1")).unwrap();
    assert_eq!(inner.info().spacing_angstrom, Some(10.0));
    assert_eq!(inner.levels(), [level(8, 1.0), level(4, 2.0)]);
    assert_eq!(read_all(inner.as_ref()).unwrap()[..2], [1.0, 2.0]);
    // A file dialog can only point at a file.
    assert_eq!(open(&hierarchy.path().join("zarr.json")).unwrap().levels().len(), 3);
}

#[test]
fn a_level_that_is_missing_or_does_not_fit_is_left_out_and_said_to_be() {
    let hierarchy = Hierarchy::new();
    hierarchy.multiscales_v2(Some("angstrom"), &[[10.0; 3], [20.0; 3], [30.0; 3], [40.0; 3]]);
    hierarchy.array("0", &v2(&[8, 8, 8], &[8, 8, 8], "<f4"), |index| index as f32);
    hierarchy.array("1", &v2(&[8, 8, 8], &[8, 8, 8], "<f4"), |index| index as f32);
    hierarchy.array("3", &v2(&[2, 2, 2], &[8, 8, 8], "<f4"), |index| index as f32);
    let source = hierarchy.open().unwrap();
    assert_eq!(source.levels().len(), 2);
    assert_eq!(source.levels()[1].factor, [4.0; 3]);
    let warnings = &source.info().warnings;
    assert!(warnings.len() == 2 && warnings[0].contains("level 1") && warnings[1].contains("level 2"), "{warnings:?}");
}

#[test]
fn what_was_never_written_is_the_fill_value_and_a_missing_folder_of_chunks_is_said() {
    let hierarchy = Hierarchy::new();
    let mut metadata = v2(&[8, 8, 8], &[4, 4, 4], "<f4");
    metadata["fill_value"] = json!(2.5);
    hierarchy.array("", &metadata, |_| 1.0_f32);
    std::fs::remove_dir_all(hierarchy.path().join("0")).unwrap();
    let source = hierarchy.open().unwrap();
    assert_eq!(source.info().warnings.len(), 1);
    let voxels = read_all(source.as_ref()).unwrap();
    assert!(voxels[..256].iter().all(|&value| value == 2.5) && voxels[256..].iter().all(|&value| value == 1.0));
    std::fs::remove_dir_all(hierarchy.path().join("1")).unwrap();
    let source = hierarchy.open().unwrap();
    assert!(source.info().warnings[1].contains("no chunk"), "{:?}", source.info().warnings);
    assert!(read_all(source.as_ref()).unwrap().iter().all(|&value| value == 2.5));
}

#[test]
fn voxels_that_are_not_finite_read_as_the_mean_of_the_others() {
    for codecs in [json!([little(), blosc()]), json!([little(), {"name": "gzip", "configuration": {"level": 1}}])] {
        let hierarchy = Hierarchy::new();
        let mut metadata = v3(&[6, 6, 6], &[3, 6, 6], "float32", &codecs);
        metadata["fill_value"] = json!("NaN");
        let value = |index: usize| if index < 36 { f32::INFINITY } else { index as f32 };
        hierarchy.array("", &metadata, value);
        let source = hierarchy.open().unwrap();
        let mean = (36..216).sum::<usize>() as f32 / 180.0;
        let voxels = read_all(source.as_ref()).unwrap();
        assert_eq!((voxels[0], voxels[35], voxels[36]), (mean, mean, 36.0));
        let mut stored = vec![0.0; 216];
        source.read_region_as_stored(0, VoxelBox::whole([6; 3]), &mut stored).unwrap();
        assert_eq!(stored[0], f32::INFINITY);
        // A missing chunk is full of NaN here.
        std::fs::remove_dir_all(hierarchy.path().join("c/0")).unwrap();
        let source = hierarchy.open().unwrap();
        let voxels = read_all(source.as_ref()).unwrap();
        let mean = (108..216).sum::<usize>() as f32 / 108.0;
        assert_eq!((voxels[50], voxels[120]), (mean, 120.0));
    }
}

#[test]
fn many_threads_read_the_same_pieces_at_once() {
    use rayon::prelude::*;
    let hierarchy = Hierarchy::new();
    let value = |index: usize| (index % 1009) as f32;
    hierarchy.array("", &v3(&[32; 3], &[32; 3], "float32", &sharded(&[8; 3], &json!([little(), blosc()]))), value);
    let source = hierarchy.open().unwrap();
    let expected: Vec<f32> = (0..32 * 32 * 32).map(value).collect();
    (0..64).into_par_iter().for_each(|_| assert_eq!(read_all(source.as_ref()).unwrap(), expected));
}

#[test]
fn the_cache_forgets_a_closed_volume_and_keeps_what_is_open() {
    let hierarchy = Hierarchy::new();
    hierarchy.array("", &v2(&[16, 64, 64], &[16, 64, 64], "<f4"), |index| index as f32);
    let store = Arc::new(crate::volume::zarr::Store::Folder(crate::volume::zarr::FolderStore::new(&hierarchy.path()).unwrap()));
    let node = crate::volume::zarr::Node::read(&store, "").unwrap().unwrap();
    let volume = crate::volume::zarr::ZarrVolume::of_array(store, node).unwrap();
    let number = volume.number;
    let kept = || crate::volume::zarr::cache::shared().bytes_of(number);
    assert_eq!(kept(), 0);
    read_all(&volume).unwrap();
    assert!((16 * 64 * 64 * 4..17 * 64 * 64 * 4).contains(&kept()), "{}", kept());
    drop(volume);
    assert_eq!(kept(), 0);
}
