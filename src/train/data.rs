//! What a run learns from: tomograms at one spacing, their labels in the same voxels, and crops drawn from them.

use std::collections::HashMap;
use std::sync::Arc;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::augment::{Orientation, change_intensity};
use super::config::Detector;
use super::held_out::{self, Share};
use super::protocol::{TrainingSet, TrainingTomogram};
use crate::labels::{Class, PointKind, TomogramId};
use crate::model::{Marker, Supervision, Target};
use crate::volume::{NormalisedVolume, ResampledVolume, VolumeError};

/// Draws of an unlabelled crop before one that is taught is taken after all: the unlabelled part may be smaller than a crop.
const TRIES: usize = 20;
/// Two spacings closer than this share count as the same.
const SAME_SPACING: f64 = 0.01;

/// Why a set cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There are no classes.
    #[error("there is no class to learn; add one in the Classes panel or in CLASSES.toml")]
    NoClasses,
    /// There is no particle.
    #[error("there is no labelled particle to learn from; click at least a few particles first")]
    NoLabels,
    /// A tomogram's spacing is unknown.
    #[error("the voxel spacing of {0} is unknown; give it in angstrom first")]
    NoSpacing(String),
    /// A tomogram cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// A tomogram at the model's spacing.
#[derive(Clone)]
pub struct PreparedTomogram {
    /// Its identity.
    pub id: TomogramId,
    /// Its name.
    pub name: String,
    /// Its voxels at the model's spacing.
    pub volume: NormalisedVolume,
    /// Voxels at the model's spacing per voxel of the file, along each axis.
    pub scale: f64,
    /// Voxels `(z, y, x)` of the file.
    pub file_shape: [usize; 3],
}

impl PreparedTomogram {
    /// Prepares a tomogram for a model of `spacing_angstrom`: resampled where its own spacing differs by more than one percent.
    ///
    /// # Errors
    /// When the spacing is unknown or the file cannot be read.
    pub fn new(tomogram: &TrainingTomogram, spacing_angstrom: f64) -> Result<Self, DataError> {
        let own = tomogram.spacing_angstrom;
        if !(own.is_finite() && own > 0.0) {
            return Err(DataError::NoSpacing(tomogram.name.clone()));
        }
        let file_shape = tomogram.source.info().shape;
        let (source, scale) = if same_spacing(own, spacing_angstrom) {
            (tomogram.source.clone(), 1.0)
        } else {
            let resampled = ResampledVolume::new(tomogram.source.clone(), own, spacing_angstrom)?;
            (Arc::new(resampled) as _, own / spacing_angstrom)
        };
        let volume = NormalisedVolume::new(source)?;
        Ok(Self { id: tomogram.id, name: tomogram.name.clone(), volume, scale, file_shape })
    }

    /// Whether the voxels are interpolated.
    pub fn is_resampled(&self) -> bool {
        self.scale != 1.0
    }

    /// The same tomogram under another handle's labels: everything that is expensive to prepare is shared.
    fn is_for(&self, tomogram: &TrainingTomogram, spacing_angstrom: f64) -> bool {
        let scale = match same_spacing(tomogram.spacing_angstrom, spacing_angstrom) {
            true => 1.0,
            false => tomogram.spacing_angstrom / spacing_angstrom,
        };
        self.id == tomogram.id && self.scale == scale && self.file_shape == tomogram.source.info().shape
    }
}

fn same_spacing(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() <= SAME_SPACING
}

/// A labelled tomogram, in voxels at the model's spacing.
#[derive(Clone)]
struct Labelled {
    tomogram: PreparedTomogram,
    /// What is taught.
    taught: Share,
    /// What is kept for choosing thresholds.
    held_out: Share,
}

