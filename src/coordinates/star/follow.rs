//! STAR files that name other files: RELION's optimisation sets and the index of "Import coordinates".
//!
//! Only files in the folder of the file that names them, or below it, are read, wherever links lead.

use std::path::{Path, PathBuf};

use super::parse::{Table, Wrong};
use super::pixels::shown;
use super::read::{MOST_POSITIONS, read_followed};
use crate::coordinates::import::{LARGEST_BYTES, read_bytes};
use crate::coordinates::{CoordinateError, Format, Positions, ReadOptions, bare_tomogram_name};
use crate::files::folder_of;

/// Reads the particles that an optimisation set names.
pub(super) fn optimisation_set(named: &str, path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let file = beside(named, path).ok_or_else(|| CoordinateError::Content {
        path: path.to_owned(),
        message: format!(
            "this optimisation set has no coordinates; it names {}, which is not in its folder: open that file itself",
            shown(named)
        ),
    })?;
    let mut positions = read_followed(&read_bytes(&file, LARGEST_BYTES)?, &file, options)?;
    positions.notes.insert(0, format!("the optimisation set names {}, which was read", shown(named)));
    Ok(positions)
}

/// Reads the files of all tomograms that an index names.
pub(super) fn import_index(index: &Table<'_>, path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let mut all = Positions { format: Format::Relion5Import, rows: Vec::new(), notes: Vec::new() };
    let mut bytes_left = LARGEST_BYTES;
    let in_file = |wrong: Wrong| wrong.in_file(path);
    let files = index.column("rlnTomoImportParticleFile").map_err(in_file)?;
    let names = index.column("rlnTomoName").map_err(in_file)?;
    let mut failed = None;
    let walked = index.for_each_row(|line, row| {
        let named = files.map_or("", |place| row[place]);
        let mut read = || -> Result<(), CoordinateError> {
            let file = beside(named, path).ok_or_else(|| CoordinateError::Line {
                path: path.to_owned(),
                line,
                message: format!("the file {} is not in the folder of this index: put it there", shown(named)),
            })?;
            let bytes = read_bytes(&file, bytes_left)?;
            bytes_left -= bytes.len() as u64;
            let part = read_followed(&bytes, &file, options)?;
            if all.rows.len() + part.rows.len() > MOST_POSITIONS {
                let message = format!("the files of this index have more than {MOST_POSITIONS} positions");
                return Err(CoordinateError::Content { path: path.to_owned(), message });
            }
            let name = names.map(|place| bare_tomogram_name(row[place])).filter(|name| !name.is_empty());
            for mut row in part.rows {
                row.tomogram = row.tomogram.or_else(|| name.map(str::to_owned));
                all.rows.push(row);
            }
            for note in part.notes {
                if all.notes.len() < 20 && !all.notes.contains(&note) {
                    all.notes.push(note);
                }
            }
            Ok(())
        };
        read().map_err(|error| {
            failed = Some(error);
            Wrong::new(line, "")
        })
    });
    match (failed, walked) {
        (Some(error), _) => Err(error),
        (None, Err(wrong)) => Err(wrong.in_file(path)),
        (None, Ok(())) => Ok(all),
    }
}

/// The file `named` in the folder of `path` or below it. A name from the root of a RELION project is looked for by its last
/// part, beside `path`, where our own exports and RELION's jobs put it.
fn beside(named: &str, path: &Path) -> Option<PathBuf> {
    let folder = folder_of(path).canonicalize().ok()?;
    let named = Path::new(named);
    let candidates = [Some(folder.join(named)), named.file_name().map(|name| folder.join(name))];
    candidates.into_iter().flatten().find_map(|candidate| {
        let file = candidate.canonicalize().ok()?;
        (file.starts_with(&folder) && file.is_file() && file != path.canonicalize().ok()?).then_some(file)
    })
}
