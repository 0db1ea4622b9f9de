//! Tables of positions: the `csv` format, and whatever table of positions a laboratory has.
//!
//! Written: `tomogram,class,x_angstrom,y_angstrom,z_angstrom,x_voxel,y_voxel,z_voxel,score,source`.
//!
//! Read: any table that has at least a class and x, y, z, its columns named in the first line, in any order and case, separated
//! by commas, semicolons or tabs, with or without a byte-order mark, with any line ends, with lines of comment that start with
//! `#`. Columns named in angstrom, or just `x`, are angstrom; columns named in voxels count only when there are none in
//! angstrom, and the rows say so ([`Unit`]).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ::csv::{ReaderBuilder, StringRecord, WriterBuilder};

use super::{CoordinateError, ExportOptions, ExportTomogram, WholeFiles, angstrom_digits};
use crate::labels::Class;

/// In what the coordinates of a row are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Angstrom: voxel index times spacing.
    Angstrom,
    /// Voxel index, 0-based, an integer being a voxel's centre.
    Voxel,
}

/// A row of a table of positions.
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinateRow {
    /// The tomogram's name, when the table has such a column and the field is not empty.
    pub tomogram: Option<String>,
    /// The class's name, never empty.
    pub class: String,
    /// The position `(x, y, z)`, finite, in `unit`.
    pub xyz: [f64; 3],
    /// The unit of `xyz`, the same in all rows of a file.
    pub unit: Unit,
    /// The score, when there is one.
    pub score: Option<f32>,
    /// Where the position comes from, when the table says so.
    pub source: Option<String>,
    /// The line of the file, from 1, for messages.
    pub line: u64,
}

impl CoordinateRow {
    /// The position as a voxel index `(z, y, x)` in a tomogram of this spacing.
    pub fn voxel_zyx(&self, spacing_angstrom: f64) -> [f64; 3] {
        let [x, y, z] = match self.unit {
            Unit::Angstrom => self.xyz.map(|coordinate| coordinate / spacing_angstrom),
            Unit::Voxel => self.xyz,
        };
        [z, y, x]
    }

    /// The position in angstrom `(x, y, z)` in a tomogram of this spacing.
    pub fn angstrom_xyz(&self, spacing_angstrom: f64) -> [f64; 3] {
        match self.unit {
            Unit::Angstrom => self.xyz,
            Unit::Voxel => self.xyz.map(|index| index * spacing_angstrom),
        }
    }
}

const CLASS: &[&str] =
    &["class", "class_name", "particle_type", "particle_name", "object_name", "object", "label", "particle", "type", "species"];
const TOMOGRAM: &[&str] = &[
    "tomogram",
    "tomogram_name",
    "tomo_name",
    "tomo",
    "tomo_id",
    "experiment",
    "run_name",
    "run",
    "tilt_series",
    "rlntomoname",
    "micrograph",
];
const SCORE: &[&str] = &["score", "confidence", "probability", "figure_of_merit", "rlnautopickfigureofmerit", "fom"];
const SOURCE: &[&str] = &["source", "picker"];

/// Names of the column of one axis in angstrom, those that say the unit first.
fn angstrom_names(axis: char) -> Vec<String> {
    [
        "#_angstrom",
        "#_angstroms",
        "#_angst",
        "#_ang",
        "#_a",
        "pos_#_angstrom",
        "#",
        "pos_#",
        "#_pos",
        "position_#",
        "#_position",
        "coord_#",
        "#_coord",
        "coordinate_#",
        "#_coordinate",
        "location_#",
        "centre_#",
        "center_#",
    ]
    .map(|name| name.replace('#', &axis.to_string()))
    .to_vec()
}

/// Names of the column of one axis in voxels.
fn voxel_names(axis: char) -> Vec<String> {
    ["#_voxel", "#_voxels", "#_vox", "voxel_#", "#_px", "#_pixel", "#_pixels", "px_#", "pixel_#", "#_index", "#_idx"]
        .map(|name| name.replace('#', &axis.to_string()))
        .to_vec()
}

