//! A table of Dynamo: `particles.tbl`, one particle a line in columns between spaces, numbered from 1 (Dynamo wiki, "Table
//! convention"): 1 tag, 2 to be aligned, 4 to 6 shifts in pixels, 10 score (`cc`), 20 tomogram, 22 class, 24 to 26 position x, y, z
//! in pixels of the tomogram. The position is the voxel index as it is: the converters between Dynamo and RELION or Warp
//! (dynamo2m, dynamo2relion, cryoCAT) neither add nor subtract one. Angles and tilt range, which are not known here, are 0.
//!
//! Tomograms and classes have numbers alone in a table, so two lists lie beside it, a number and a name a line:
//! `particles.doc` with the tomograms, which is Dynamo's table map file, and `particles_classes.doc` with the classes.
//!
//! Read: tables of at least 26 columns; a particle lies at its position plus its shift, as those converters have it. The names come
//! from `TABLE.doc`, or `indices_column20.doc` as in a data folder of Dynamo, and `TABLE_classes.doc`; without them the numbers are
//! the names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles, text,
};
use crate::labels::Class;

/// Columns written: those that every version of Dynamo knows.
const COLUMNS: usize = 35;
/// Columns that a table must have for the positions.
const LEAST_COLUMNS: usize = 26;
/// Larger lists of names are not read.
const LARGEST_LIST_BYTES: u64 = 16 << 20;

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    _options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let (mut table, mut map, mut class_list) = (String::new(), String::new(), String::new());
    // Writing to a String cannot fail.
    for (index, class) in classes.iter().enumerate() {
        if class.name.contains(['\n', '\r']) {
            return Err(CoordinateError::name("class", &class.name, "it has a line break"));
        }
        let _ = writeln!(class_list, "{} {}", index + 1, class.name);
    }
    let mut tag = 0_u64;
    for (index, tomogram) in tomograms.iter().enumerate() {
        if tomogram.name.contains(char::is_whitespace) {
            return Err(CoordinateError::name("tomogram", &tomogram.name, "a space ends a name in Dynamo's list of tomograms"));
        }
        if tomogram.name.contains(['/', '\\']) {
            return Err(CoordinateError::name("tomogram", &tomogram.name, "Dynamo takes it for the path of a file"));
        }
        let _ = writeln!(map, "{} {}", index + 1, tomogram.name);
        for point in &tomogram.points {
            tag += 1;
            let [z, y, x] = point.position;
            let mut columns = vec!["0".to_owned(); COLUMNS];
            let mut set = |column: usize, value: String| columns[column - 1] = value;
            set(1, tag.to_string());
            set(2, "1".to_owned());
            set(10, point.score.unwrap_or(0.0).to_string());
            set(20, (index + 1).to_string());
            set(22, (point.class + 1).to_string());
            for (column, index) in [(24, x), (25, y), (26, z)] {
                set(column, format!("{index:.4}"));
            }
            table.push_str(&columns.join(" "));
            table.push('\n');
        }
    }
    files.stage(dir.join("particles.tbl"), table.as_bytes())?;
    files.stage(dir.join("particles.doc"), map.as_bytes())?;
    files.stage(dir.join("particles_classes.doc"), class_list.as_bytes())
}

pub(super) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let tomograms = list(&path.with_file_name(format!("{stem}.doc")))?;
    let tomograms = match tomograms {
        Some(list) => Some(list),
        None => list(&path.with_file_name("indices_column20.doc"))?,
    };
    let classes = list(&path.with_file_name(format!("{stem}_classes.doc")))?;
    table(bytes, path, options, tomograms.as_ref(), classes.as_ref())
}

type Names = BTreeMap<u64, String>;

/// A list of numbers and names, if it is there.
fn list(path: &Path) -> Result<Option<Names>, CoordinateError> {
    if !path.is_file() {
        return Ok(None);
    }
    let reading = |source| CoordinateError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(reading)?.take(LARGEST_LIST_BYTES + 1).read_to_end(&mut bytes).map_err(reading)?;
    if bytes.len() as u64 > LARGEST_LIST_BYTES {
        let message = "the list beside the table is larger than 16 MB: move it away".to_owned();
        return Err(CoordinateError::Content { path: path.to_owned(), message });
    }
    names(text::of(&bytes, path)?, path).map(Some)
}

fn names(list: &str, path: &Path) -> Result<Names, CoordinateError> {
    let mut names = Names::new();
    for (line, content) in text::lines(list) {
        let at = |message: String| CoordinateError::Line { path: path.to_owned(), line, message };
        let content = content.trim();
        if content.is_empty() || content.starts_with(['#', '%']) {
            continue;
        }
        let (number, name) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
        let number = number.parse().map_err(|_| at(format!("{content:?} is not a number and a name")))?;
        if name.trim().is_empty() {
            return Err(at(format!("{content:?} is not a number and a name")));
        }
        if names.insert(number, name.trim().to_owned()).is_some() {
            return Err(at(format!("the number {number} has a name already")));
        }
    }
    Ok(names)
}

