//! Damaged and malicious hierarchies: an error or a right answer, never a panic, a hang or a large allocation.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::volume::describe;

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

fn message(hierarchy: &Hierarchy) -> String {
    hierarchy.open().map(|_| ()).unwrap_err().to_string()
}

#[test]
fn metadata_that_no_array_can_have_are_refused_in_words() {
    let good = v3(&[4, 5, 6], &[4, 5, 6], "float32", &json!([little()]));
    for (pointer, value, words) in [
        ("/shape", json!([4, 5]), "2 axes"),
        ("/shape", json!([0, 5, 6]), "no tomogram has the shape"),
        ("/shape", json!([-4, 5, 6]), "not a list of sizes"),
        ("/shape", json!([4.5, 5, 6]), "not a list of sizes"),
        ("/shape", json!([u64::MAX, u64::MAX, u64::MAX]), "no tomogram has the shape"),
        ("/shape", json!([2_000_000_000, 2_000_000_000, 2_000_000_000]), "no tomogram has the shape"),
        ("/shape", json!("many"), "not a list of sizes"),
        ("/chunk_grid/configuration/chunk_shape", json!([0, 5, 6]), "chunk shape"),
        ("/chunk_grid/configuration/chunk_shape", json!([4, 5]), "chunk shape"),
        ("/chunk_grid/configuration/chunk_shape", json!([-1, 5, 6]), "chunk shape"),
        ("/chunk_grid/name", json!("rectilinear"), "not of one size"),
        ("/data_type", json!("float33"), "float33"),
        ("/data_type", json!({"name": "struct", "configuration": {}}), "struct"),
        ("/data_type", json!(7), "type 7"),
        ("/codecs", json!([]), "no list of codecs"),
        ("/codecs", json!([little(), {"name": "pcodec"}]), "pcodec"),
        ("/codecs", json!([{"name": "zstd"}]), "damaged"),
        ("/fill_value", json!("x"), "damaged"),
        ("/node_type", json!("tree"), "neither an array nor a group"),
        ("/codecs", sharded(&[3, 5, 6], &json!([little()])), "do not fill a shard"),
        ("/codecs", sharded(&[0, 5, 6], &json!([little()])), "do not fill a shard"),
        ("/codecs", sharded(&[4, 5, 6], &sharded(&[4, 5, 6], &sharded(&[4, 5, 6], &json!([little()])))), "shards within"),
    ] {
        let mut metadata = good.clone();
        *metadata.pointer_mut(pointer).unwrap() = value.clone();
        let hierarchy = Hierarchy::new();
        hierarchy.write("zarr.json", metadata.to_string());
        let message = message(&hierarchy);
        assert!(message.contains(words), "{pointer} {value}: {message}");
        assert!(message.ends_with(&hierarchy.path().display().to_string()), "{message}");
    }
    let mut metadata = v2(&[4, 5, 6], &[4, 5, 6], "<f4");
    metadata["filters"] = json!([{"id": "delta", "dtype": "<f4"}]);
    let hierarchy = Hierarchy::new();
    hierarchy.write(".zarray", metadata.to_string());
    assert!(message(&hierarchy).contains("delta"), "{}", message(&hierarchy));
    for dtype in ["|b1", "<c8", "<U4", "<M8[ns]"] {
        let hierarchy = Hierarchy::new();
        hierarchy.write(".zarray", v2(&[4, 5, 6], &[4, 5, 6], dtype).to_string());
        hierarchy.open().map(|_| ()).unwrap_err();
    }
}

