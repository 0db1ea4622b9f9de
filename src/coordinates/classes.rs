//! `CLASSES.toml`: the particles that a data set is about.
//!
//! ```toml
//! [[class]]
//! name = "ribosome"
//! radius_angstrom = 150
//! colour = "#E69F00"   # or [230, 159, 0]; without it the palette's next colour
//! ```

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CoordinateError, WholeFiles};
use crate::labels::{Annotations, Class, ClassId, Edit, default_colour};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassesFile {
    class: Vec<ClassEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassEntry {
    name: String,
    radius_angstrom: f64,
    #[serde(alias = "color")]
    colour: Option<Colour>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a colour is \"#RRGGBB\" or [red, green, blue] with numbers from 0 to 255")]
enum Colour {
    Hex(String),
    Numbers([u8; 3]),
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    class: Vec<WrittenEntry<'a>>,
}

#[derive(Serialize)]
struct WrittenEntry<'a> {
    name: &'a str,
    radius_angstrom: f64,
    colour: String,
}

/// Reads a `CLASSES.toml`; see the example in the module's description. The identities of the classes are their places in the
/// file, from 0.
///
/// # Errors
/// When the file cannot be read, is not such a file, lists no class, or when an entry has an empty or repeated name, a radius
/// that is not positive, or a colour that is none.
pub fn read_classes(path: &Path) -> Result<Vec<Class>, CoordinateError> {
    let text = fs::read_to_string(path).map_err(|source| CoordinateError::Read { path: path.to_owned(), source })?;
    let content = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    let file: ClassesFile = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        content(format!(
            "line {line}: {}; write one [[class]] table a class, with name = \"ribosome\" and radius_angstrom = 150",
            error.message()
        ))
    })?;
    if file.class.is_empty() {
        return Err(content("no class is listed: write one [[class]] table a class".to_owned()));
    }
    let mut annotations = Annotations::default();
    for (index, entry) in file.class.into_iter().enumerate() {
        let colour = match entry.colour {
            None => default_colour(index),
            Some(Colour::Numbers(colour)) => colour,
            Some(Colour::Hex(text)) => parse_hex(&text).ok_or_else(|| {
                content(format!("class {} ({:?}): {text:?} is not a colour: write it as \"#E69F00\"", index + 1, entry.name))
            })?,
        };
        let id = ClassId(index as u32);
        let class = Class { id, name: entry.name, radius_angstrom: entry.radius_angstrom, colour };
        annotations.apply(&Edit::AddClass { index, class }).map_err(|source| CoordinateError::Class {
            path: path.to_owned(),
            entry: index + 1,
            source,
        })?;
    }
    Ok(annotations.classes)
}

/// Writes a `CLASSES.toml`, whole or not at all.
///
/// # Errors
/// When the file exists and `overwrite` is not set, or when writing fails.
pub fn write_classes(path: &Path, classes: &[Class], overwrite: bool) -> Result<(), CoordinateError> {
    let class = classes
        .iter()
        .map(|class| {
            let [red, green, blue] = class.colour;
            let colour = format!("#{red:02X}{green:02X}{blue:02X}");
            WrittenEntry { name: &class.name, radius_angstrom: class.radius_angstrom, colour }
        })
        .collect();
    let text = toml::to_string(&WrittenFile { class })
        .map_err(|error| CoordinateError::Content { path: path.to_owned(), message: error.to_string() })?;
    let mut files = WholeFiles::new(overwrite);
    files.stage(path.to_owned(), text.as_bytes())?;
    files.commit().map(drop)
}

fn parse_hex(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#')?;
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some([(number >> 16) as u8, (number >> 8) as u8, number as u8])
}