fn table(
    bytes: &[u8],
    path: &Path,
    options: &ReadOptions,
    tomograms: Option<&Names>,
    classes: Option<&Names>,
) -> Result<Positions, CoordinateError> {
    let mut notes = Vec::new();
    let mut read = Vec::new();
    for (line, content) in text::lines(text::of(bytes, path)?) {
        let content = content.trim();
        if content.is_empty() || content.starts_with(['#', '%']) {
            continue;
        }
        read.push(particle(content, line).map_err(|message| CoordinateError::Line { path: path.to_owned(), line, message })?);
    }
    if read.iter().any(|particle| particle.shift != [0.0; 3]) {
        notes.push("the shifts of the particles (columns 4 to 6) were added to their positions".to_owned());
    }
    let tomogram_name = |number: u64| match tomograms.and_then(|names| names.get(&number)) {
        Some(name) => Some(last_part(name)),
        // 0 is what an empty column holds.
        None => (number != 0).then(|| number.to_string()),
    };
    if tomograms.is_none() && read.iter().any(|particle| particle.tomogram != 0) {
        notes.push(
            "there is no list of tomograms beside the table (such as particles.doc): the numbers of column 20 are the names"
                .to_owned(),
        );
    }
    let numbers_differ = read.windows(2).any(|pair| pair[0].class != pair[1].class);
    let one_class = match (&options.class, classes) {
        (None, Some(_)) => None,
        (None, None) if numbers_differ => {
            notes.push("the table does not name the classes: they are class_1 and so on, by column 22".to_owned());
            None
        }
        _ if read.is_empty() => None,
        _ => Some(text::class_of_file(options, path, &mut notes)),
    };
    let class_name = |number: u64| match (&one_class, classes.and_then(|names| names.get(&number))) {
        (Some(class), _) => class.clone(),
        (None, Some(name)) => name.clone(),
        (None, None) => format!("class_{number}"),
    };
    let rows = read
        .into_iter()
        .map(|particle| CoordinateRow {
            tomogram: tomogram_name(particle.tomogram),
            class: class_name(particle.class),
            xyz: std::array::from_fn(|axis| particle.xyz[axis] + particle.shift[axis]),
            unit: Unit::Voxel,
            shift_angstrom: [0.0; 3],
            score: particle.score,
            source: None,
            line: particle.line,
        })
        .collect();
    Ok(Positions { format: Format::Dynamo, rows, notes })
}

/// The name at the end of a path.
fn last_part(path: &str) -> String {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path).to_owned()
}

struct Particle {
    tomogram: u64,
    class: u64,
    xyz: [f64; 3],
    /// Pixels.
    shift: [f64; 3],
    score: Option<f32>,
    line: u64,
}

