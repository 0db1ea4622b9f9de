//! A thread for what takes long but is not training: opening tomograms and measuring their contrast.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::labels::TomogramId;
use crate::volume::{self, ContrastLimits, VolumeError, VolumeSource};

/// Jobs and answers that may wait in a channel.
const WAITING: usize = 4;

/// A tomogram to open.
#[derive(Clone, Debug)]
struct Job {
    tomogram: Option<TomogramId>,
    path: PathBuf,
}

/// What came of it.
pub struct Opened {
    /// The tomogram; `None` for a file that the project does not have yet.
    pub tomogram: Option<TomogramId>,
    /// Its file.
    pub path: PathBuf,
    /// Its voxels and contrast, or why it cannot be read.
    pub result: Result<(Arc<dyn VolumeSource>, ContrastLimits), VolumeError>,
}

/// The thread's handle. Dropping it ends the thread after the job at hand.
pub struct Jobs {
    sender: Option<Sender<Job>>,
    receiver: Receiver<Opened>,
    /// Jobs that did not fit into the channel yet.
    pending: VecDeque<Job>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    /// Starts the thread; `wake` is called from it after each job.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (sender, jobs) = bounded::<Job>(WAITING);
        let (answers, receiver) = bounded(WAITING);
        let thread = std::thread::Builder::new().name("open tomograms".to_owned()).spawn(move || {
            for Job { tomogram, path } in jobs {
                let result = volume::open(&path).and_then(|source| {
                    let limits = ContrastLimits::of(source.as_ref())?;
                    Ok((source, limits))
                });
                // Fails only when the window is gone.
                if answers.send(Opened { tomogram, path, result }).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { sender: Some(sender), receiver, pending: VecDeque::new(), thread: Some(thread) })
    }

    /// Opens a tomogram of the project, or `None` for a file that is new to it; never waits.
    pub fn open(&mut self, tomogram: Option<TomogramId>, path: PathBuf) {
        self.pending.push_back(Job { tomogram, path });
        self.send_pending();
    }

    /// Forgets what waits; what is under way still comes.
    pub fn forget(&mut self) {
        self.pending.clear();
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
    pub fn poll(&mut self) -> Option<Opened> {
        let answer = self.receiver.try_recv().ok();
        self.send_pending();
        answer
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.sender = None;
        // Unblocks a thread that waits with an answer.
        let (_, never) = bounded(0);
        self.receiver = never;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that opens tomograms panicked");
        }
    }
}