/// A column's name in lower case with everything but letters and digits as single underscores: `X (Å)` becomes `x_a`.
fn normalised(name: &str) -> String {
    let plain = name.to_lowercase().replace(['å', '\u{212b}'], "a");
    plain.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// Where the columns are.
struct Columns {
    class: usize,
    xyz: [usize; 3],
    unit: Unit,
    tomogram: Option<usize>,
    score: Option<usize>,
    source: Option<usize>,
}

impl Columns {
    /// Finds the columns by their names, or says what is missing.
    fn find(header: &StringRecord) -> Result<Self, String> {
        if let Some(number) = header.iter().find(|field| field.trim().parse::<f64>().is_ok()) {
            return Err(format!(
                "{:?} stands where the names of the columns are expected: begin the file with a line such as class,x,y,z",
                number.trim()
            ));
        }
        let mut places = BTreeMap::new();
        for (place, name) in header.iter().enumerate() {
            let name = normalised(name);
            if places.insert(name.clone(), place).is_some() && !name.is_empty() {
                return Err(format!("two columns are named {name:?}: remove one"));
            }
        }
        let first = |names: &[&str]| names.iter().find_map(|name| places.get(*name).copied());
        let axes = |names: fn(char) -> Vec<String>| {
            ['x', 'y', 'z'].map(|axis| names(axis).iter().find_map(|name| places.get(name.as_str()).copied()))
        };
        let found = || header.iter().map(|name| format!("{:?}", name.trim())).collect::<Vec<_>>().join(", ");
        let class =
            first(CLASS).ok_or_else(|| format!("there is no column with the class; name it \"class\" (columns: {})", found()))?;
        let angstrom = axes(angstrom_names);
        let voxel = axes(voxel_names);
        let (xyz, unit) = match (angstrom, voxel) {
            ([Some(x), Some(y), Some(z)], _) => ([x, y, z], Unit::Angstrom),
            ([None, None, None], [Some(x), Some(y), Some(z)]) => ([x, y, z], Unit::Voxel),
            _ => {
                let known = if angstrom == [None; 3] { voxel } else { angstrom };
                let missing: Vec<_> = ["x", "y", "z"].into_iter().zip(known).filter(|(_, place)| place.is_none()).collect();
                let missing = missing.iter().map(|(axis, _)| *axis).collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "there is no column with the coordinate {missing}; name the columns \"x\", \"y\", \"z\" for angstrom or \
                     \"x_voxel\", \"y_voxel\", \"z_voxel\" for voxels (columns: {})",
                    found()
                ));
            }
        };
        Ok(Self { class, xyz, unit, tomogram: first(TOMOGRAM), score: first(SCORE), source: first(SOURCE) })
    }
}

/// Reads a table of positions; see the module's description for what is understood.
///
/// # Errors
/// When the file cannot be read, has no line with the names of its columns, lacks a class or a coordinate, or when a row has
/// too few or too many fields, an empty class, or a number that is none or not finite. The message names line and column.
pub fn read_csv(path: &Path) -> Result<Vec<CoordinateRow>, CoordinateError> {
    let bytes = fs::read(path).map_err(|source| CoordinateError::Read { path: path.to_owned(), source })?;
    let content = |message: &str| CoordinateError::Content { path: path.to_owned(), message: message.to_owned() };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(content("the file is UTF-16: save it as \"CSV UTF-8\""));
    }
    let text = String::from_utf8(bytes).map_err(|_| content("the file is not UTF-8 text: save it as \"CSV UTF-8\""))?;
    parse(text.strip_prefix('\u{feff}').unwrap_or(&text), path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<CoordinateRow>, CoordinateError> {
    let at = |line: u64, message: String| CoordinateError::Line { path: path.to_owned(), line, message };
    let delimiter = delimiter_of(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let mut lines = Lines { text: text.as_bytes(), byte: 0, line: 1 };
    let mut next = || -> Result<Option<(u64, StringRecord)>, CoordinateError> {
        match records.next() {
            None => Ok(None),
            Some(Ok(record)) => Ok(Some((lines.of_record(record.position().map_or(0, ::csv::Position::byte)), record))),
            Some(Err(error)) => Err(at(lines.of_record(error.position().map_or(0, ::csv::Position::byte)), error.to_string())),
        }
    };
    let (header_line, header) = next()?.ok_or_else(|| CoordinateError::Content {
        path: path.to_owned(),
        message: "the file is empty: it needs at least a line such as class,x,y,z".to_owned(),
    })?;
    let columns = Columns::find(&header).map_err(|message| at(header_line, message))?;
    let mut rows = Vec::new();
    while let Some((line, record)) = next()? {
        // Spreadsheets leave rows of separators behind.
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if record.len() != header.len() {
            let message = format!(
                "{} fields where the first line names {} columns: put names with separators in double quotes",
                record.len(),
                header.len()
            );
            return Err(at(line, message));
        }
        rows.push(row(&columns, &header, &record, line).map_err(|message| at(line, message))?);
    }
    Ok(rows)
}

fn row(columns: &Columns, header: &StringRecord, record: &StringRecord, line: u64) -> Result<CoordinateRow, String> {
    let field = |place: usize| record.get(place).unwrap_or_default().trim();
    let number = |place: usize| -> Result<f64, String> {
        let text = field(place);
        let name = header.get(place).unwrap_or_default().trim();
        let wrong = |what: &str| format!("column {name:?} has {text:?}, which is {what}");
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(wrong("not finite: give a number or remove the row")),
            Err(_) if text.is_empty() => Err(format!("column {name:?} is empty: give a number or remove the row")),
            Err(_) if text.contains(',') => Err(wrong("not a number: write it with a decimal point, such as 123.4")),
            Err(_) => Err(wrong("not a number: write it as 123.4")),
        }
    };
    let text = |place: Option<usize>| place.map(&field).filter(|text| !text.is_empty()).map(str::to_owned);
    let class = field(columns.class);
    if class.is_empty() {
        return Err(format!("column {:?} is empty: give the class", header.get(columns.class).unwrap_or_default().trim()));
    }
    let [x, y, z] = columns.xyz;
    let score = match columns.score {
        Some(place) if !field(place).is_empty() => {
            let score = number(place)? as f32;
            if !score.is_finite() {
                return Err(format!("the score {:?} is too large", field(place)));
            }
            Some(score)
        }
        _ => None,
    };
    Ok(CoordinateRow {
        tomogram: text(columns.tomogram),
        class: class.to_owned(),
        xyz: [number(x)?, number(y)?, number(z)?],
        unit: columns.unit,
        score,
        source: text(columns.source),
        line,
    })
}

/// Counts lines. The reader's own count stops before the blank lines and comments that it skips ahead of a record.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line, from 1, of the first record at or after `byte`; `byte` never goes back.
    fn of_record(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        while self.byte < byte {
            self.step();
        }
        while let Some(letter) = self.text.get(self.byte) {
            match letter {
                b'\n' | b'\r' => self.step(),
                b'#' => {
                    while self.text.get(self.byte).is_some_and(|letter| !matches!(letter, b'\n' | b'\r')) {
                        self.step();
                    }
                }
                _ => break,
            }
        }
        self.line
    }

    /// Passes one byte; a line ends with LF, CR LF, or a CR alone.
    fn step(&mut self) {
        let after = self.text.get(self.byte + 1);
        if self.text[self.byte] == b'\n' || (self.text[self.byte] == b'\r' && after != Some(&b'\n')) {
            self.line += 1;
        }
        self.byte += 1;
    }
}

