//! A thread for files of coordinates, so that a slow disk never holds up the window: exports, and reading what is imported.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::import::{self, ReadFile};
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram, Format, export};
use crate::labels::{Class, TomogramId};

/// Jobs and answers that may wait in a channel.
const WAITING: usize = 4;

/// Positions to write.
#[derive(Clone, Debug)]
pub struct ExportJob {
    /// The files' format.
    pub format: Format,
    /// The folder.
    pub folder: PathBuf,
    /// The classes of the points.
    pub classes: Vec<Class>,
    /// The tomograms with their points.
    pub tomograms: Vec<ExportTomogram>,
    /// Answers to what the format asks.
    pub options: ExportOptions,
}

enum Job {
    Export(Box<ExportJob>),
    Read { path: PathBuf, otherwise: Option<TomogramId>, project: u64 },
}

/// What came of a job.
pub enum Done {
    /// An export.
    Exported {
        /// Number of positions.
        positions: usize,
        /// The folder.
        folder: PathBuf,
        /// The files, or why there are none.
        result: Result<Vec<PathBuf>, CoordinateError>,
    },
    /// A file to import.
    Read {
        /// The file.
        path: PathBuf,
        /// The tomogram of positions that name none.
        otherwise: Option<TomogramId>,
        /// Its positions, or why it cannot be read.
        result: Result<ReadFile, CoordinateError>,
    },
}

/// The thread's handle. Dropping it ends the thread after the job at hand, so that an export is never cut off.
pub struct FileJobs {
    sender: Option<Sender<Job>>,
    receiver: Receiver<(Done, u64)>,
    /// Jobs that did not fit into the channel yet.
    pending: VecDeque<Job>,
    /// Counts the projects that were open; files read for an earlier one are not imported into the next.
    project: u64,
    thread: Option<JoinHandle<()>>,
}

impl FileJobs {
    /// Starts the thread; `wake` is called from it after each job.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (sender, jobs) = bounded::<Job>(WAITING);
        let (answers, receiver) = bounded(WAITING);
        let thread = std::thread::Builder::new().name("coordinate files".to_owned()).spawn(move || {
            for job in jobs {
                // Fails only when the window is gone; exports that wait are still written.
                if answers.send(carry_out(job)).is_ok() {
                    wake();
                }
            }
        })?;
        Ok(Self { sender: Some(sender), receiver, pending: VecDeque::new(), project: 0, thread: Some(thread) })
    }

    /// Writes positions; never waits.
    pub fn export(&mut self, job: ExportJob) {
        self.add(Job::Export(Box::new(job)));
    }

    /// Reads a file to import; positions that name no tomogram belong to `otherwise`. Never waits.
    pub fn read(&mut self, path: PathBuf, otherwise: Option<TomogramId>) {
        let project = self.project;
        self.add(Job::Read { path, otherwise, project });
    }

    /// Forgets files that are being read: another project is open now.
    pub fn forget_reading(&mut self) {
        self.project += 1;
        self.pending.retain(|job| matches!(job, Job::Export(_)));
    }

    fn add(&mut self, job: Job) {
        self.pending.push_back(job);
        self.send_pending();
    }

    fn send_pending(&mut self) {
        let Some(sender) = &self.sender else {
            return;
        };
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
            if project == self.project || matches!(done, Done::Exported { .. }) {
                return Some(done);
            }
        }
        self.send_pending();
        None
    }
}

fn carry_out(job: Job) -> (Done, u64) {
    match job {
        Job::Export(job) => {
            let ExportJob { format, folder, classes, tomograms, options } = *job;
            let positions = tomograms.iter().map(|tomogram| tomogram.points.len()).sum();
            let result = export(format, &folder, &classes, &tomograms, &options);
            (Done::Exported { positions, folder, result }, 0)
        }
        Job::Read { path, otherwise, project } => {
            let result = import::read(&path);
            (Done::Read { path, otherwise, result }, project)
        }
    }
}

impl Drop for FileJobs {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            // An export that waits has been asked for; reading has not been imported and need not be.
            for job in self.pending.drain(..).filter(|job| matches!(job, Job::Export(_))) {
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
            log::error!("the thread for coordinate files panicked");
        }
    }
}