fn particle(content: &str, line: u64) -> Result<Particle, String> {
    let fields: Vec<&str> = content.split_whitespace().collect();
    if fields.len() < LEAST_COLUMNS {
        return Err(format!("{} columns, but a table of Dynamo has at least {LEAST_COLUMNS}", fields.len()));
    }
    let number = |column: usize| text::number(fields[column - 1]).map_err(|message| format!("column {column}: {message}"));
    let index = |column: usize| -> Result<u64, String> {
        let number = number(column)?;
        // Up to the largest integers that Dynamo's double precision holds.
        if number.fract() == 0.0 && (0.0..=9e15).contains(&number) {
            Ok(number as u64)
        } else {
            Err(format!("column {column}: {:?} is not an index", fields[column - 1]))
        }
    };
    // A correlation that was never computed is 0 or NaN.
    let score = fields[9].parse::<f32>().ok().filter(|score| score.is_finite() && *score != 0.0);
    let xyz = [number(24)?, number(25)?, number(26)?];
    let shift = [number(4)?, number(5)?, number(6)?];
    if xyz.iter().zip(shift).any(|(place, shift)| !(place + shift).is_finite()) {
        return Err("the position is too large".to_owned());
    }
    Ok(Particle { tomogram: index(20)?, class: index(22)?, xyz, shift, score, line })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::coordinates::{ExportPoint, export, read_positions};
    use crate::labels::ClassId;

    fn row(values: &[(usize, &str)]) -> String {
        let mut columns = vec!["0"; 35];
        for (column, value) in values {
            columns[column - 1] = value;
        }
        columns.join(" ")
    }

    #[test]
    fn the_columns_are_dynamos() {
        let dir = tempfile::tempdir().unwrap();
        let class = |id, name: &str| Class { id: ClassId(id), name: name.to_owned(), radius_angstrom: 1.0, colour: [0; 3] };
        let point = |class, score| ExportPoint { class, position: [3.0, 2.5, 1.0], score, source: None };
        let tomogram =
            |name: &str, points| ExportTomogram { name: name.to_owned(), shape: [9; 3], spacing_angstrom: None, points };
        let tomograms = [tomogram("TS_1", vec![]), tomogram("TS_2", vec![point(1, Some(0.5)), point(0, None)])];
        let classes = [class(0, "80S ribosome"), class(1, "virus")];
        let files = export(Format::Dynamo, dir.path(), &classes, &tomograms, &ExportOptions::default()).unwrap();
        let text = |index: usize| fs::read_to_string(&files[index]).unwrap();
        let place = [(24, "1.0000"), (25, "2.5000"), (26, "3.0000")];
        let first = [&[(1, "1"), (2, "1"), (10, "0.5"), (20, "2"), (22, "2")], &place[..]].concat();
        let second = [&[(1, "2"), (2, "1"), (20, "2"), (22, "1")], &place[..]].concat();
        assert_eq!(text(0), format!("{}\n{}\n", row(&first), row(&second)));
        assert_eq!((text(1).as_str(), text(2).as_str()), ("1 TS_1\n2 TS_2\n", "1 80S ribosome\n2 virus\n"));
        for bad in ["TS 1", "a/TS_1"] {
            let error = export(Format::Dynamo, dir.path(), &classes, &[tomogram(bad, vec![])], &ExportOptions::default());
            assert!(matches!(error, Err(CoordinateError::Name { what: "tomogram", .. })), "{bad}");
        }
    }

    #[test]
    fn a_particle_lies_at_its_position_and_shift_under_the_names_of_the_lists() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.tbl");
        let complex = [(4, "0.5"), (5, "-1"), (6, "2"), (10, "0.25"), (20, "7"), (22, "3"), (24, "10"), (25, "20"), (26, "30")];
        let text = format!("{}\n{}", row(&[&complex[..], &[(28, "1.5+0.25i")]].concat()), row(&[(20, "8"), (10, "NaN")]));
        fs::write(&path, &text).unwrap();
        let read = || read_positions(&path, &ReadOptions::default()).unwrap();
        let positions = read();
        assert_eq!(positions.format, Format::Dynamo);
        assert_eq!((positions.rows[0].xyz, positions.rows[0].score), ([10.5, 19.0, 32.0], Some(0.25)));
        assert_eq!((positions.rows[0].tomogram.as_deref(), positions.rows[0].class.as_str()), (Some("7"), "class_3"));
        assert_eq!((positions.rows[1].score, positions.rows[1].line), (None, 2));
        assert_eq!(positions.notes.len(), 3, "{:?}", positions.notes);
        fs::write(dir.path().join("indices_column20.doc"), "7 /data/tomo_ts01.mrc_15.00Apx.mrc\n8 b\n").unwrap();
        assert_eq!(read().rows[0].tomogram.as_deref(), Some("tomo_ts01.mrc_15.00Apx.mrc"));
        fs::write(dir.path().join("t.doc"), "7 TS_7\n8 TS_8\n").unwrap();
        fs::write(dir.path().join("t_classes.doc"), "3 80S ribosome\n").unwrap();
        let positions = read();
        assert_eq!((positions.rows[0].tomogram.as_deref(), positions.rows[0].class.as_str()), (Some("TS_7"), "80S ribosome"));
        assert_eq!((positions.rows[1].class.as_str(), positions.notes.len()), ("class_0", 1));
        let options = ReadOptions { class: Some("virus".to_owned()), format: None };
        assert!(read_positions(&path, &options).unwrap().rows.iter().all(|row| row.class == "virus"));
        // dynamotable counts tomograms from 0.
        fs::write(&path, row(&[(20, "0")])).unwrap();
        fs::write(dir.path().join("t.doc"), "0 TS_0\n").unwrap();
        assert_eq!(read().rows[0].tomogram.as_deref(), Some("TS_0"));
        fs::write(dir.path().join("t.doc"), "seven TS_7\n").unwrap();
        let message = read_positions(&path, &ReadOptions::default()).unwrap_err().to_string();
        assert!(message.starts_with("line 1:") && message.ends_with("t.doc"), "{message}");
    }

    #[test]
    fn what_is_no_table_is_an_error_that_names_the_line() {
        for (values, reason) in [
            (&[(24, "x")][..], "column 24"),
            (&[(25, "NaN")], "column 25"),
            (&[(20, "1.5")], "not an index"),
            (&[(22, "-1")], "not an index"),
            (&[(4, "inf")], "column 4"),
            (&[(4, "1e308"), (24, "1.7e308")], "too large"),
        ] {
            let text = format!("{}\n{}\n", row(&[]), row(values));
            let message = read(text.as_bytes(), Path::new("t.tbl"), &ReadOptions::default()).unwrap_err().to_string();
            assert!(message.starts_with("line 2:") && message.contains(reason) && message.ends_with("t.tbl"), "{message}");
        }
        let message = read(b"1 2 3", Path::new("t.tbl"), &ReadOptions::default()).unwrap_err().to_string();
        assert!(message.contains("3 columns"), "{message}");
    }
}
