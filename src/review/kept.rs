//! Sets of picks that a project keeps, each with a record of what made it.
//!
//! A set is one file, `picks/NNNN.jsonl` in the project's folder, written whole or not at all. Its first line is the
//! [`PickRecord`] as JSON; every other line is one pick, `[tomogram, class, score, z, y, x]`: the place of its tomogram in the
//! record, the place of its class, its score, and its continuous voxel index. The record says how many picks follow and their
//! CRC-32, so that a damaged file is noticed; listing the sets reads the first lines alone.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files::{sync_folder, temporary_beside};
use crate::labels::{Class, TomogramId, rounded_position};
use crate::train::{Pick, PickSet};

/// The folder of the sets in the project's folder.
pub const PICKS_FOLDER: &str = "picks";
const VERSION: u32 = 1;

/// Why a set of picks cannot be kept or read.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The file system refused.
    #[error("cannot {action} a set of picks: {source}: {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the set of picks is damaged ({reason}): make the picks again with the model: {}", path.display())]
    Damaged {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer program.
    #[error("the set of picks was written by a newer version of this program (format {found}, known up to {VERSION}): update the program: {}", path.display())]
    Version {
        /// The format found.
        found: u32,
        /// The file.
        path: PathBuf,
    },
}

/// What made picks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Its name: that of its file, or `trained here`.
    pub name: String,
    /// Its file, when it has one.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Size and CRC-32 of the file's content, `BYTES-crc32:XXXXXXXX`, when they are known.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Steps of training.
    pub steps: usize,
    /// When the run that trained it began, UTC; for a model trained in this project.
    #[serde(default)]
    pub trained: Option<String>,
}

impl ModelRecord {
    /// For people: name and steps.
    pub fn title(&self) -> String {
        if self.steps > 0 { format!("{}, {} steps", self.name, self.steps) } else { self.name.clone() }
    }

    /// Whether two records are of one model, so that later picks of it belong to the same set.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_file = match (&self.fingerprint, &other.fingerprint) {
            (Some(own), Some(others)) => own == others,
            _ => self.path == other.path,
        };
        same_file && self.steps == other.steps && self.trained == other.trained
    }
}

/// A tomogram of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptTomogram {
    /// Its identity in the project.
    pub id: TomogramId,
    /// Its name when it was picked.
    pub name: String,
    /// Its spacing then, in angstrom.
    pub spacing_angstrom: Option<f64>,
    /// When it was picked, UTC.
    pub picked: String,
    /// Number of its picks.
    pub picks: usize,
}

/// What a set is and what made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PickRecord {
    /// Version of the format.
    pub version: u32,
    /// Number of the set in the project; also in its file's name.
    pub id: u32,
    /// What made it.
    pub model: ModelRecord,
    /// The program's version.
    pub program: String,
    /// When it was last written, UTC.
    pub written: String,
    /// Who made it, by the name in the environment.
    pub who: String,
    /// The model's classes.
    pub classes: Vec<Class>,
    /// The thresholds suggested with the model, one a class.
    pub suggested: Vec<f32>,
    /// The thresholds in force when it was written, one a class.
    pub thresholds: Vec<f32>,
    /// Its tomograms.
    pub tomograms: Vec<KeptTomogram>,
    /// Number of its picks, those below the thresholds included.
    pub picks: usize,
    /// CRC-32 of the lines of picks.
    pub crc32: u32,
}

impl PickRecord {
    /// For people: what made it and when.
    pub fn title(&self) -> String {
        let day = self.written.get(..10).unwrap_or(&self.written);
        format!("{} · {} ({day})", self.id, self.model.title())
    }
}

/// A set with its picks.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPicks {
    /// What it is.
    pub record: PickRecord,
    /// The picks, one entry a tomogram of the record, in its order.
    pub sets: Vec<Arc<PickSet>>,
}

impl KeptPicks {
    /// Puts the picks of a tomogram in, in the place of any that it had.
    pub fn put(&mut self, tomogram: KeptTomogram, set: Arc<PickSet>) {
        match self.record.tomograms.iter().position(|other| other.id == tomogram.id) {
            Some(place) => {
                self.record.tomograms[place] = tomogram;
                self.sets[place] = set;
            }
            None => {
                self.record.tomograms.push(tomogram);
                self.sets.push(set);
            }
        }
    }

    /// The picks of a tomogram.
    pub fn set(&self, tomogram: TomogramId) -> Option<&Arc<PickSet>> {
        self.record.tomograms.iter().position(|other| other.id == tomogram).and_then(|place| self.sets.get(place))
    }
}

fn file(folder: &Path, id: u32) -> PathBuf {
    folder.join(PICKS_FOLDER).join(format!("{id:04}.jsonl"))
}

/// Size and CRC-32 of a file's content, as a record has them.
///
/// # Errors
/// When it cannot be read.
pub fn fingerprint(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                bytes += count;
            }
        }
    }
    Ok(format!("{bytes}-crc32:{:08x}", hasher.finalize()))
}

