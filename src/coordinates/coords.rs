//! Plain text: `x y z` a line in voxels, 0-based, an integer being a voxel's centre; one `TOMOGRAM_CLASS.coords` for each
//! tomogram and class, empty where there are no positions.
//!
//! Read: three numbers a line between spaces, tabs, commas or semicolons, with or without lines of comment (`#`, `%`, `//`) and a
//! line of column names that says the order; further columns are left out, which a note says.

use std::fmt::Write;
use std::path::Path;

use super::file_names::FileNames;
use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles, text,
};
use crate::labels::Class;

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    _options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let mut names = FileNames::default();
    for tomogram in tomograms {
        for (index, class) in classes.iter().enumerate() {
            let name = names.give(&[("tomogram", &tomogram.name), ("class", &class.name)], ".coords")?;
            let mut text = String::new();
            for point in tomogram.points.iter().filter(|point| point.class == index) {
                let [z, y, x] = point.position;
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{x:.4} {y:.4} {z:.4}");
            }
            files.stage(dir.join(name), text.as_bytes())?;
        }
    }
    Ok(())
}

pub(super) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let mut notes = Vec::new();
    let class = text::class_of_file(options, path, &mut notes);
    let mut rows = Vec::new();
    // Where x, y and z are; before the first row a line of column names may say so.
    let mut order = [0, 1, 2];
    let mut extra_columns = false;
    for (line, content) in text::lines(text::of(bytes, path)?) {
        let at = |message: String| CoordinateError::Line { path: path.to_owned(), line, message };
        let content = content.trim();
        if content.is_empty() || content.starts_with(['#', '%']) || content.starts_with("//") {
            continue;
        }
        let fields = fields(content);
        if rows.is_empty()
            && let Some(named) = named_order(&fields)
        {
            order = named;
            continue;
        }
        if fields.len() <= order.into_iter().max().unwrap_or(2) {
            return Err(at(format!("{content:?} has fewer than three numbers: a line is x y z")));
        }
        extra_columns |= fields.len() > 3;
        let [x, y, z] = order.map(|place| text::number(fields[place]));
        rows.push(CoordinateRow {
            tomogram: None,
            class: class.clone(),
            xyz: [x.map_err(at)?, y.map_err(at)?, z.map_err(at)?],
            unit: Unit::Voxel,
            shift_angstrom: [0.0; 3],
            score: None,
            source: None,
            line,
        });
    }
    if extra_columns {
        notes.push("columns other than x, y, z are left out".to_owned());
    }
    Ok(Positions { format: Format::Coords, rows, notes })
}

/// The fields of a line: between spaces and tabs when there are any, or else between commas or semicolons, so that a decimal comma
/// is not taken for the end of a number.
fn fields(line: &str) -> Vec<&str> {
    let spaced: Vec<&str> =
        line.split_whitespace().map(|field| field.trim_end_matches([',', ';'])).filter(|field| !field.is_empty()).collect();
    if spaced.len() >= 3 { spaced } else { line.split([',', ';', ' ', '\t']).map(str::trim).collect() }
}

/// Where x, y and z are, if the line names columns.
fn named_order(fields: &[&str]) -> Option<[usize; 3]> {
    let place = |axis: &str| fields.iter().position(|field| field.trim_matches('"').eq_ignore_ascii_case(axis));
    Some([place("x")?, place("y")?, place("z")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Positions, CoordinateError> {
        read(text.as_bytes(), Path::new("picks/TS_1_ribosome.coords"), &ReadOptions::default())
    }

    #[test]
    fn rows_of_numbers_are_understood_however_they_are_separated() {
        let texts = [
            "1.5 2 3\n4 -5 60\n",
            "# by hand\r\n1.5\t2\t3\r\n\r\n% more\r\n  4  -5  6e1",
            "1.5,2,3\n4,-5,60\n",
            "1.5, 2, 3\r4; -5; 60",
            "// c\n1.5;2;3\n4;-5;60",
            "x y z\n1.5 2 3 0.9 7\n4 -5 60 0.8 7\n",
            "\u{feff}z,y,x,score\n3,2,1.5,0\n60,-5,4,0\n",
        ];
        for text in texts {
            let positions = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(
                positions.rows.iter().map(|row| row.xyz).collect::<Vec<_>>(),
                [[1.5, 2.0, 3.0], [4.0, -5.0, 60.0]],
                "{text}"
            );
            assert!(positions.rows.iter().all(|row| row.unit == Unit::Voxel && row.class == "TS_1_ribosome"));
            assert!(positions.notes[0].contains("TS_1_ribosome"));
            assert_eq!(positions.notes.len(), if text.contains("score") || text.contains("0.9") { 2 } else { 1 }, "{text}");
        }
        assert!(parse("").unwrap().rows.is_empty());
        let options = ReadOptions { class: Some("virus".to_owned()), format: None };
        let named = read(b"1 2 3", Path::new("a.coords"), &options).unwrap();
        assert_eq!((named.rows[0].class.as_str(), named.notes.len()), ("virus", 0));
    }

    #[test]
    fn what_is_no_position_is_an_error_that_names_the_line() {
        for (text, line, reason) in [
            ("1 2 3\n1 2\n", 2, "fewer than three"),
            ("1 2 3\n\n# c\n1 x 3\n", 4, "\"x\" is not a number"),
            ("1 2 nan", 1, "not finite"),
            ("1,5 2,5 3,5", 1, "decimal point"),
            ("1,,3", 1, "\"\" is not a number"),
            ("nothing", 1, "fewer than three"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("line {line}:")) && message.contains(reason), "{message}");
            assert!(message.ends_with("TS_1_ribosome.coords"), "{message}");
        }
    }
}
