//! Markers of ChimeraX: one `TOMOGRAM.cmm` a tomogram, a `marker_set` a class, markers in angstrom with the colour and radius of the
//! class (ChimeraX, `bundles/markers/src/cmmfiles.py`). Several sets stand in a `marker_sets`, as ChimeraX writes them. ChimeraX
//! keeps attributes that it does not know; `score` and `tomogram` are such.
//!
//! Read: sets of any depth, by a parser that knows no entities but XML's own five.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::file_names::FileNames;
use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles,
    angstrom_digits, text,
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
        let path = dir.join(names.give(&[("tomogram", &tomogram.name)], ".cmm")?);
        let mut text = "<marker_sets>\n".to_owned();
        for (index, class) in classes.iter().enumerate() {
            marker_set(&mut text, class, index, tomogram)?;
        }
        text.push_str("</marker_sets>\n");
        files.stage(path, text.as_bytes())?;
    }
    Ok(())
}

fn marker_set(text: &mut String, class: &Class, index: usize, tomogram: &ExportTomogram) -> Result<(), CoordinateError> {
    let spacing = tomogram.known_spacing()?;
    let digits = angstrom_digits(spacing);
    let (name, tomogram_name) = (escaped("class", &class.name)?, escaped("tomogram", &tomogram.name)?);
    let [r, g, b] = class.colour.map(|value| f64::from(value) / 255.0);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "<marker_set name=\"{name}\" tomogram=\"{tomogram_name}\">");
    for (id, point) in tomogram.points.iter().filter(|point| point.class == index).enumerate() {
        let [z, y, x] = point.position.map(|index| index * spacing);
        let _ = write!(
            text,
            "<marker id=\"{}\" x=\"{x:.digits$}\" y=\"{y:.digits$}\" z=\"{z:.digits$}\" r=\"{r:.4}\" g=\"{g:.4}\" b=\"{b:.4}\" radius=\"{}\"",
            id + 1,
            class.radius_angstrom
        );
        if let Some(score) = point.score {
            let _ = write!(text, " score=\"{score}\"");
        }
        text.push_str("/>\n");
    }
    text.push_str("</marker_set>\n");
    Ok(())
}

/// A name between quotes in XML, which has no place for control characters.
fn escaped(what: &'static str, name: &str) -> Result<String, CoordinateError> {
    if name.chars().any(|letter| letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}')) {
        return Err(CoordinateError::name(what, name, "XML cannot hold control characters"));
    }
    Ok(quick_xml::escape::escape(name).into_owned())
}

pub(super) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let text = text::of(bytes, path)?;
    let mut reader = Reader::from_str(text);
    let mut markers =
        Markers { path, options, notes: Vec::new(), rows: Vec::new(), set: None, sets: 0, links: 0, file_class: None };
    let mut lines = Lines { text: text.as_bytes(), byte: 0, line: 1 };
    let mut depth = 0_u32;
    loop {
        let event = reader.read_event();
        let line = lines.at(reader.buffer_position());
        let at = |message: String| CoordinateError::Line { path: path.to_owned(), line, message };
        match event.map_err(|error| at(format!("not a file of ChimeraX markers: {error}")))? {
            Event::Start(element) => {
                depth = depth.saturating_add(1);
                markers.element(&element, line).map_err(at)?;
            }
            Event::Empty(element) => {
                markers.element(&element, line).map_err(at)?;
                if element.name().as_ref() == b"marker_set" {
                    markers.set = None;
                }
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                if element.name().as_ref() == b"marker_set" {
                    markers.set = None;
                }
            }
            Event::DocType(_) => return Err(at("the file declares a document type, which ChimeraX markers have not".to_owned())),
            Event::Eof if depth > 0 => return Err(at("the file ends before its last element does: it was cut off".to_owned())),
            Event::Eof => break,
            _ => {}
        }
    }
    if markers.sets == 0 {
        let message = "the file has no marker_set: save markers from ChimeraX with the ending .cmm".to_owned();
        return Err(CoordinateError::Content { path: path.to_owned(), message });
    }
    if markers.links > 0 {
        markers.notes.push(format!("{} links between markers are left out", markers.links));
    }
    Ok(Positions { format: Format::Cmm, rows: markers.rows, notes: markers.notes })
}

/// The set in which the reader is.
struct Set {
    class: String,
    tomogram: Option<String>,
}

/// What has been read so far.
struct Markers<'a> {
    path: &'a Path,
    options: &'a ReadOptions,
    notes: Vec<String>,
    rows: Vec<CoordinateRow>,
    set: Option<Set>,
    sets: usize,
    links: usize,
    /// The class of sets without a name.
    file_class: Option<String>,
}

