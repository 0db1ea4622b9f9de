use std::path::Path;

use proptest::prelude::*;

use super::examples::{FORMATS, files};
use crate::coordinates::{CoordinateError, CoordinateRow, Format, ReadOptions, parse_positions};

fn parse(format: Format, path: &Path, bytes: &[u8]) -> Result<Vec<CoordinateRow>, CoordinateError> {
    let options = ReadOptions { format: Some(format), class: None };
    let result = parse_positions(bytes, path, &options);
    match &result {
        Ok(positions) => {
            let sane = |row: &CoordinateRow| row.xyz.iter().all(|value| value.is_finite()) && !row.class.is_empty();
            assert!(positions.rows.iter().all(sane), "{format}");
            // No form has a position in fewer bytes than "1 2 3".
            assert!(positions.rows.len() * 5 <= bytes.len(), "{format}");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.ends_with(&path.display().to_string()), "{format}: the path comes last: {message}");
            assert!(message.len() < 1000, "{format}: {message}");
        }
    }
    result.map(|positions| positions.rows)
}

/// A file cut short is an error or a right answer; lines of text that end early are lines all the same.
#[test]
fn every_example_is_cut_at_every_byte() {
    for format in FORMATS {
        for (path, bytes) in files(format) {
            let whole = parse(format, path, bytes).unwrap();
            for end in 0..bytes.len() {
                let Ok(rows) = parse(format, path, &bytes[..end]) else { continue };
                assert!(rows.len() <= whole.len(), "{format} cut at {end}");
                if matches!(format, Format::Copick | Format::Imod | Format::Eman2 | Format::Cmm) {
                    assert_eq!(rows, whole, "{format} cut at {end} of {}", bytes.len());
                } else if let Some((_, complete)) = rows.split_last() {
                    assert_eq!(complete, &whole[..complete.len()], "{format} cut at {end}");
                }
            }
        }
    }
}

#[test]
fn every_byte_is_turned_and_every_length_lied_about() {
    for format in FORMATS {
        for (path, bytes) in files(format) {
            for place in 0..bytes.len() {
                for byte in [0, 0xff, b'"', b'\n', bytes[place] ^ 0x80, bytes[place].wrapping_add(1)] {
                    let mut changed = bytes.clone();
                    changed[place] = byte;
                    let _ = parse(format, path, &changed);
                }
            }
        }
    }
    for (path, bytes) in files(Format::Imod) {
        for place in 0..bytes.len().saturating_sub(3) {
            for lie in [i32::MIN, -1, 0, 1, 12, 0x1555_5556, i32::MAX, bytes.len() as i32] {
                let mut changed = bytes.clone();
                changed[place..place + 4].copy_from_slice(&lie.to_be_bytes());
                let _ = parse(Format::Imod, path, &changed);
            }
        }
    }
}

#[test]
fn deep_and_long_files_end_soon() {
    let started = std::time::Instant::now();
    let many = |what: &str, times: usize| what.repeat(times);
    let cases = [
        (Format::Copick, many("[", 200_000)),
        (Format::Copick, format!("{{\"points\":{}", many("{\"location\":", 100_000))),
        (Format::Eman2, format!("{{\"boxes_3d\":{}", many("[", 200_000))),
        (Format::Eman2, format!("{{\"boxes_3d\":[[\"{}\",2,3]]}}", many("é", 100_000))),
        (Format::PortalNdjson, many("{\"location\":", 100_000)),
        (Format::Cmm, many("<marker_set>", 100_000)),
        (Format::Cmm, format!("<marker_set {}/>", many("x=\"1\" ", 100_000))),
        (Format::Cmm, format!("<marker_set>{}</marker_set>", many("<!-- -->\n", 100_000))),
        (Format::Csv, format!("x,y,z{}\n", many(",", 100_000))),
        (Format::Csv, format!("class,x,y,z\n{}", many("\n#", 100_000))),
        (Format::Coords, many("\r", 300_000)),
        (Format::Coords, many("1 ", 300_000)),
        (Format::Dynamo, many("1 ", 300_000)),
        (Format::Dynamo, many("\n", 300_000)),
        (Format::Imod, format!("IMODV1.2{}", many("\0", 300_000))),
    ];
    for (format, text) in &cases {
        let options = ReadOptions { format: Some(*format), class: None };
        let _ = parse_positions(text.as_bytes(), Path::new("a"), &options);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pieces of a file are left out, doubled, or replaced by something else.
    #[test]
    fn files_changed_at_random_do_no_harm(
        format in prop::sample::select(&FORMATS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize, prop::collection::vec(any::<u8>(), 0..12)), 1..8),
        double in any::<bool>(),
    ) {
        for (path, bytes) in files(format) {
            let mut bytes = bytes.clone();
            for (place, length, new) in &changes {
                if bytes.is_empty() {
                    break;
                }
                let start = place.index(bytes.len());
                let end = (start + length).min(bytes.len());
                let kept = if double { bytes[start..end].to_vec() } else { Vec::new() };
                bytes.splice(start..end, kept.iter().chain(new).chain(&kept).copied());
            }
            let _ = parse(format, path, &bytes);
        }
    }

    /// What is no file of the form at all.
    #[test]
    fn noise_does_no_harm(format in prop::sample::select(&FORMATS[..]), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(format, Path::new("noise"), &bytes);
        let _ = parse(format, Path::new("noise"), &[b"IMODV1.2", &bytes[..]].concat());
    }
}
