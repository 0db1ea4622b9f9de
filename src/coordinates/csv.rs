//! Tables of positions: the `csv` format, and whatever table of positions a laboratory has.
//!
//! Written: `tomogram,class,x_angstrom,y_angstrom,z_angstrom,x_voxel,y_voxel,z_voxel,score,source`. Where the spacing of a tomogram
//! is unknown, the fields in angstrom stay empty.
//!
//! Read: any table that has x, y, z, its columns named in the first line, in any order and case, separated by commas, semicolons or
//! tabs, with or without a byte-order mark, with any line ends, with lines of comment that start with `#`. Of several units the
//! first that a row has counts: angstrom, nanometers, angstrom from the centre (`rlnCenteredCoordinateXAngst`), bare `x` (taken for
//! angstrom, which a note says), voxels, pixels of the tilt series (`rlnCoordinateX`), and last napari's `axis-0, axis-1, axis-2`,
//! which are z, y, x in voxels. Bare `X, Y, Z` beside a `filename` or `filepath`, as TomoTwin has them, are voxels. Without a column
//! for the class the whole table is of one ([`ReadOptions::class`], or else the file's name).

use std::collections::BTreeMap;
use std::path::Path;

use ::csv::{ReaderBuilder, StringRecord, WriterBuilder};

use super::file_names::FileNames;
use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportPoint, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles,
    angstrom_digits, text,
};
use crate::labels::Class;

const CLASS: &[&str] = &[
    "class",
    "class_name",
    "particle_type",
    "particle_name",
    "object_name",
    "pickable_object_name",
    "object",
    "label",
    "particle",
    "type",
    "species",
    "predicted_class_name",
    "predicted_class",
];
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
    "micrograph_name",
    "rlnmicrographname",
];
/// Columns with the file of the tomogram, of which the last part is the name.
const FILE: &[&str] = &["filename", "file_name", "filepath", "file_path"];
const SCORE: &[&str] = &["score", "confidence", "probability", "figure_of_merit", "rlnautopickfigureofmerit", "fom"];
const SOURCE: &[&str] = &["source", "picker"];

/// Names of the column of one axis (`#`) that say angstrom.
const ANGSTROM: &[&str] = &["#_angstrom", "#_angstroms", "#_angst", "#_ang", "#_a", "pos_#_angstrom", "location_#_angstrom"];
/// Names without a unit.
const BARE: &[&str] = &[
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
];
const NANOMETER: &[&str] = &["#_nm", "#_nanometer", "#_nanometers", "#_nanometre", "#_nanometres", "pos_#_nm"];
const CENTRED_ANGSTROM: &[&str] = &["rlncenteredcoordinate#angst"];
const VOXEL: &[&str] =
    &["#_voxel", "#_voxels", "#_vox", "voxel_#", "#_px", "#_pixel", "#_pixels", "px_#", "pixel_#", "#_index", "#_idx"];
const TILT_SERIES_PIXEL: &[&str] = &["rlncoordinate#"];
/// napari's points are in the order of the array.
const AXES: [&str; 3] = ["axis_2", "axis_1", "axis_0"];

/// A column's name in lower case with everything but letters and digits as single underscores: `X (Å)` becomes `x_a`.
fn normalised(name: &str) -> String {
    let plain = name.to_lowercase().replace(['å', '\u{212b}'], "a");
    plain.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// Columns of x, y and z in one unit.
struct Place {
    xyz: [usize; 3],
    unit: Unit,
    /// What makes the file's numbers ones in `unit`.
    scale: f64,
}

/// Where the columns are.
struct Columns {
    class: Option<usize>,
    /// The places of the positions, the first that a row has counting; never empty.
    places: Vec<Place>,
    tomogram: Option<usize>,
    /// Whether the tomogram's column has paths of files.
    tomogram_is_file: bool,
    score: Option<usize>,
    source: Option<usize>,
    /// What was assumed about the unit.
    note: Option<&'static str>,
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
        let mut columns = BTreeMap::new();
        for (place, name) in header.iter().enumerate() {
            let name = normalised(name);
            if columns.insert(name.clone(), place).is_some() && !name.is_empty() {
                return Err(format!("two columns are named {name:?}: remove one"));
            }
        }
        let first = |names: &[&str]| names.iter().find_map(|name| columns.get(*name).copied());
        let axes = |families: &[&[&str]]| {
            ['x', 'y', 'z'].map(|axis| {
                let mut names = families.iter().copied().flatten().map(|name| name.replace('#', &axis.to_string()));
                names.find_map(|name| columns.get(&name).copied())
            })
        };
        let file = first(FILE);
        let bare_unit = if file.is_some() { Unit::Voxel } else { Unit::Angstrom };
        let bare = axes(&[BARE]);
        let found = [
            (axes(&[ANGSTROM]), Unit::Angstrom, 1.0),
            (axes(&[NANOMETER]), Unit::Angstrom, 10.0),
            (axes(&[CENTRED_ANGSTROM]), Unit::CentredAngstrom, 1.0),
            // One axis named with the unit says it for all.
            (axes(&[ANGSTROM, BARE]), if bare.iter().all(Option::is_some) { bare_unit } else { Unit::Angstrom }, 1.0),
            (axes(&[VOXEL]), Unit::Voxel, 1.0),
            (axes(&[TILT_SERIES_PIXEL]), Unit::TiltSeriesPixel(None), 1.0),
            (AXES.map(|name| columns.get(name).copied()), Unit::Voxel, 1.0),
        ];
        let complete = |xyz: &[Option<usize>; 3]| Some([xyz[0]?, xyz[1]?, xyz[2]?]);
        let mut places: Vec<Place> = Vec::new();
        for (xyz, unit, scale) in &found {
            if let Some(xyz) = complete(xyz)
                && places.iter().all(|place| place.xyz != xyz)
            {
                places.push(Place { xyz, unit: *unit, scale: *scale });
            }
        }
        let Some(counts) = places.first() else { return Err(missing_axes(&found.map(|(xyz, ..)| xyz), header)) };
        let note = match (complete(&bare) == Some(counts.xyz), bare_unit) {
            (false, _) => None,
            (true, Unit::Angstrom) => {
                Some("x, y and z name no unit and were taken for angstrom; name voxels x_voxel, y_voxel, z_voxel")
            }
            (true, _) => Some("x, y and z name no unit and were taken for voxels, because the table names files"),
        };
        let tomogram = first(TOMOGRAM);
        Ok(Self {
            class: first(CLASS),
            places,
            tomogram: tomogram.or(file),
            tomogram_is_file: tomogram.is_none(),
            score: first(SCORE),
            source: first(SOURCE),
            note,
        })
    }
}

