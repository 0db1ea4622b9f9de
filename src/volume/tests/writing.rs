//! Written volumes: header fields, round trips, and what happens to the file when something fails.

use super::super::{MrcMode, MrcWriter, Statistics, VolumeError, describe, open, write_mrc};
use super::{noise, read_all};

#[test]
fn a_written_volume_reads_back_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.mrc");
    let data = noise(6 * 7 * 9, 1);
    for mode in [MrcMode::Float32, MrcMode::Float16] {
        write_mrc(&path, [6, 7, 9], 13.48, &data, mode).unwrap();
        let source = open(&path).unwrap();
        let info = source.info();
        assert_eq!((info.shape, info.spacing_angstrom, &info.warnings), ([6, 7, 9], Some(13.48), &Vec::new()));
        let expected: Vec<f32> = match mode {
            MrcMode::Float32 => data.clone(),
            MrcMode::Float16 => data.iter().map(|value| half::f16::from_f32(*value).to_f32()).collect(),
        };
        assert_eq!(read_all(source.as_ref()), expected);
    }
}

#[test]
fn the_header_has_what_the_format_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.mrc");
    let data = noise(6 * 7 * 9, 2);
    for (mode, number, bytes) in [(MrcMode::Float32, 2, 4), (MrcMode::Float16, 12, 2)] {
        write_mrc(&path, [6, 7, 9], 10.0, &data, mode).unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(file.len(), 1024 + 6 * 7 * 9 * bytes);
        let int = |offset: usize| i32::from_le_bytes(file[offset..offset + 4].try_into().unwrap());
        let float = |offset: usize| f32::from_bits(int(offset) as u32);
        assert_eq!([0, 4, 8, 12, 28, 32, 36].map(int), [9, 7, 6, number, 9, 7, 6]);
        assert_eq!([40, 44, 48, 52, 56, 60].map(float), [90.0, 70.0, 60.0, 90.0, 90.0, 90.0]);
        assert_eq!([64, 68, 72, 88, 92, 108, 220].map(int), [1, 2, 3, 1, 0, 20141, 1]);
        assert_eq!(&file[208..216], b"MAP \x44\x44\0\0");
        assert_eq!(std::str::from_utf8(&file[224..304]).unwrap().trim_end(), "SemiETPicker");
        assert!(file[304..1024].iter().all(|byte| *byte == 0));
        let statistics = Statistics::of_values(&read_all(open(&path).unwrap().as_ref()));
        assert_eq!((float(76), float(80)), (statistics.min, statistics.max));
        assert!((f64::from(float(84)) - statistics.mean).abs() < 1e-6);
        // Validators get the deviation of 16-bit floats wrong, so it is marked as not given.
        let deviation = if mode == MrcMode::Float16 { -1.0 } else { statistics.std };
        assert!((f64::from(float(216)) - deviation).abs() < 1e-6);
    }
}

#[test]
fn an_unknown_spacing_stays_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.mrc");
    write_mrc(&path, [2, 2, 2], None, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], MrcMode::Float32).unwrap();
    let description = describe(&path, &[]).unwrap();
    assert_eq!(description.spacing_angstrom, None);
    assert!(description.warnings[0].contains("spacing unknown"));
}

#[test]
fn what_cannot_be_written_is_refused_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.mrc");
    write_mrc(&path, [2, 2, 2], 10.0, &[3.0; 8], MrcMode::Float32).unwrap();
    let before = std::fs::read(&path).unwrap();
    let write = |shape, spacing: f64, data: &[f32], mode| write_mrc(&path, shape, spacing, data, mode).unwrap_err();
    let mut data = [0.0; 8];
    assert!(matches!(write([2, 2, 2], 10.0, &data[..7], MrcMode::Float32), VolumeError::Length { .. }));
    assert!(matches!(write([2, 0, 2], 10.0, &[], MrcMode::Float32), VolumeError::Shape { .. }));
    assert!(matches!(write([usize::MAX, 1, 1], 10.0, &[], MrcMode::Float32), VolumeError::Shape { .. }));
    for spacing in [0.0, -1.0, f64::NAN] {
        assert!(matches!(write([2, 2, 2], spacing, &data, MrcMode::Float32), VolumeError::Spacing { .. }));
    }
    data[5] = 70_000.0;
    assert!(matches!(write([2, 2, 2], 10.0, &data, MrcMode::Float16), VolumeError::Value { section: 1, .. }));
    data[5] = f32::NAN;
    assert!(matches!(write([2, 2, 2], 10.0, &data, MrcMode::Float32), VolumeError::Value { section: 1, .. }));
    let mut writer = MrcWriter::create(&path, [2, 2, 2], 10.0, MrcMode::Float32).unwrap();
    writer.write_section(&[1.0; 4]).unwrap();
    assert!(matches!(writer.write_section(&[1.0; 5]), Err(VolumeError::Length { .. })));
    assert!(matches!(writer.finish(), Err(VolumeError::Sections { written: 1, sections: 2, .. })));
    let mut writer = MrcWriter::create(&path, [1, 2, 2], 10.0, MrcMode::Float32).unwrap();
    writer.write_section(&[1.0; 4]).unwrap();
    assert!(matches!(writer.write_section(&[1.0; 4]), Err(VolumeError::Sections { written: 2, sections: 1, .. })));
    drop(writer);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file may stay behind");
    let missing = folder.path().join("missing").join("written.mrc");
    let message = write_mrc(&missing, [2, 2, 2], 10.0, &[0.0; 8], MrcMode::Float32).unwrap_err().to_string();
    assert!(message.starts_with("cannot write the volume") && message.ends_with("written.mrc"), "{message}");
}

#[cfg(unix)]
#[test]
fn colleagues_may_read_a_written_file_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, ordinary) = (folder.path().join("written.mrc"), folder.path().join("ordinary"));
    write_mrc(&path, [1, 1, 2], 10.0, &[0.0, 1.0], MrcMode::Float32).unwrap();
    std::fs::write(&ordinary, "").unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&ordinary));
}

#[test]
fn a_replaced_file_leaves_its_open_reader_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.mrc");
    write_mrc(&path, [4, 8, 8], 10.0, &[3.0; 256], MrcMode::Float32).unwrap();
    let source = open(&path).unwrap();
    write_mrc(&path, [1, 1, 2], 10.0, &[0.0, 1.0], MrcMode::Float32).unwrap();
    assert_eq!(read_all(source.as_ref()), [3.0; 256]);
}
