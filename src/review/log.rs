//! The log of decisions: who accepted or rejected which picks, when, and what had made them.
//!
//! `decisions.jsonl` in the project's folder has one JSON object a line, one line a decision; a decision about many picks is one
//! line. Lines are only ever added. A line that a crash cut short is left out when the log is read. The labels themselves are
//! in the project: the log tells their story by their identities, so an undone decision has a line but no label.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::labels::ItemId;

/// The log's name in the project's folder.
pub const DECISIONS_FILE: &str = "decisions.jsonl";

/// One decision about one or many picks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// `accepted`, `rejected` or `open`: taken back.
    pub verdict: String,
    /// Who, by the name in the environment.
    pub who: String,
    /// When, UTC.
    pub when: String,
    /// What made the picks, for people.
    pub model: String,
    /// The kept set that they are of, where there is one.
    #[serde(default)]
    pub set: Option<u32>,
    /// Names of the classes, to which the picks refer by place.
    pub classes: Vec<String>,
    /// The thresholds in force, one a class.
    pub thresholds: Vec<f32>,
    /// Of each pick the identity of its label, the place of its class, and its score.
    pub picks: Vec<(u64, u16, f32)>,
}

impl Decision {
    /// A verdict as the log writes it.
    pub fn word(verdict: Verdict) -> String {
        verdict.name().to_owned()
    }
}

/// What the log says of one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided<'a> {
    /// The decision.
    pub decision: &'a Decision,
    /// The pick's score.
    pub score: f32,
}

/// The decisions of a project.
#[derive(Debug, Default)]
pub struct DecisionLog {
    path: PathBuf,
    decisions: Vec<Decision>,
    /// Of each label the latest decision about it and the place in its list.
    by_label: HashMap<ItemId, (u32, u32)>,
    /// Lines that could not be read.
    damaged: usize,
}

impl DecisionLog {
    /// Reads the log of the project in `folder`; an empty one when there is none yet.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut log = Self { path: folder.join(DECISIONS_FILE), ..Self::default() };
        let bytes = match std::fs::read(&log.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(log),
            Err(error) => return Err(error),
        };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(decision) => log.remember(decision),
                Err(_) => log.damaged += 1,
            }
        }
        Ok(log)
    }

    /// Goes on in another folder, into which the log has been copied.
    pub fn move_to(&mut self, folder: &Path) {
        self.path = folder.join(DECISIONS_FILE);
    }

    fn remember(&mut self, decision: Decision) {
        let number = self.decisions.len() as u32;
        for (place, (label, _, _)) in decision.picks.iter().enumerate() {
            self.by_label.insert(ItemId(*label), (number, place as u32));
        }
        self.decisions.push(decision);
    }

    /// Adds a decision and waits until it is on the disk. It is remembered in any case.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, decision: Decision) -> io::Result<()> {
        let text = serde_json::to_string(&decision).map_err(io::Error::other);
        self.remember(decision);
        let text = text?;
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.path)?;
        // After a line that was cut short, on a line of its own.
        let gap = if ends_line(&mut file)? { "" } else { "\n" };
        file.write_all(format!("{gap}{text}\n").as_bytes())?;
        file.sync_data()
    }

    /// What the log says of a label.
    pub fn of(&self, label: ItemId) -> Option<Decided<'_>> {
        let (number, place) = *self.by_label.get(&label)?;
        let decision = self.decisions.get(number as usize)?;
        let (_, _, score) = *decision.picks.get(place as usize)?;
        Some(Decided { decision, score })
    }

    /// All decisions, the oldest first.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Lines that could not be read.
    pub fn damaged(&self) -> usize {
        self.damaged
    }
}

fn ends_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