/// Which coordinates have no column, by the unit of which most are there.
fn missing_axes(found: &[[Option<usize>; 3]], header: &StringRecord) -> String {
    let known = found.iter().rev().max_by_key(|xyz| xyz.iter().flatten().count()).copied().unwrap_or_default();
    let missing = ["x", "y", "z"].into_iter().zip(known).filter(|(_, place)| place.is_none());
    let missing = missing.map(|(axis, _)| axis).collect::<Vec<_>>().join(", ");
    let columns = header.iter().map(|name| format!("{:?}", name.trim())).collect::<Vec<_>>().join(", ");
    format!(
        "there is no column with the coordinate {missing}; name the columns \"x\", \"y\", \"z\" for angstrom or \
         \"x_voxel\", \"y_voxel\", \"z_voxel\" for voxels (columns: {columns})"
    )
}

pub(super) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    parse(text::of(bytes, path)?, path, options)
}

fn parse(text: &str, path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
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
    let mut notes: Vec<String> = columns.note.map(str::to_owned).into_iter().collect();
    let class = match columns.class {
        Some(_) => String::new(),
        None => text::class_of_file(options, path, &mut notes),
    };
    // The challenge's own table is known by its columns.
    let kaggle = header.iter().map(normalised).eq(["id", "experiment", "particle_type", "x", "y", "z"].map(str::to_owned));
    let format = if kaggle || options.format == Some(Format::Kaggle) { Format::Kaggle } else { Format::Csv };
    if kaggle {
        notes.clear();
    }
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
        rows.push(row(&columns, &header, &record, &class, line).map_err(|message| at(line, message))?);
    }
    Ok(Positions { format, rows, notes })
}

