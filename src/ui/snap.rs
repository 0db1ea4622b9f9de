//! A thread that finds the middle of the density near a click, so that no frame waits for the disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::app::App;
use super::state::{UiState, VolumeState};
use crate::labels::{Edit, Point, PointKind, TomogramId};
use crate::volume::{Density, VolumeError, VolumeSource, local_centre};

/// Clicks and answers that may wait.
const WAITING: usize = 16;

/// A click whose point has not found its place yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Click {
    /// Where.
    pub tomogram: TomogramId,
    /// Continuous voxel index `(z, y, x)`.
    pub position: [f64; 3],
    /// What the point will say.
    pub kind: PointKind,
}

struct Job {
    click: Click,
    source: Arc<dyn VolumeSource>,
    radius_voxels: f64,
    density: Density,
}

/// Where a click belongs.
pub struct Snapped {
    /// The click.
    pub click: Click,
    /// Its place, a voxel index `(z, y, x)`, or why the voxels could not be read.
    pub result: Result<[f64; 3], VolumeError>,
}

/// The thread's handle. Dropping it ends the thread after the click at hand.
pub struct SnapJobs {
    sender: Option<Sender<Job>>,
    receiver: Receiver<Snapped>,
    thread: Option<JoinHandle<()>>,
}

impl SnapJobs {
    /// Starts the thread; `wake` is called from it after each click.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (sender, jobs) = bounded::<Job>(WAITING);
        let (answers, receiver) = bounded(WAITING);
        let thread = std::thread::Builder::new().name("snap to density".to_owned()).spawn(move || {
            for Job { click, source, radius_voxels, density } in jobs {
                let result = local_centre(source.as_ref(), click.position, radius_voxels, density);
                // Fails only when the window is gone.
                if answers.send(Snapped { click, result }).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { sender: Some(sender), receiver, thread: Some(thread) })
    }

    /// Hands a click over; `false` when too many wait already.
    fn request(&self, job: Job) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.try_send(job).is_ok())
    }

    fn poll(&self) -> Option<Snapped> {
        self.receiver.try_recv().ok()
    }
}

impl Drop for SnapJobs {
    fn drop(&mut self) {
        self.sender = None;
        // Unblocks a thread that waits with an answer.
        let (_, never) = bounded(0);
        self.receiver = never;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that snaps to density panicked");
        }
    }
}

impl App {
    /// Finds the place of a click; where that cannot be asked for, the point stays where the click was.
    pub(super) fn snap(&mut self, click: Click) {
        let state = &mut self.state;
        let radius = match click.kind {
            PointKind::Particle(id) => state.document.annotations().class(id).map(|class| class.radius_angstrom),
            PointKind::Negative => None,
        };
        let source = match state.volumes.get(&click.tomogram) {
            Some(VolumeState::Open(volume)) => Some(volume.source.clone()),
            _ => None,
        };
        if let (Some(density), Some(radius), Some(source)) = (state.snap.density(), radius, source) {
            let radius_voxels = state.radius_voxels(click.tomogram, radius);
            if self.snaps.request(Job { click, source, radius_voxels, density }) {
                state.snapping.push(click);
                return;
            }
        }
        state.place_point(click, click.position);
    }

    /// Takes in the places that have been found.
    pub(super) fn collect_snapped(&mut self) {
        while let Some(Snapped { click, result }) = self.snaps.poll() {
            let Some(index) = self.state.snapping.iter().position(|other| *other == click) else {
                // Of a project that is not open any more.
                continue;
            };
            self.state.snapping.remove(index);
            match result {
                Ok(place) => self.state.place_point(click, place),
                Err(error) => {
                    self.state.fail("The density near the click cannot be read: the point stays where the click was", &error);
                    self.state.place_point(click, click.position);
                }
            }
        }
    }
}

impl UiState {
    /// Adds the point of a click at `place`, a voxel index `(z, y, x)`, unless a label of its kind is there already. The crosshair
    /// goes along if it is still where the click was.
    pub fn place_point(&mut self, click: Click, place: [f64; 3]) {
        let Click { tomogram, position, kind } = click;
        if self.has_label_at(tomogram, place, kind) {
            self.toasts.add("A label is already here");
            return;
        }
        let id = self.document.new_id();
        if !self.perform(Edit::AddPoint { tomogram, point: Point { id, position: place, kind } }) {
            return;
        }
        let stayed = (0..3).all(|axis| (position[axis] - self.crosshair[axis] as f64).abs() <= 0.5 + 1e-6);
        if self.current == Some(tomogram) && stayed && place != position {
            self.move_crosshair(place);
        }
    }
}