/// The separator that occurs most often in the first line that is no comment.
fn delimiter_of(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
    let count = |delimiter: u8| first.bytes().filter(|byte| *byte == delimiter).count();
    // Of equals the last is taken, so that a comma is the choice when there is no separator at all.
    [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

/// Writes one table with the points of all `tomograms`, whole or not at all.
///
/// # Errors
/// As [`super::export`].
pub fn write_csv(path: &Path, classes: &[Class], tomograms: &[ExportTomogram], overwrite: bool) -> Result<(), CoordinateError> {
    super::check(classes, tomograms)?;
    let mut files = WholeFiles::new(overwrite);
    files.stage(path.to_owned(), &table(classes, tomograms, path)?)?;
    files.commit().map(drop)
}

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    if !options.file_per_tomogram {
        let path = dir.join("particles.csv");
        let table = table(classes, tomograms, &path)?;
        return files.stage(path, &table);
    }
    for tomogram in tomograms {
        if tomogram.name.contains(['/', '\\', '\0']) || tomogram.name.starts_with('.') {
            return Err(CoordinateError::name("tomogram", &tomogram.name, "it becomes the name of a file"));
        }
        let path = dir.join(format!("{}.csv", tomogram.name));
        let table = table(classes, std::slice::from_ref(tomogram), &path)?;
        files.stage(path, &table)?;
    }
    Ok(())
}

fn table(classes: &[Class], tomograms: &[ExportTomogram], path: &Path) -> Result<Vec<u8>, CoordinateError> {
    let failed = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    // Told of comments, the writer puts a first field that starts with # in quotes.
    let mut writer = WriterBuilder::new().comment(Some(b'#')).from_writer(Vec::new());
    let header =
        ["tomogram", "class", "x_angstrom", "y_angstrom", "z_angstrom", "x_voxel", "y_voxel", "z_voxel", "score", "source"];
    writer.write_record(header).map_err(|error| failed(error.to_string()))?;
    for tomogram in tomograms {
        let spacing = tomogram.known_spacing()?;
        let digits = angstrom_digits(spacing);
        for point in &tomogram.points {
            let [z, y, x] = point.position;
            let class =
                classes.get(point.class).ok_or(CoordinateError::ClassIndex { index: point.class, classes: classes.len() })?;
            let mut fields = vec![tomogram.name.clone(), class.name.clone()];
            fields.extend([x, y, z].map(|index| format!("{:.digits$}", index * spacing)));
            fields.extend([x, y, z].map(|index| format!("{index:.4}")));
            fields.push(point.score.map(|score| score.to_string()).unwrap_or_default());
            fields.push(point.source.clone().unwrap_or_default());
            writer.write_record(&fields).map_err(|error| failed(error.to_string()))?;
        }
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}
