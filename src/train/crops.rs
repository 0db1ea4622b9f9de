//! Batches of crops, drawn ahead on threads of their own while the network is busy with the former ones.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::change_intensity;
use super::config::{Detector, TrainConfig};
use super::cotrain::drop_blocks;
use super::data::TrainingData;
use super::priority::give_way;
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
    /// What the teacher sees `[n, z, y, x]`: one voxel less than the output stride more than the crop at the start of each axis.
    pub padded: Vec<f32>,
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
        let mut padded = Vec::with_capacity(config.batch * (edge + margin).pow(3));
        let mut shown = Vec::with_capacity(config.batch * edge.pow(3));
        for _ in 0..config.batch {
            let crop = data.sample_unlabelled(edge, margin, random)?;
            let mut student = without_margin(&crop, edge, margin);
            change_intensity(&mut student, random);
            drop_blocks(&mut student, edge, config.dropped(), random);
            shown.extend(student);
            padded.extend(crop);
        }
        Ok(Self { padded, shown })
    }
}

/// The cube of `edge` voxels behind the first `margin` layers of each axis of a cube of `edge + margin`.
fn without_margin(padded: &[f32], edge: usize, margin: usize) -> Vec<f32> {
    let outer = edge + margin;
    let rows = (margin..outer).flat_map(|z| (margin..outer).map(move |y| (z * outer + y) * outer + margin));
    rows.flat_map(|start| padded[start..start + edge].iter().copied()).collect()
}

/// A batch to draw.
#[derive(Clone)]
struct Wanted {
    step: usize,
    data: Arc<TrainingData>,
}

impl Wanted {
    fn is(&self, step: usize, data: &Arc<TrainingData>) -> bool {
        self.step == step && Arc::ptr_eq(&self.data, data)
    }
}

/// A batch that was drawn, with what it was drawn from; `None` where drawing it panicked.
struct Drawn {
    wanted: Wanted,
    batch: Option<Result<Batch, VolumeError>>,
}

/// Draws batches some steps ahead, each on one of several threads: a batch depends on the seed, its step and the data alone. Dropping it
/// ends the threads after the batches at hand.
pub(super) struct Drawer {
    config: TrainConfig,
    stride: usize,
    sender: Option<Sender<Wanted>>,
    receiver: Receiver<Drawn>,
    /// Batches that are asked for and not received yet, at most as many as there are threads.
    under_way: Vec<Wanted>,
    /// Batches that came before they were needed.
    ready: Vec<Drawn>,
    threads: Vec<JoinHandle<()>>,
}

impl Drawer {
    /// Starts up to `ahead` threads, for a network of output stride `stride`. Where the system refuses them, batches are drawn when
    /// they are needed.
    pub fn start(config: &TrainConfig, stride: usize, ahead: usize) -> Self {
        let (sender, wanted) = bounded::<Wanted>(ahead);
        let (answers, receiver) = bounded(ahead);
        let start = |_| {
            let (settings, wanted, answers) = (config.clone(), wanted.clone(), answers.clone());
            std::thread::Builder::new().name("crops".to_owned()).spawn(move || {
                give_way();
                for wanted in wanted {
                    let draw = || Batch::draw(&settings, stride, &wanted.data, wanted.step);
                    let batch = std::panic::catch_unwind(std::panic::AssertUnwindSafe(draw)).ok();
                    // Fails only when the run is over.
                    if answers.send(Drawn { wanted, batch }).is_err() {
                        return;
                    }
                }
            })
        };
        let threads: Vec<_> = (0..ahead)
            .map_while(|index| start(index).inspect_err(|error| log::warn!("crops are not drawn ahead: {error}")).ok())
            .collect();
        let sender = (!threads.is_empty()).then_some(sender);
        Self { config: config.clone(), stride, sender, receiver, under_way: Vec::new(), ready: Vec::new(), threads }
    }

    /// The batch of `step`, of a run that ends before step `end`. One that was drawn ahead from other data than `data`, from labels that
    /// have changed since, is thrown away.
    pub fn batch(&mut self, data: &Arc<TrainingData>, step: usize, end: usize) -> Result<Batch, VolumeError> {
        while let Ok(drawn) = self.receiver.try_recv() {
            self.receive(drawn);
        }
        while self.under_way.iter().any(|wanted| wanted.is(step, data)) {
            match self.receiver.recv() {
                Ok(drawn) => self.receive(drawn),
                // No thread is left.
                Err(_) => self.under_way.clear(),
            }
        }
        self.ready.retain(|drawn| drawn.wanted.step >= step && Arc::ptr_eq(&drawn.wanted.data, data));
        let ready = self.ready.iter().position(|drawn| drawn.wanted.step == step).map(|at| self.ready.swap_remove(at));
        self.ask(data, step + 1, end);
        match ready.and_then(|drawn| drawn.batch) {
            Some(batch) => batch,
            // Where drawing it panicked, doing so here shows why.
            None => Batch::draw(&self.config, self.stride, data, step),
        }
    }

    fn receive(&mut self, drawn: Drawn) {
        self.under_way.retain(|wanted| !wanted.is(drawn.wanted.step, &drawn.wanted.data));
        self.ready.push(drawn);
    }

    /// Asks for the batches of the steps from `first` on, as many as there are threads for.
    fn ask(&mut self, data: &Arc<TrainingData>, first: usize, end: usize) {
        let Some(sender) = &self.sender else { return };
        for step in first..end.min(first + self.threads.len()) {
            let mut known = self.under_way.iter().chain(self.ready.iter().map(|drawn| &drawn.wanted));
            if self.under_way.len() >= self.threads.len() || known.any(|wanted| wanted.is(step, data)) {
                continue;
            }
            let wanted = Wanted { step, data: data.clone() };
            if sender.send(wanted.clone()).is_ok() {
                self.under_way.push(wanted);
            }
        }
    }
}

impl Drop for Drawer {
    fn drop(&mut self) {
        self.sender = None;
        // Unblocks threads that wait with an answer.
        let (_, never) = bounded(0);
        self.receiver = never;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread that draws crops panicked");
            }
        }
    }
}
