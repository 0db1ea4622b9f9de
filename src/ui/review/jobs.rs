//! A thread for sets of picks, so that a slow disk never holds up the window.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::coordinates::{CoordinateError, Positions, ReadOptions, read_positions};
use crate::review::{KeptError, KeptPicks, fingerprint, list_kept, next_id, read_kept, remove_kept, write_kept};
use crate::ui::training::file_name;

/// Jobs and answers that may wait in a channel.
const WAITING: usize = 4;

/// What the thread is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ui) enum Job {
    /// Measure a model's file, so that picks made with it can say which one it was.
    Fingerprint(PathBuf),
    /// Write a set: into the file of an earlier one of the same model, or into a new one.
    Keep { folder: PathBuf, kept: Box<KeptPicks> },
    /// Read a set.
    Read { folder: PathBuf, id: u32, show: bool },
    /// Remove a set.
    Remove { folder: PathBuf, id: u32 },
    /// Read positions to compare with.
    Positions(PathBuf),
}

/// What came of it.
pub enum Done {
    /// A set has been written.
    Kept(Result<Box<KeptPicks>, KeptError>),
    /// A set has been read.
    Read {
        /// The set.
        result: Result<Box<KeptPicks>, KeptError>,
        /// Whether its picks are to be those on the screen.
        show: bool,
    },
    /// A set has been removed.
    Removed {
        /// Its number.
        id: u32,
        /// Whether it worked.
        result: Result<(), KeptError>,
    },
    /// Positions to compare with.
    Positions {
        /// The file.
        path: PathBuf,
        /// Its positions.
        result: Result<Positions, CoordinateError>,
    },
}

/// The thread's handle. Dropping it ends the thread after the jobs at hand, so that picks are kept.
pub struct ReviewJobs {
    sender: Option<Sender<(Job, u64)>>,
    receiver: Receiver<(Done, u64)>,
    pending: VecDeque<(Job, u64)>,
    /// Counts the projects that were open: what was asked for an earlier one is done but not shown in the next.
    project: u64,
    thread: Option<JoinHandle<()>>,
}

impl ReviewJobs {
    /// Starts the thread; `wake` is called from it after each job.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (sender, jobs) = bounded::<(Job, u64)>(WAITING);
        let (answers, receiver) = bounded(WAITING);
        let thread = std::thread::Builder::new().name("pick sets".to_owned()).spawn(move || {
            let mut prints = HashMap::new();
            for (job, project) in jobs {
                // Sending fails only when the window is gone; sets that wait are still written.
                if let Some(done) = carry_out(job, &mut prints)
                    && answers.send((done, project)).is_ok()
                {
                    wake();
                }
            }
        })?;
        Ok(Self { sender: Some(sender), receiver, pending: VecDeque::new(), project: 0, thread: Some(thread) })
    }

    /// Asks for something; never waits.
    pub(in crate::ui) fn add(&mut self, job: Job) {
        self.pending.push_back((job, self.project));
        self.send_pending();
    }

    /// Another project is open now.
    pub fn forget(&mut self) {
        self.project += 1;
        self.pending.retain(|(job, _)| matches!(job, Job::Keep { .. }));
    }

    fn send_pending(&mut self) {
        let Some(sender) = &self.sender else { return };
        while let Some(job) = self.pending.pop_front() {
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = sender.try_send(job) {
                self.pending.push_front(job);
                return;
            }
        }
    }

    /// The next answer that has come.
    pub fn poll(&mut self) -> Option<Done> {
        while let Ok((done, project)) = self.receiver.try_recv() {
            self.send_pending();
            if project == self.project {
                return Some(done);
            }
        }
        self.send_pending();
        None
    }
}

fn carry_out(job: Job, prints: &mut HashMap<PathBuf, String>) -> Option<Done> {
    match job {
        Job::Fingerprint(path) => {
            match fingerprint(&path) {
                Ok(print) => drop(prints.insert(path, print)),
                Err(error) => log::warn!("cannot measure the model file: {error}: {}", path.display()),
            }
            None
        }
        Job::Keep { folder, mut kept } => {
            let model = &mut kept.record.model;
            if let Some(path) = &model.path {
                model.fingerprint = prints.get(path).cloned();
            }
            Some(Done::Kept(keep(&folder, kept)))
        }
        Job::Read { folder, id, show } => Some(Done::Read { result: read_kept(&folder, id).map(Box::new), show }),
        Job::Remove { folder, id } => Some(Done::Removed { id, result: remove_kept(&folder, id) }),
        Job::Positions(path) => {
            let options = ReadOptions { format: None, class: Some(file_stem(&path)) };
            let result = read_positions(&path, &options);
            Some(Done::Positions { path, result })
        }
    }
}

/// The class of positions that have none: the file's name without its ending.
fn file_stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| file_name(path), |stem| stem.to_string_lossy().into_owned())
}

/// Writes a set, together with what the project has of the same model already.
fn keep(folder: &Path, mut kept: Box<KeptPicks>) -> Result<Box<KeptPicks>, KeptError> {
    let (records, _) = list_kept(folder);
    let classes = &kept.record.classes;
    let same = records.iter().find(|record| record.model.is_same(&kept.record.model) && record.classes == *classes);
    kept.record.id = same.map_or_else(|| next_id(folder), |record| record.id);
    if let Some(record) = same {
        match read_kept(folder, record.id) {
            Ok(mut before) => {
                let KeptPicks { record, sets } = *kept;
                before.record = crate::review::PickRecord { tomograms: before.record.tomograms, ..record.clone() };
                for (tomogram, set) in record.tomograms.into_iter().zip(sets) {
                    before.put(tomogram, set);
                }
                kept = Box::new(before);
            }
            // What cannot be read is not written over.
            Err(error) => {
                log::warn!("{error}");
                kept.record.id = next_id(folder);
            }
        }
    }
    write_kept(folder, &mut kept)?;
    Ok(kept)
}

impl Drop for ReviewJobs {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            for job in self.pending.drain(..).filter(|(job, _)| matches!(job, Job::Keep { .. })) {
                // Answers are taken so that the thread can take this job; fails only when the thread has panicked.
                while self.receiver.try_recv().is_ok() {}
                if sender.send(job).is_err() {
                    break;
                }
            }
        }
        // Unblocks a thread that waits with an answer.
        let (_, never) = bounded(0);
        self.receiver = never;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread for sets of picks panicked");
        }
    }
}