fn row(columns: &Columns, header: &StringRecord, record: &StringRecord, class: &str, line: u64) -> Result<CoordinateRow, String> {
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
    let class = match columns.class {
        None => class,
        Some(place) if field(place).is_empty() => {
            return Err(format!("column {:?} is empty: give the class", header.get(place).unwrap_or_default().trim()));
        }
        Some(place) => field(place),
    };
    let filled = columns.places.iter().find(|place| place.xyz.iter().any(|column| !field(*column).is_empty()));
    let Place { xyz: [x, y, z], unit, scale } = filled.or(columns.places.first()).ok_or("there are no columns with positions")?;
    let xyz = [number(*x)? * scale, number(*y)? * scale, number(*z)? * scale];
    if !xyz.iter().all(|coordinate| coordinate.is_finite()) {
        return Err("the position is too large".to_owned());
    }
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
    let last_part = |path: String| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let tomogram = text(columns.tomogram);
    Ok(CoordinateRow {
        tomogram: if columns.tomogram_is_file { tomogram.map(last_part).filter(|name| !name.is_empty()) } else { tomogram },
        class: class.to_owned(),
        xyz,
        unit: *unit,
        shift_angstrom: [0.0; 3],
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
    let mut names = FileNames::default();
    for tomogram in tomograms {
        let path = dir.join(names.give(&[("tomogram", &tomogram.name)], ".csv")?);
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
        let spacing = tomogram.known_spacing().ok();
        for point in &tomogram.points {
            let [z, y, x] = point.position;
            let mut fields = vec![tomogram.name.clone(), class_of(classes, point)?.name.clone()];
            fields.extend([x, y, z].map(|index| match spacing {
                Some(spacing) => format!("{:.digits$}", index * spacing, digits = angstrom_digits(spacing)),
                None => String::new(),
            }));
            fields.extend([x, y, z].map(|index| format!("{index:.4}")));
            fields.push(point.score.map(|score| score.to_string()).unwrap_or_default());
            fields.push(point.source.clone().unwrap_or_default());
            writer.write_record(&fields).map_err(|error| failed(error.to_string()))?;
        }
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// The class of a point.
///
/// # Errors
/// When the export has no such class.
pub(super) fn class_of<'a>(classes: &'a [Class], point: &ExportPoint) -> Result<&'a Class, CoordinateError> {
    classes.get(point.class).ok_or(CoordinateError::ClassIndex { index: point.class, classes: classes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(name: &str, options: &ReadOptions, text: &str) -> Positions {
        read(text.as_bytes(), Path::new(name), options).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn the_unit_is_what_the_columns_say() {
        let tables = [
            ("class,x (nm),y [nm],Z_nm\na,1,2,3\n", Unit::Angstrom, [10.0, 20.0, 30.0], 0),
            ("class,x [Å],y_a,Z (angstrom)\na,1,2,3\n", Unit::Angstrom, [1.0, 2.0, 3.0], 0),
            ("class,x,y,z\na,1,2,3\n", Unit::Angstrom, [1.0, 2.0, 3.0], 1),
            ("class,x_nm,y_nm,z_nm,x_angstrom,y_angstrom,z_angstrom\na,9,9,9,1,2,3\n", Unit::Angstrom, [1.0, 2.0, 3.0], 0),
            ("class,x,y,z,x_nm,y_nm,z_nm\na,9,9,9,1,2,3\n", Unit::Angstrom, [10.0, 20.0, 30.0], 0),
            ("class,x_voxel,y_voxel,z_voxel\na,1,2,3\n", Unit::Voxel, [1.0, 2.0, 3.0], 0),
            (",axis-0,axis-1,axis-2,class\n0,3,2,1,a\n", Unit::Voxel, [1.0, 2.0, 3.0], 0),
            (
                "rlnTomoName,rlnCenteredCoordinateXAngst,rlnCenteredCoordinateYAngst,rlnCenteredCoordinateZAngst,class\nt,1,2,3,a\n",
                Unit::CentredAngstrom,
                [1.0, 2.0, 3.0],
                0,
            ),
            ("_rlnCoordinateX,rlnCoordinateY,rlnCoordinateZ,class\n1,2,3,a\n", Unit::TiltSeriesPixel(None), [1.0, 2.0, 3.0], 0),
            ("X,Y,Z,filepath,predicted_class_name\n1,2,3,/data/TS_1.mrc,a\n", Unit::Voxel, [1.0, 2.0, 3.0], 1),
        ];
        for (text, unit, xyz, notes) in tables {
            let positions = read_as("t.csv", &ReadOptions::default(), text);
            let row = &positions.rows[0];
            assert_eq!((row.unit, row.xyz, row.class.as_str(), positions.notes.len()), (unit, xyz, "a", notes), "{text}");
        }
        let tomotwin = read_as("t.csv", &ReadOptions::default(), "X,Y,Z,filename\n1,2,3,C:\\data\\TS_1.mrc\n");
        assert_eq!(tomotwin.rows[0].tomogram.as_deref(), Some("TS_1.mrc"));
    }

    #[test]
    fn a_row_is_in_the_first_unit_that_it_has() {
        let text = "class,x_angstrom,y_angstrom,z_angstrom,x_voxel,y_voxel,z_voxel\na,10,20,30,1,2,3\na,,,,1,2,3\n";
        let positions = read_as("t.csv", &ReadOptions::default(), text);
        let found: Vec<_> = positions.rows.iter().map(|row| (row.unit, row.xyz)).collect();
        assert_eq!(found, [(Unit::Angstrom, [10.0, 20.0, 30.0]), (Unit::Voxel, [1.0, 2.0, 3.0])]);
        let error = read(b"class,x,y,z,x_voxel,y_voxel,z_voxel\na,1,,3,1,2,3\n", Path::new("t.csv"), &ReadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 2: column \"y\" is empty"), "{error}");
    }

    #[test]
    fn a_table_without_classes_is_of_one() {
        let positions = read_as("dir/ribosome.csv", &ReadOptions::default(), "x_voxel,y_voxel,z_voxel\n1,2,3\n");
        assert_eq!(positions.rows[0].class, "ribosome");
        assert!(positions.notes[0].contains("\"ribosome\" stands for it"));
        let options = ReadOptions { class: Some("virus".to_owned()), format: None };
        let positions = read_as("dir/ribosome.csv", &options, "x_voxel,y_voxel,z_voxel\n1,2,3\n");
        assert_eq!((positions.rows[0].class.as_str(), positions.notes.len()), ("virus", 0));
        // A class that the table names is not replaced.
        assert_eq!(read_as("t.csv", &options, "class,x,y,z\na,1,2,3\n").rows[0].class, "a");
    }

    #[test]
    fn the_challenges_table_is_known_by_its_columns() {
        let positions = read_as("t.csv", &ReadOptions::default(), "id,experiment,particle_type,x,y,z\n0,TS_1,a,1,2,3\n");
        assert_eq!((positions.format, positions.notes.len()), (Format::Kaggle, 0));
    }
}