/// Writes a set into the project's folder, in the place of an earlier one of its number. Its record is brought up to date first:
/// counts, checksum, version and date.
///
/// # Errors
/// When the file system refuses; an earlier file is as it was.
pub fn write_kept(folder: &Path, kept: &mut KeptPicks) -> Result<PathBuf, KeptError> {
    let path = file(folder, kept.record.id);
    let failed = |action: &'static str| {
        let path = path.clone();
        move |source| KeptError::Io { action, path, source }
    };
    std::fs::create_dir_all(folder.join(PICKS_FOLDER)).map_err(failed("make the folder for"))?;
    let mut body = Vec::new();
    let mut picks = 0;
    for (place, set) in kept.sets.iter().enumerate() {
        if let Some(tomogram) = kept.record.tomograms.get_mut(place) {
            tomogram.picks = set.picks.len();
        }
        for pick in &set.picks {
            let [z, y, x] = rounded_position(pick.position);
            let line = (place, pick.class, pick.score, z, y, x);
            serde_json::to_writer(&mut body, &line).map_err(io::Error::other).map_err(failed("write"))?;
            body.push(b'\n');
        }
        picks += set.picks.len();
    }
    let record = &mut kept.record;
    (record.version, record.picks, record.crc32) = (VERSION, picks, crc32fast::hash(&body));
    record.program = env!("CARGO_PKG_VERSION").to_owned();
    record.written = super::now();
    let mut head = serde_json::to_vec(record).map_err(io::Error::other).map_err(failed("write"))?;
    head.push(b'\n');
    let mut temporary = temporary_beside(&path).map_err(failed("write"))?;
    temporary
        .write_all(&head)
        .and_then(|()| temporary.write_all(&body))
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(failed("write"))?;
    temporary.persist(&path).map_err(|error| error.error).map_err(failed("write"))?;
    sync_folder(&folder.join(PICKS_FOLDER)).map_err(failed("write"))?;
    Ok(path)
}

/// The records of all sets of the project in `folder`, by their numbers; those that cannot be read come as errors.
pub fn list_kept(folder: &Path) -> (Vec<PickRecord>, Vec<KeptError>) {
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    let entries = std::fs::read_dir(folder.join(PICKS_FOLDER)).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")) {
        let mut line = Vec::new();
        let read = File::open(&path).and_then(|file| BufReader::new(file).read_until(b'\n', &mut line));
        match read.map_err(|source| KeptError::Io { action: "read", path: path.clone(), source }) {
            Ok(_) => match head(&line, &path) {
                Ok(record) => records.push(record),
                Err(error) => errors.push(error),
            },
            Err(error) => errors.push(error),
        }
    }
    records.sort_by_key(|record| record.id);
    (records, errors)
}

/// The number of the next set: beyond every file that is there, also one that cannot be read.
pub fn next_id(folder: &Path) -> u32 {
    let entries = std::fs::read_dir(folder.join(PICKS_FOLDER)).into_iter().flatten().flatten();
    let number = |path: PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
    entries.filter_map(|entry| number(entry.path())).max().unwrap_or(0).saturating_add(1)
}

fn head(line: &[u8], path: &Path) -> Result<PickRecord, KeptError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |error: serde_json::Error| KeptError::Damaged { reason: error.to_string(), path: path.to_owned() };
    let Version { version } = serde_json::from_slice(line).map_err(damaged)?;
    if version > VERSION {
        return Err(KeptError::Version { found: version, path: path.to_owned() });
    }
    serde_json::from_slice(line).map_err(damaged)
}

/// Reads a set of the project in `folder`.
///
/// # Errors
/// When it is not there, or its content is not what its record says.
pub fn read_kept(folder: &Path, id: u32) -> Result<KeptPicks, KeptError> {
    let path = file(folder, id);
    let bytes = std::fs::read(&path).map_err(|source| KeptError::Io { action: "read", path: path.clone(), source })?;
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let (line, body) = bytes.split_at(end);
    let record = head(line, &path)?;
    let damaged = |reason: &str| KeptError::Damaged { reason: reason.to_owned(), path: path.clone() };
    if crc32fast::hash(body) != record.crc32 {
        return Err(damaged("its checksum differs"));
    }
    let classes = record.classes.len();
    if record.suggested.len() != classes || record.thresholds.len() != classes {
        return Err(damaged("it has not one threshold a class"));
    }
    let mut picks: Vec<Vec<Pick>> =
        record.tomograms.iter().map(|tomogram| Vec::with_capacity(tomogram.picks.min(1 << 20))).collect();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let parsed: (usize, usize, f32, f64, f64, f64) =
            serde_json::from_slice(line).map_err(|error| damaged(&error.to_string()))?;
        let (tomogram, class, score, z, y, x) = parsed;
        let place =
            picks.get_mut(tomogram).filter(|_| class < classes).ok_or_else(|| damaged("a pick is of no tomogram or class"))?;
        place.push(Pick { position: [z, y, x], class, score });
    }
    let set = |(tomogram, mut picks): (&KeptTomogram, Vec<Pick>)| {
        picks.sort_by(|a, b| b.score.total_cmp(&a.score));
        Arc::new(PickSet {
            tomogram: tomogram.id,
            classes: record.classes.clone(),
            thresholds: record.suggested.clone(),
            picks,
            step: record.model.steps,
        })
    };
    let sets = record.tomograms.iter().zip(picks).map(set).collect();
    Ok(KeptPicks { record, sets })
}

/// Removes a set of the project in `folder`.
///
/// # Errors
/// When the file system refuses.
pub fn remove_kept(folder: &Path, id: u32) -> Result<(), KeptError> {
    let path = file(folder, id);
    std::fs::remove_file(&path).map_err(|source| KeptError::Io { action: "remove", path, source })
}
