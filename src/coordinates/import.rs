//! Reading positions, whatever program wrote them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{
    CoordinateError, CoordinateRow, Format, Positions, ReadOptions, cmm, coords, copick, csv, dynamo, eman2, imod, portal, star,
};

/// Larger files are refused: a million positions take about a tenth of it.
pub(super) const LARGEST_BYTES: u64 = 1 << 30;

/// Reads positions in any of the forms that [`Format`] names, recognised by content and name unless `options` says the form.
///
/// # Errors
/// When the file cannot be read, is larger than a gigabyte, is in no form that is known, or breaks the rules of its form. The
/// message names the place in the file.
pub fn read_positions(path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let bytes = read_bytes(path, LARGEST_BYTES)?;
    parse_positions(&bytes, path, options)
}

/// The content of a file of at most `most_bytes`.
///
/// # Errors
/// When it cannot be read, is no file, or is larger.
pub(super) fn read_bytes(path: &Path, most_bytes: u64) -> Result<Vec<u8>, CoordinateError> {
    let reading = |source| CoordinateError::Read { path: path.to_owned(), source };
    let content = |message: &str| CoordinateError::Content { path: path.to_owned(), message: message.to_owned() };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !path.metadata().map_err(reading)?.is_file() {
        return Err(content("this is not a file: choose a file with positions"));
    }
    let file = File::open(path).map_err(reading)?;
    let mut bytes = Vec::new();
    file.take(most_bytes + 1).read_to_end(&mut bytes).map_err(reading)?;
    if bytes.len() as u64 > most_bytes {
        return Err(content("the file is larger than 1 GB: choose a file with positions, not a volume"));
    }
    Ok(bytes)
}

/// As [`read_positions`], from the content of the file; `path` serves to recognise the form and for messages.
///
/// # Errors
/// As [`read_positions`].
pub fn parse_positions(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let format = match options.format {
        Some(format) => format,
        None => recognise(bytes, path)?,
    };
    match format {
        Format::Csv | Format::Kaggle => csv::read(bytes, path, options),
        Format::Relion5 | Format::Relion5Import | Format::Relion4 | Format::Warp | Format::Cbox => {
            star::read(bytes, path, options)
        }
        Format::Copick => copick::read(bytes, path, options),
        Format::PortalNdjson => portal::read(bytes, path, options),
        Format::Imod => imod::read(bytes, path, options),
        Format::Dynamo => dynamo::read(bytes, path, options),
        Format::Eman2 => eman2::read(bytes, path, options),
        Format::Coords => coords::read(bytes, path, options),
        Format::Cmm => cmm::read(bytes, path, options),
    }
}

/// Reads a table of positions; see [`mod@csv`] for what is understood.
///
/// # Errors
/// As [`read_positions`].
pub fn read_csv(path: &Path) -> Result<Vec<CoordinateRow>, CoordinateError> {
    let options = ReadOptions { format: Some(Format::Csv), class: None };
    read_positions(path, &options).map(|positions| positions.rows)
}

/// The form of a file: by what it begins with, or else by the ending of its name.
fn recognise(bytes: &[u8], path: &Path) -> Result<Format, CoordinateError> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    if bytes.starts_with(b"IMOD") {
        return Ok(Format::Imod);
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
    let start = head.trim_start_matches('\u{feff}').trim_start();
    let by_name = match ending.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "star" => Some(Format::Relion5),
        "cbox" => Some(Format::Cbox),
        "ndjson" => Some(Format::PortalNdjson),
        "mod" => Some(Format::Imod),
        "tbl" => Some(Format::Dynamo),
        "coords" => Some(Format::Coords),
        "cmm" => Some(Format::Cmm),
        _ => None,
    };
    let by_content = if start.starts_with('{') {
        if start.contains("boxes_3d") {
            Some(Format::Eman2)
        } else if ending == "ndjson" || (start.contains("\"location\"") && start.lines().next().is_some_and(|l| l.ends_with('}')))
        {
            Some(Format::PortalNdjson)
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_info.json")) {
            Some(Format::Eman2)
        } else {
            Some(Format::Copick)
        }
    } else if start.starts_with('<') {
        Some(Format::Cmm)
    } else if start.lines().any(begins_a_star_block) {
        Some(if ending == "cbox" { Format::Cbox } else { Format::Relion5 })
    } else {
        None
    };
    by_content.or(by_name).or_else(|| plain(start)).ok_or_else(|| CoordinateError::Content {
        path: path.to_owned(),
        message:
            "the form of this file is not recognised: choose a table with column names, a STAR file, or another form of the list"
                .to_owned(),
    })
}

/// Whether a line is `data_NAME` alone; in a table of positions such a word is followed by others.
fn begins_a_star_block(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("data_") && !line.contains([' ', '\t', ',', ';'])
}

/// A table with names of columns, or plain rows of numbers: three a row, or many as in a Dynamo table.
fn plain(start: &str) -> Option<Format> {
    let first = start.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    let fields: Vec<&str> = first.split([',', ';', '\t', ' ']).map(str::trim).filter(|field| !field.is_empty()).collect();
    match fields.iter().all(|field| field.parse::<f64>().is_ok()) {
        true if fields.len() >= 26 => Some(Format::Dynamo),
        true if fields.len() == 3 => Some(Format::Coords),
        true => None,
        false => (fields.len() > 1).then_some(Format::Csv),
    }
}