#[test]
fn bombs_of_json_are_errors_at_once() {
    let start = Instant::now();
    for text in [
        "[".repeat(1 << 20),
        format!(r#"{{"multiscales":{}"#, r#"[{"axes":"#.repeat(10_000)),
        "{\"a\":".repeat(200_000),
        " ".repeat(17 << 20),
        String::new(),
        "nul".to_owned(),
        "\u{0}".to_owned(),
    ] {
        for name in ["zarr.json", ".zattrs", ".zarray"] {
            let hierarchy = Hierarchy::new();
            hierarchy.write(name, &text);
            hierarchy.open().map(|_| ()).unwrap_err();
        }
    }
    let hierarchy = Hierarchy::new();
    hierarchy.multiscales_v2(Some("angstrom"), &vec![[10.0; 3]; 100_000]);
    assert!(message(&hierarchy).contains("100000 datasets"));
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn no_path_and_no_link_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let secret = Hierarchy::new();
    secret.array("a", &v2(&[2, 2, 2], &[2, 2, 2], "|u1"), |index| index as u8);
    for path in ["../x.zarr/a", "/etc", "a/../../b", "..", "C:\\a", "\\\\host\\a", "a//b", ""] {
        let hierarchy = Hierarchy::new();
        let mut image = multiscale(Some("angstrom"), &[[10.0; 3]]);
        image["datasets"][0]["path"] = path.into();
        hierarchy.write(".zattrs", json!({"multiscales": [image]}).to_string());
        let message = message(&hierarchy);
        assert!(message.contains(&format!("{path:?} leads out of the folder")), "{path}: {message}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        let hierarchy = Hierarchy::new();
        hierarchy.multiscales_v2(Some("angstrom"), &[[10.0; 3]]);
        symlink(secret.path().join("a"), hierarchy.path().join("0")).unwrap();
        assert!(message(&hierarchy).contains("is a link out of the folder"), "{}", message(&hierarchy));

        // A chunk: to a file outside, to nothing, to a device without end.
        for target in [outside.path().join("data"), outside.path().join("nothing"), "/dev/zero".into()] {
            std::fs::write(outside.path().join("data"), [1; 8]).unwrap();
            let hierarchy = Hierarchy::new();
            let mut metadata = v2(&[2, 2, 2], &[2, 2, 2], "|u1");
            metadata["compressor"] = Value::Null;
            hierarchy.write(".zarray", metadata.to_string());
            std::fs::create_dir_all(hierarchy.path().join("0/0")).unwrap();
            symlink(&target, hierarchy.path().join("0/0/0")).unwrap();
            let message = read_all(hierarchy.open().unwrap().as_ref()).unwrap_err().to_string();
            assert!(message.contains("link"), "{message}");
        }
        // Links that stay inside are fine.
        let hierarchy = Hierarchy::new();
        hierarchy.multiscales_v2(Some("angstrom"), &[[10.0; 3]]);
        hierarchy.array("full", &v2(&[2, 2, 2], &[2, 2, 2], "|u1"), |index| index as u8);
        symlink("full", hierarchy.path().join("0")).unwrap();
        assert_eq!(read_all(hierarchy.open().unwrap().as_ref()).unwrap()[7], 7.0);
    }
}

/// Small hierarchies, one for each way of reading chunks.
fn samples() -> Vec<Hierarchy> {
    let blosc = json!({"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 64}});
    let zstd = json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}});
    let gzip = json!({"name": "gzip", "configuration": {"level": 1}});
    let crc = json!({"name": "crc32c"});
    [
        json!([little()]),
        json!([little(), blosc]),
        json!([little(), zstd]),
        json!([little(), gzip]),
        sharded(&[2, 4, 4], &json!([little(), blosc, crc])),
    ]
    .into_iter()
    .map(|codecs| {
        let hierarchy = Hierarchy::new();
        hierarchy.multiscales_v3(Some("angstrom"), &[[10.0; 3]]);
        hierarchy.array("0", &v3(&[4, 4, 8], &[4, 4, 8], "int16", &codecs), |index| index as i16);
        hierarchy
    })
    .collect()
}

#[test]
fn damaged_chunks_are_errors_or_other_voxels_but_never_the_end() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for hierarchy in samples() {
        let chunk = files_of(&hierarchy.path().join("0")).into_iter().find(|path| !path.ends_with("zarr.json")).unwrap();
        let good = std::fs::read(&chunk).unwrap();
        let expected = read_all(hierarchy.open().unwrap().as_ref()).unwrap();
        // Each part too, because a part may be read where the whole is not.
        let attempt = |bytes: &[u8]| {
            std::fs::write(&chunk, bytes).unwrap();
            let source = hierarchy.open().unwrap();
            let part = read(source.as_ref(), 0, VoxelBox::new([1, 1, 1], [2, 2, 3]));
            (read_all(source.as_ref()), part)
        };
        for length in 0..good.len() {
            let (whole, _) = attempt(&good[..length]);
            let message = whole.unwrap_err().to_string();
            assert!(message.contains("chunk 0/c/0/0/0"), "{length} of {}: {message}", good.len());
        }
        for at in 0..good.len() {
            for flip in [1_u8, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                let _ = attempt(&bytes);
            }
        }
        for length in [1, 15, 16, 17, 100, 1000] {
            let _ = attempt(&(0..length).map(|_| random()).collect::<Vec<u8>>());
        }
        assert_eq!(attempt(&good).0.unwrap(), expected);
    }
}