/// Everything that crops are drawn from.
#[derive(Clone)]
pub struct TrainingData {
    classes: Vec<Class>,
    spacing_angstrom: f64,
    radii_voxels: Vec<f64>,
    labelled: Vec<Labelled>,
    /// Tomograms without labels.
    unlabelled: Vec<PreparedTomogram>,
    /// Labelled positions per kind (each class, then negatives) that has any: tomogram index and position.
    anchors: Vec<Vec<(usize, [f64; 3])>>,
    /// Complete boxes: tomogram index, box index, voxels.
    boxes: Vec<(usize, usize, f64)>,
}

/// A crop with its target.
pub(super) struct Sample {
    pub voxels: Vec<f32>,
    pub target: Target,
}

impl TrainingData {
    /// Prepares a set. The model's spacing is that of the first labelled tomogram, or `spacing_angstrom` when given; tomograms that
    /// `known` already holds are not measured again.
    ///
    /// # Errors
    /// When there is no class, no labelled particle, no spacing, or a file cannot be read.
    pub fn new(set: &TrainingSet, spacing_angstrom: Option<f64>, known: Option<&TrainingData>) -> Result<Self, DataError> {
        if set.classes.is_empty() {
            return Err(DataError::NoClasses);
        }
        let sources: Vec<&TrainingTomogram> = set.tomograms.iter().filter(|t| !t.labels.is_empty()).collect();
        let spacing_angstrom = match (spacing_angstrom, sources.first()) {
            (Some(spacing), _) => spacing,
            (None, Some(first)) => first.spacing_angstrom,
            (None, None) => return Err(DataError::NoLabels),
        };
        if !(spacing_angstrom.is_finite() && spacing_angstrom > 0.0) {
            let name = sources.first().map_or_else(String::new, |tomogram| tomogram.name.clone());
            return Err(DataError::NoSpacing(name));
        }
        let channel: HashMap<_, usize> = set.classes.iter().enumerate().map(|(i, class)| (class.id, i)).collect();
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            let prepared = known
                .and_then(|data| data.labelled.iter().find(|l| l.tomogram.is_for(source, spacing_angstrom)))
                .map(|l| Ok(l.tomogram.clone()))
                .unwrap_or_else(|| PreparedTomogram::new(source, spacing_angstrom))?;
            let scale = prepared.scale;
            let markers: Vec<_> = source
                .labels
                .points
                .values()
                .filter_map(|point| {
                    let marker = match point.kind {
                        PointKind::Particle(class) => Marker::Particle(*channel.get(&class)?),
                        PointKind::Negative => Marker::Negative,
                    };
                    Some((point.id, point.position.map(|p| p * scale), marker))
                })
                .collect();
            let complete: Vec<_> = source
                .labels
                .regions
                .values()
                .filter(|region| !region.voxels.is_empty())
                .map(|region| {
                    (region.voxels.start.map(|v| v as f64 * scale), region.voxels.end.map(|v| (v as f64 - 1.0) * scale))
                })
                .collect();
            parts.push((prepared, markers, complete));
        }
        let holds_out = held_out::is_enough(parts.iter().flat_map(|(_, markers, _)| markers), set.classes.len());
        let labelled = parts
            .into_iter()
            .map(|(tomogram, markers, complete)| {
                let (taught, held_out) = held_out::split(&markers, complete, holds_out);
                Labelled { tomogram, taught, held_out }
            })
            .collect();
        // Unlabelled tomograms of unknown spacing are no reason to refuse: they are left out.
        let unlabelled = set
            .tomograms
            .iter()
            .filter(|tomogram| tomogram.labels.is_empty() && tomogram.spacing_angstrom > 0.0)
            .map(|source| {
                known
                    .and_then(|data| data.unlabelled.iter().find(|prepared| prepared.is_for(source, spacing_angstrom)))
                    .map(|prepared| Ok(prepared.clone()))
                    .unwrap_or_else(|| PreparedTomogram::new(source, spacing_angstrom))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let radii_voxels = set.classes.iter().map(|class| class.radius_angstrom / spacing_angstrom).collect();
        let mut data = Self {
            classes: set.classes.clone(),
            spacing_angstrom,
            radii_voxels,
            labelled,
            unlabelled,
            anchors: Vec::new(),
            boxes: Vec::new(),
        };
        data.index();
        if data.labels_per_class().iter().all(|count| *count == 0) {
            return Err(DataError::NoLabels);
        }
        Ok(data)
    }

    fn index(&mut self) {
        let mut anchors = vec![Vec::new(); self.classes.len() + 1];
        for (i, labelled) in self.labelled.iter().enumerate() {
            for (position, marker) in &labelled.taught.markers {
                let kind = match marker {
                    Marker::Particle(class) => *class,
                    Marker::Negative => self.classes.len(),
                    Marker::HeldOut(_) => continue,
                };
                anchors[kind].push((i, *position));
            }
            for (j, (first, last)) in labelled.taught.complete.iter().enumerate() {
                let voxels = (0..3).map(|axis| last[axis] - first[axis] + 1.0).product();
                self.boxes.push((i, j, voxels));
            }
        }
        anchors.retain(|kind: &Vec<_>| !kind.is_empty());
        self.anchors = anchors;
    }

    /// The classes, in the order of the network's channels.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Spacing of the model's voxels in angstrom.
    pub fn spacing_angstrom(&self) -> f64 {
        self.spacing_angstrom
    }

    /// Radius of each class in the model's voxels.
    pub fn radii_voxels(&self) -> &[f64] {
        &self.radii_voxels
    }

    /// What a cell of each class weighs in the error, 1 on average: the volume of the class's Gaussian to the power of `-balance`.
    pub(super) fn class_shares(&self, balance: f64) -> Vec<f32> {
        let shares: Vec<f64> = self.radii_voxels.iter().map(|radius| radius.powf(-3.0 * balance)).collect();
        let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        shares.iter().map(|share| (share / mean) as f32).collect()
    }

    /// Labelled particles of each class.
    pub fn labels_per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for (_, marker) in self.labelled.iter().flat_map(|labelled| &labelled.taught.markers) {
            if let Marker::Particle(class) | Marker::HeldOut(class) = marker {
                counts[*class] += 1;
            }
        }
        counts
    }

