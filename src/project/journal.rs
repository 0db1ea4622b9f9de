//! The journal: one line a change, on the disk before the next change is made.
//!
//! A line is `{"sequence":N,"crc32":"xxxxxxxx","change":{…}}`; the checksum covers the sequence number and the text of the
//! change. A line that a crash or a full disk has cut short fails its checksum and is left out when the journal is read. A
//! write that fails in a running program is taken back to the end of the last whole line before anything else is written, so
//! what was cut short never stands in front of a whole line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// Where the lines go: a file, or in tests something that fails.
pub(super) trait Store: Send {
    /// Writes `bytes` at `offset` and waits until they are on the disk.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the store to `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Store for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)?;
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The end of a journal, where lines are added.
pub(super) struct Journal {
    store: Box<dyn Store>,
    /// Where the last whole line ends.
    whole: u64,
    /// Whether something may stand beyond `whole`.
    torn: bool,
    /// Lines that are not on the disk.
    queue: VecDeque<String>,
    /// Lines on the disk since the journal was last emptied.
    lines: usize,
}

impl Journal {
    /// Goes on behind the first `whole` bytes, in which there are `lines` lines; what stands beyond them is cut off with the
    /// first write.
    pub fn new(store: Box<dyn Store>, whole: u64, lines: usize) -> Self {
        Self { store, whole, torn: true, queue: VecDeque::new(), lines }
    }

    /// Adds a change, after those that could not be written before.
    ///
    /// # Errors
    /// When writing fails; the change is then kept in the queue.
    pub fn append(&mut self, sequence: u64, change: &str) -> io::Result<()> {
        self.queue.push_back(line(sequence, change));
        self.flush()
    }

    /// Writes what is in the queue.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.store.truncate(self.whole)?;
            self.torn = false;
        }
        let bytes = self.queue.iter().fold(String::new(), |text, line| text + line).into_bytes();
        if let Err(error) = self.store.write_at(self.whole, &bytes) {
            // Cut off at once if possible, else before the next write. Reading survives it either way.
            self.torn = self.store.truncate(self.whole).is_err();
            return Err(error);
        }
        self.whole += bytes.len() as u64;
        self.lines += self.queue.len();
        self.queue.clear();
        Ok(())
    }

    /// Forgets everything, because a snapshot holds it.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.lines = 0;
        self.whole = 0;
        // Lines that stay behind for now are older than the snapshot and skipped when the journal is read.
        self.torn = self.store.truncate(0).is_err();
    }

    /// Changes that are not on the disk.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Lines on the disk since the journal was last emptied.
    pub fn lines(&self) -> usize {
        self.lines
    }
}

const HEAD: &str = "{\"sequence\":";
const CHECKSUM: &str = ",\"crc32\":\"";
const CHANGE: &str = "\",\"change\":";

fn line(sequence: u64, change: &str) -> String {
    format!("{HEAD}{sequence}{CHECKSUM}{:08x}{CHANGE}{change}}}\n", checksum(sequence, change))
}

fn checksum(sequence: u64, change: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(change.as_bytes());
    hasher.finalize()
}

/// A journal as it was found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents<'a> {
    /// Sequence number and change of each whole line.
    pub records: Vec<(u64, &'a str)>,
    /// Where the last whole line ends.
    pub whole: u64,
    /// Whether something cut short stands at the end.
    pub torn: bool,
    /// Damaged lines in front of a whole one.
    pub damaged: usize,
}

/// Reads what can be read.
pub(super) fn read(bytes: &[u8]) -> Contents<'_> {
    let mut contents = Contents::default();
    let mut bad = 0;
    let mut offset = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        offset += line.len();
        match parse(line) {
            Some(record) => {
                contents.records.push(record);
                contents.damaged += bad;
                contents.whole = offset as u64;
                bad = 0;
            }
            None => bad += 1,
        }
    }
    contents.torn = bad > 0;
    contents
}

/// The record of a line with its line end.
fn parse(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("}\n")?.strip_prefix(HEAD)?;
    let (sequence, rest) = line.split_once(CHECKSUM)?;
    let (crc, change) = rest.split_once(CHANGE)?;
    let sequence = sequence.parse().ok()?;
    (u32::from_str_radix(crc, 16).ok()? == checksum(sequence, change)).then_some((sequence, change))
}