#[test]
fn a_checksum_finds_every_flipped_bit() {
    let hierarchy = samples().pop().unwrap();
    let chunk = files_of(&hierarchy.path().join("0")).into_iter().find(|path| !path.ends_with("zarr.json")).unwrap();
    let good = std::fs::read(&chunk).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        std::fs::write(&chunk, &bytes).unwrap();
        assert!(read_all(hierarchy.open().unwrap().as_ref()).is_err(), "byte {at} of {}", good.len());
    }
}

#[test]
fn every_byte_of_the_metadata_flipped_gives_an_error_or_a_volume() {
    let start = Instant::now();
    for hierarchy in samples().into_iter().skip(3) {
        for name in ["zarr.json", "0/zarr.json"] {
            let path = hierarchy.path().join(name);
            let good: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let good = good.to_string().into_bytes();
            for at in 0..good.len() {
                for flip in [1, 4, 16] {
                    let mut bytes = good.clone();
                    bytes[at] ^= flip;
                    std::fs::write(&path, &bytes).unwrap();
                    if let Ok(source) = hierarchy.open()
                        && source.info().shape.iter().product::<usize>() < 100_000
                    {
                        let _ = read_all(source.as_ref());
                    }
                }
            }
            std::fs::write(&path, &good).unwrap();
        }
    }
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // Chunks of 256 GiB, of which a few bytes are there.
    for codecs in [
        json!([little()]),
        json!([little(), {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}}]),
        json!([little(), {"name": "zstd", "configuration": {"level": 1, "checksum": false}}]),
        json!([little(), {"name": "gzip", "configuration": {"level": 1}}]),
        sharded(&[1 << 10, 1 << 13, 1 << 13], &json!([little()])),
        sharded(&[1, 1, 1], &json!([little()])),
        sharded(&[1 << 5, 1 << 5, 1 << 13], &json!([little()])),
    ] {
        let hierarchy = Hierarchy::new();
        let shape = [1 << 10, 1 << 13, 1 << 13];
        hierarchy.write("zarr.json", v3(&shape, &shape, "float32", &codecs).to_string());
        hierarchy.write("c/0/0/0", [7; 40]);
        match hierarchy.open() {
            Ok(source) => {
                let message = read(source.as_ref(), 0, VoxelBox::new([0; 3], [1; 3])).unwrap_err().to_string();
                assert!(message.contains("chunk c/0/0/0"), "{message}");
            }
            Err(error) => assert!(error.to_string().contains("more than"), "{error}"),
        }
    }
    // Streams that decompress to far more than a chunk.
    let zeros = vec![0_u8; 64 << 20];
    let zstd = zstd::bulk::compress(&zeros, 1).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    for (name, stream) in [("zstd", zstd), ("gzip", encoder.finish().unwrap())] {
        let hierarchy = Hierarchy::new();
        let codecs = json!([little(), {"name": name, "configuration": {"level": 1, "checksum": false}}]);
        hierarchy.write("zarr.json", v3(&[4, 4, 4], &[4, 4, 4], "float32", &codecs).to_string());
        hierarchy.write("c/0/0/0", stream);
        assert!(read_all(hierarchy.open().unwrap().as_ref()).is_err(), "{name}");
    }
}

#[test]
fn a_group_without_an_image_names_what_is_in_it() {
    let hierarchy = Hierarchy::new();
    hierarchy.write(".zgroup", r#"{"zarr_format": 2}"#);
    hierarchy.array("tomo", &v2(&[2, 2, 2], &[2, 2, 2], "|u1"), |index| index as u8);
    assert!(message(&hierarchy).contains("it holds tomo"), "{}", message(&hierarchy));
    assert!(describe(&hierarchy.path().join("tomo"), &[]).is_ok());
}