impl Markers<'_> {
    fn element(&mut self, element: &BytesStart<'_>, line: u64) -> Result<(), String> {
        match element.name().as_ref() {
            b"marker_set" => {
                let mut attributes = attributes(element, &["name", "tomogram"])?;
                let class = match attributes.remove("name").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()) {
                    Some(name) => name,
                    None => self.class_of_file(),
                };
                let tomogram = attributes.remove("tomogram").filter(|name| !name.trim().is_empty());
                self.set = Some(Set { class, tomogram });
                self.sets += 1;
            }
            b"marker" => {
                let attributes = attributes(element, &["x", "y", "z", "score"])?;
                let set = self.set.as_ref().ok_or("a marker stands outside of every marker_set")?;
                let number = |axis: &str| -> Result<f64, String> {
                    let value = attributes.get(axis).ok_or_else(|| format!("a marker has no {axis}"))?;
                    text::number(value.trim()).map_err(|message| format!("{axis} of a marker: {message}"))
                };
                self.rows.push(CoordinateRow {
                    tomogram: set.tomogram.clone(),
                    class: set.class.clone(),
                    xyz: [number("x")?, number("y")?, number("z")?],
                    unit: Unit::Angstrom,
                    shift_angstrom: [0.0; 3],
                    score: attributes
                        .get("score")
                        .and_then(|score| score.trim().parse().ok())
                        .filter(|score: &f32| score.is_finite()),
                    source: None,
                    line,
                });
            }
            b"link" => self.links += 1,
            _ => {}
        }
        Ok(())
    }

    fn class_of_file(&mut self) -> String {
        let (path, options, notes) = (self.path, self.options, &mut self.notes);
        self.file_class.get_or_insert_with(|| text::class_of_file(options, path, notes)).clone()
    }
}

/// The attributes of an element that are in `wanted`.
fn attributes(element: &BytesStart<'_>, wanted: &[&'static str]) -> Result<BTreeMap<&'static str, String>, String> {
    let mut found = BTreeMap::new();
    // The library's own check for repeated names takes the square of their number.
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| format!("an element is not as XML has it: {error}"))?;
        let Some(name) = wanted.iter().find(|name| name.as_bytes() == attribute.key.as_ref()) else { continue };
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("the value of {name} is not as XML has it: {error}"))?;
        if found.insert(*name, value.into_owned()).is_some() {
            return Err(format!("an element has two values of {name}"));
        }
    }
    Ok(found)
}

/// Counts lines up to a byte that never goes back.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl Lines<'_> {
    fn at(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.byte, self.text.len());
        let passed = self.text[self.byte..byte].iter().filter(|letter| **letter == b'\n').count();
        self.line += passed as u64;
        self.byte = byte;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Positions, CoordinateError> {
        read(text.as_bytes(), Path::new("TS_1.cmm"), &ReadOptions::default())
    }

    #[test]
    fn what_chimerax_writes_is_read() {
        // One set is the root; several stand in marker_sets. White is ChimeraX's default and has no colour.
        let text = "<marker_set name=\"a &amp; b\">\n<marker id=\"1\" x=\"-26.133\" y=\"1.7291\" z=\"1.1e2\" r=\"1\" g=\"1\" b=\"0\" radius=\"1\"/>\n\
            <marker id=\"2\" x=\"1\" y=\"2\" z=\"3\"  radius=\"1\" note=\"&lt;x&gt;\" nr=\"1\" ng=\"1\" nb=\"1\"/>\n\
            <link id1=\"1\" id2=\"2\" r=\"1\" g=\"1\" b=\"0\" radius=\"0.5\"/>\n</marker_set>";
        let positions = parse(text).unwrap();
        assert_eq!(positions.rows.iter().map(|row| row.xyz).collect::<Vec<_>>(), [[-26.133, 1.7291, 110.0], [1.0, 2.0, 3.0]]);
        assert!(positions.rows.iter().all(|row| row.class == "a & b" && row.unit == Unit::Angstrom && row.tomogram.is_none()));
        assert_eq!(positions.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(positions.notes, ["1 links between markers are left out"]);
        let several = "<?xml version=\"1.0\"?>\n<!-- by hand -->\n<marker_sets><marker_set name=\"\"><marker x='1' y='2' z='3' score='0.5'></marker></marker_set>\
            <marker_set/><marker_set name=\"b\" tomogram=\"TS_9\"><marker x='1' y='2' z='3'/></marker_set></marker_sets>";
        let positions = parse(several).unwrap();
        assert_eq!((positions.rows[0].class.as_str(), positions.rows[0].score), ("TS_1", Some(0.5)));
        assert_eq!((positions.rows[1].class.as_str(), positions.rows[1].tomogram.as_deref()), ("b", Some("TS_9")));
        assert_eq!(positions.notes.len(), 1, "the file's name is said to stand for the class once");
    }

    #[test]
    fn what_is_no_marker_is_an_error_that_names_the_line() {
        for (text, reason) in [
            ("", "no marker_set"),
            ("<a/>", "no marker_set"),
            ("<marker x='1' y='2' z='3'/>", "outside"),
            ("<marker_set>\n<marker x='1' y='2'/></marker_set>", "has no z"),
            ("<marker_set>\n<marker x='1' y='2' z='nan'/></marker_set>", "not finite"),
            ("<marker_set>\n<marker x='1' x='2' y='2' z='3'/></marker_set>", "two values of x"),
            ("<marker_set>\n<marker x='&big;' y='2' z='3'/></marker_set>", "the value of x"),
            ("<marker_set>\n</marker>", "not a file of ChimeraX markers"),
            ("<marker_set>\n<marker x='1' y='2' z='3'/>", "cut off"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(reason) && message.ends_with("TS_1.cmm"), "{text}: {message}");
            assert!(!text.contains('\n') || message.starts_with("line 2:"), "{message}");
        }
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><marker_set name=\"&c;\"></marker_set>";
        assert!(parse(bomb).unwrap_err().to_string().contains("document type"));
    }
}
