//! An export with everything in it: several tomograms, classes, labels and picks, and places outside the volume.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::coordinates::{ExportOptions, ExportPoint, ExportTomogram, Format, Frame, export};
use crate::labels::{Class, ClassId};

/// The formats that these tests are about.
pub(super) const FORMATS: [Format; 9] = [
    Format::Csv,
    Format::Kaggle,
    Format::Copick,
    Format::PortalNdjson,
    Format::Imod,
    Format::Dynamo,
    Format::Eman2,
    Format::Coords,
    Format::Cmm,
];

/// Pixel of the unbinned tilt series in angstrom.
pub(super) const PIXEL: f64 = 1.35;

pub(super) fn class(index: u32, name: &str) -> Class {
    Class { id: ClassId(index), name: name.to_owned(), radius_angstrom: 60.0 + f64::from(index), colour: [230, 159, index as u8] }
}

pub(super) fn point(class: usize, position: [f64; 3], score: Option<f32>) -> ExportPoint {
    ExportPoint { class, position, score, source: None }
}

pub(super) fn tomogram(name: &str, spacing: f64, points: Vec<ExportPoint>) -> ExportTomogram {
    ExportTomogram { name: name.to_owned(), shape: [401, 4096, 4097], spacing_angstrom: Some(spacing), points }
}

pub(super) fn frame(tomogram: &ExportTomogram) -> Frame {
    Frame { shape: Some(tomogram.shape), spacing_angstrom: tomogram.spacing_angstrom, tilt_series_pixel_angstrom: None }
}

pub(super) fn tomograms() -> [ExportTomogram; 2] {
    let points = vec![
        point(0, [12.25, 1024.5, 3999.75], Some(0.875)),
        point(2, [0.0, 0.0, 0.0], None),
        point(0, [400.0, 4095.0, 4096.0], None),
        point(2, [-1.5, 4100.25, 7.0], Some(0.1)),
    ];
    [tomogram("TS_001", 7.84, points), tomogram("empty", 10.0, vec![])]
}

pub(super) fn options() -> ExportOptions {
    ExportOptions { tilt_series_pixel_angstrom: Some(PIXEL), ..ExportOptions::default() }
}

/// A folder for the files of a test, in memory where the system has that: exports wait for the disk, and these are thousands.
pub(super) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

type Files = Vec<(PathBuf, Vec<u8>)>;

/// The files of the example in a format with their content; without the lists beside a table of Dynamo.
pub(super) fn files(format: Format) -> &'static Files {
    static FILES: LazyLock<BTreeMap<Format, Files>> =
        LazyLock::new(|| FORMATS.into_iter().map(|format| (format, written(format))).collect());
    &FILES[&format]
}

fn written(format: Format) -> Files {
    let dir = scratch();
    let files = export(format, dir.path(), &classes_for(format), &tomograms(), &options()).unwrap();
    let relative = |path: &Path| path.strip_prefix(dir.path()).unwrap().to_owned();
    let read = files.iter().filter(|path| path.extension().is_none_or(|ending| ending != "doc"));
    read.map(|path| (relative(path), fs::read(path).unwrap())).collect()
}

/// Classes whose names the format takes.
pub(super) fn classes_for(format: Format) -> [Class; 3] {
    // Where the name becomes that of a file it cannot have all of these.
    let odd = if matches!(format, Format::Copick | Format::PortalNdjson | Format::Coords) { "é&' #;," } else { "é<&\"'> #;," };
    [class(0, "80S ribosome"), class(1, odd), class(2, "virus-like")]
}