    /// Labelled particles of each class that are kept for choosing thresholds.
    pub fn held_out_per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for (_, marker) in self.labelled.iter().flat_map(|labelled| &labelled.held_out.markers) {
            if let Marker::Particle(class) = marker {
                counts[*class] += 1;
            }
        }
        counts
    }

    /// Whether everything is labelled in some region, so that picks there that are none can be told.
    pub fn has_complete_region(&self) -> bool {
        self.labelled.iter().any(|labelled| !labelled.taught.complete.is_empty())
    }

    /// What the user should know before the run: classes without labels, tomograms that are resampled.
    pub fn notes(&self) -> Vec<String> {
        let counts = self.labels_per_class();
        let unlabelled = self
            .classes
            .iter()
            .zip(&counts)
            .filter(|(_, count)| **count == 0)
            .map(|(class, _)| format!("class {} has no labels yet and will not be found until it has some", class.name));
        let resampled = self.labelled.iter().filter(|l| l.tomogram.is_resampled()).map(|l| {
            format!(
                "{} is rescaled from {:.3} to {:.3} A per voxel for training",
                l.tomogram.name,
                l.tomogram.scale * self.spacing_angstrom,
                self.spacing_angstrom
            )
        });
        unlabelled.chain(resampled).collect()
    }

    /// The labelled tomograms with what is taught of them and what is held out, in the model's voxels.
    pub(crate) fn labelled(&self) -> impl Iterator<Item = (&PreparedTomogram, [Supervision; 2])> {
        self.labelled.iter().map(|labelled| {
            let last = labelled.tomogram.volume.shape().map(|n| n as f64 - 1.0);
            let supervision = |share: &Share| Supervision {
                markers: share.markers.clone(),
                complete: share.complete.clone(),
                inside: ([0.0; 3], last),
            };
            (&labelled.tomogram, [supervision(&labelled.taught), supervision(&labelled.held_out)])
        })
    }

    /// The tomograms without labels.
    pub(crate) fn unlabelled(&self) -> impl Iterator<Item = &PreparedTomogram> {
        self.unlabelled.iter()
    }

    /// Draws a crop of `edge` voxels, with a target of output stride `stride`: half of the time near a label (each class as often as the others, however rare), otherwise
    /// anywhere in a complete box; always near a label when there is no complete box. Then turned, flipped and changed in intensity.
    ///
    /// # Errors
    /// When the volume cannot be read.
    pub(super) fn sample(
        &self,
        edge: usize,
        detector: Detector,
        stride: usize,
        shares: &[f32],
        random: &mut impl Rng,
    ) -> Result<Sample, VolumeError> {
        let near_label = self.boxes.is_empty() || random.random_bool(0.5);
        let (tomogram, origin) = match (near_label, self.anchors.choose(random)) {
            (true, Some(kind)) => {
                // `retain` in `index` keeps only kinds that have a position.
                let (tomogram, position) = kind[random.random_range(0..kind.len())];
                (tomogram, self.origin_near(tomogram, position, edge, random))
            }
            _ => self.origin_in_box(edge, random),
        };
        let labelled = &self.labelled[tomogram];
        let mut voxels = labelled.tomogram.volume.read(origin, [edge; 3])?;
        let supervision = labelled.crop(origin, edge, self.radii_voxels.iter().fold(0.0f64, |a, b| a.max(*b)));
        let orientation = Orientation::random(random);
        voxels = orientation.apply_voxels(&voxels, edge);
        change_intensity(&mut voxels, random);
        let supervision = orientation.apply_supervision(&supervision, edge);
        let mut target = detector.render([edge; 3], &self.radii_voxels, &supervision, stride);
        let per_class: usize = target.cells.iter().product();
        for (weights, share) in target.weight.chunks_exact_mut(per_class.max(1)).zip(shares) {
            weights.iter_mut().for_each(|weight| *weight *= share);
        }
        Ok(Sample { voxels, target })
    }

    /// Whether there is anything to co-train on: unlabelled tomograms, or unlabelled parts of labelled ones.
    pub fn has_unlabelled(&self) -> bool {
        !self.unlabelled.is_empty() || self.labelled.iter().any(|labelled| !labelled.is_wholly_complete())
    }

    /// Draws an unlabelled crop of `edge + margin` voxels, turned and flipped: from any unlabelled tomogram, or from the parts of a labelled
    /// one that are not complete, each tomogram alike. The extra voxels at the start of each axis are for views flipped about the cell
    /// grid.
    ///
    /// # Errors
    /// When the volume cannot be read.
    pub(super) fn sample_unlabelled(&self, edge: usize, margin: usize, random: &mut impl Rng) -> Result<Vec<f32>, VolumeError> {
        let whole = self.unlabelled.iter().map(|tomogram| (tomogram, None));
        let partly = self.labelled.iter().filter(|labelled| !labelled.is_wholly_complete()).map(|l| (&l.tomogram, Some(l)));
        let tomograms: Vec<_> = whole.chain(partly).collect();
        let edge = edge + margin;
        let Some((tomogram, labels)) = tomograms.choose(random) else { return Ok(vec![0.0; edge.pow(3)]) };
        let shape = tomogram.volume.shape();
        let mut origin = [0; 3];
        for _ in 0..TRIES {
            origin = std::array::from_fn(|axis| {
                let slack = shape[axis].saturating_sub(edge) as i64;
                clamp_origin(random.random_range(0..=slack), 0, shape[axis] as i64, edge as i64)
            });
            let centre = origin.map(|start| start as f64 + edge as f64 / 2.0);
            if !labels.is_some_and(|labelled| labelled.is_taught(centre)) {
                break;
            }
        }
        let voxels = tomogram.volume.read(origin, [edge; 3])?;
        Ok(Orientation::random(random).apply_voxels(&voxels, edge))
    }

    fn origin_near(&self, tomogram: usize, position: [f64; 3], edge: usize, random: &mut impl Rng) -> [i64; 3] {
        let shape = self.labelled[tomogram].tomogram.volume.shape();
        let quarter = edge as i64 / 4;
        std::array::from_fn(|axis| {
            let centre = position[axis].round() as i64 + random.random_range(-quarter..=quarter);
            clamp_origin(centre - edge as i64 / 2, 0, shape[axis] as i64, edge as i64)
        })
    }

    fn origin_in_box(&self, edge: usize, random: &mut impl Rng) -> (usize, [i64; 3]) {
        let total: f64 = self.boxes.iter().map(|(_, _, voxels)| voxels).sum();
        let mut at = random.random_range(0.0..total.max(f64::MIN_POSITIVE));
        let (tomogram, index) = self
            .boxes
            .iter()
            .find(|(_, _, voxels)| {
                at -= voxels;
                at < 0.0
            })
            .or(self.boxes.last())
            .map_or((0, 0), |(tomogram, index, _)| (*tomogram, *index));
        let labelled = &self.labelled[tomogram];
        let shape = labelled.tomogram.volume.shape();
        let (first, last) = labelled.taught.complete[index];
        let origin = std::array::from_fn(|axis| {
            let (low, high) = (first[axis].floor() as i64, last[axis].ceil() as i64 + 1);
            let slack = (high - low - edge as i64).max(0);
            // A box smaller than the crop lies anywhere within it.
            let spare = (edge as i64 - (high - low)).max(0);
            let origin = low + random.random_range(0..=slack) - random.random_range(0..=spare);
            clamp_origin(origin, 0, shape[axis] as i64, edge as i64)
        });
        (tomogram, origin)
    }
}

