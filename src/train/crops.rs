//! Batches of crops, drawn ahead on a thread of their own while the network is busy with the former one.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::change_intensity;
use super::cotrain::drop_blocks;
use super::data::TrainingData;
use super::priority::give_way;
use super::protocol::{Detector, TrainConfig};
use crate::volume::VolumeError;

/// What one step learns from, as plain numbers.
pub(super) struct Batch {
    /// Labelled crops `[n, z, y, x]`.
    pub voxels: Vec<f32>,
    /// Their targets and weights `[n, channel, z, y, x]`, as the detector renders them.
    pub heatmap: Vec<f32>,
    /// See `heatmap`.
    pub weight: Vec<f32>,
    /// Cells `(z, y, x)` of a target.
    pub cells: [usize; 3],
    /// Unlabelled crops, in co-training.
    pub unlabelled: Option<Unlabelled>,
}

/// Unlabelled crops.
pub(super) struct Unlabelled {
    /// What the teacher sees of each: one voxel less than the output stride more than the crop at the start of each axis.
    pub padded: Vec<Vec<f32>>,
    /// What the student sees `[n, z, y, x]`: the same, changed in intensity and partly occluded.
    pub shown: Vec<f32>,
}

impl Batch {
    /// Share of the labelled crops' cells of which something is known, each class weighed as it is in the error: 1 in complete
    /// regions, little round sparse labels.
    pub fn known(&self) -> f64 {
        self.weight.iter().map(|weight| f64::from(*weight)).sum::<f64>() / self.weight.len().max(1) as f64
    }

    /// Draws the batch of a step. Everything random comes from the seed and the number of the step alone.
    fn draw(config: &TrainConfig, stride: usize, data: &TrainingData, step: usize) -> Result<Self, VolumeError> {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        random.set_stream(step as u64 + 1);
        let (count, edge) = (config.batch, config.crop);
        let mut voxels = Vec::with_capacity(count * edge.pow(3));
        let (mut heatmap, mut weight) = (Vec::new(), Vec::new());
        let mut cells = [0; 3];
        // A mask has one weight for all classes, and its losses even them out themselves.
        let shares = match config.detector {
            Detector::Heatmap => data.class_shares(config.balance),
            Detector::Segmentation => Vec::new(),
        };
        for _ in 0..count {
            let sample = data.sample(edge, config.detector, stride, &shares, &mut random)?;
            voxels.extend(sample.voxels);
            heatmap.extend(sample.target.heatmap);
            weight.extend(sample.target.weight);
            cells = sample.target.cells;
        }
        let unlabelled = match config.is_cotraining(step) && data.has_unlabelled() {
            true => Some(Unlabelled::draw(config, stride - 1, data, &mut random)?),
            false => None,
        };
        Ok(Self { voxels, heatmap, weight, cells, unlabelled })
    }
}

impl Unlabelled {
    fn draw(config: &TrainConfig, margin: usize, data: &TrainingData, random: &mut ChaCha8Rng) -> Result<Self, VolumeError> {
        let edge = config.crop;
        let mut padded = Vec::with_capacity(config.batch);
        let mut shown = Vec::with_capacity(config.batch * edge.pow(3));
        for _ in 0..config.batch {
            let crop = data.sample_unlabelled(edge, margin, random)?;
            let mut student = without_margin(&crop, edge, margin);
            change_intensity(&mut student, random);
            drop_blocks(&mut student, edge, config.dropped(), random);
            shown.extend(student);
            padded.push(crop);
        }
        Ok(Self { padded, shown })
    }
}

/// The cube of `edge` voxels behind the first `margin` layers of each axis of a cube of `edge + margin`.
pub(super) fn without_margin(padded: &[f32], edge: usize, margin: usize) -> Vec<f32> {
    let outer = edge + margin;
    let rows = (margin..outer).flat_map(|z| (margin..outer).map(move |y| (z * outer + y) * outer + margin));
    rows.flat_map(|start| padded[start..start + edge].iter().copied()).collect()
}

/// A batch to draw.
struct Wanted {
    step: usize,
    data: Arc<TrainingData>,
}

/// A batch that was drawn, with what it was drawn from.
struct Drawn {
    wanted: Wanted,
    batch: Result<Batch, VolumeError>,
}

/// Draws batches, one step ahead. Dropping it ends the thread after the batch at hand.
pub(super) struct Drawer {
    config: TrainConfig,
    stride: usize,
    sender: Option<Sender<Wanted>>,
    receiver: Receiver<Drawn>,
    /// Batches that are asked for and not received yet: 0 or 1.
    under_way: usize,
    thread: Option<JoinHandle<()>>,
}

impl Drawer {
    /// Starts the thread, for a network of output stride `stride`. Where the system refuses one, batches are drawn when they are needed.
    pub fn start(config: &TrainConfig, stride: usize) -> Self {
        let (sender, wanted) = bounded::<Wanted>(1);
        let (answers, receiver) = bounded(1);
        let settings = config.clone();
        let spawned = std::thread::Builder::new().name("crops".to_owned()).spawn(move || {
            give_way();
            for wanted in wanted {
                let batch = Batch::draw(&settings, stride, &wanted.data, wanted.step);
                // Fails only when the run is over.
                if answers.send(Drawn { wanted, batch }).is_err() {
                    return;
                }
            }
        });
        let thread = match spawned {
            Ok(thread) => Some(thread),
            Err(error) => {
                log::warn!("crops are not drawn ahead: {error}");
                None
            }
        };
        Self { config: config.clone(), stride, sender: thread.is_some().then_some(sender), receiver, under_way: 0, thread }
    }

    /// The batch of `step`; `ahead` says whether that of the next step will be wanted. One that was drawn ahead from other data than
    /// `data`, from labels that have changed since, is thrown away.
    pub fn batch(&mut self, data: &Arc<TrainingData>, step: usize, ahead: bool) -> Result<Batch, VolumeError> {
        let mut ready = None;
        while self.under_way > 0 {
            self.under_way -= 1;
            match self.receiver.recv() {
                Ok(drawn) if drawn.wanted.step == step && Arc::ptr_eq(&drawn.wanted.data, data) => ready = Some(drawn.batch),
                Ok(_) => {}
                // The thread has panicked; drawing here shows why.
                Err(_) => self.sender = None,
            }
        }
        let batch = match ready {
            Some(batch) => batch,
            None => Batch::draw(&self.config, self.stride, data, step),
        };
        if ahead
            && let Some(sender) = &self.sender
            && sender.send(Wanted { step: step + 1, data: data.clone() }).is_ok()
        {
            self.under_way += 1;
        }
        batch
    }
}

impl Drop for Drawer {
    fn drop(&mut self) {
        self.sender = None;
        // Unblocks a thread that waits with an answer.
        let (_, never) = bounded(0);
        self.receiver = never;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that draws crops panicked");
        }
    }
}