/// Keeps a crop inside `low..high`, or centres it there when it is larger.
fn clamp_origin(origin: i64, low: i64, high: i64, edge: i64) -> i64 {
    if high - low >= edge { origin.clamp(low, high - edge) } else { low - (edge - (high - low)) / 2 }
}

impl Labelled {
    /// Whether a complete box covers the whole tomogram.
    fn is_wholly_complete(&self) -> bool {
        let shape = self.tomogram.volume.shape();
        let covers = |(first, last): &([f64; 3], [f64; 3])| {
            (0..3).all(|axis| first[axis] <= 0.5 && last[axis] >= shape[axis] as f64 - 1.5)
        };
        self.taught.complete.iter().any(covers)
    }

    /// Whether everything round a position is taught.
    fn is_taught(&self, position: [f64; 3]) -> bool {
        let holds =
            |(first, last): &([f64; 3], [f64; 3])| (0..3).all(|axis| (first[axis]..=last[axis]).contains(&position[axis]));
        self.taught.complete.iter().any(holds)
    }

    /// Labels and boxes that reach into a crop, in the crop's coordinates.
    fn crop(&self, origin: [i64; 3], edge: usize, largest_radius: f64) -> Supervision {
        // A Gaussian of half the radius reaches 2.5 radii far.
        let margin = 2.5 * largest_radius + 1.0;
        let shift = |p: [f64; 3]| -> [f64; 3] { std::array::from_fn(|axis| p[axis] - origin[axis] as f64) };
        let shape = self.tomogram.volume.shape();
        Supervision {
            markers: self
                .taught
                .markers
                .iter()
                .map(|(position, marker)| (shift(*position), *marker))
                .filter(|(p, _)| p.iter().all(|v| (-margin..=edge as f64 + margin).contains(v)))
                .collect(),
            complete: self.taught.complete.iter().map(|(first, last)| (shift(*first), shift(*last))).collect(),
            inside: (shift([0.0; 3]), shift(shape.map(|n| n as f64 - 1.0))),
        }
    }
}
