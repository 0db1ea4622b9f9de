//! A trained model in a file.
//!
//! The file is a safetensors file, readable from Python: the averaged weights by their path, and under the key `semietpicker` of its
//! metadata a JSON text with everything needed to use them. It is written whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::network::{Architecture, Network, NetworkConfig};
use super::weights::{Weight, WeightsError, load_weights, named_weights};
use crate::files::temporary_beside;
use crate::labels::Class;
use crate::train::Detector;

/// Version of the metadata; a file with a later one is refused.
const VERSION: u32 = 2;
/// Version of the metadata of the networks that every version of the program knows.
const FIRST_VERSION: u32 = 1;
/// Key of the metadata in the file.
const KEY: &str = "semietpicker";
/// Key of the description of a run in its checkpoint.
pub(crate) const RUN_KEY: &str = "semietpicker-run";
/// Largest file that is read, in bytes: many times the largest preset.
const LARGEST: u64 = 4 << 30;

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot {action} the model file: {cause}: {path}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// What the system said.
        cause: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// It is no model file of this program.
    #[error("this is not a SemiETPicker model ({reason}); choose a file written by Save model or by `train --out`: {path}")]
    NotAModel {
        /// What is wrong with it.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later version.
    #[error(
        "this model was written by a later version of the program (format {found}, this program reads up to {VERSION}); update the program: {path}"
    )]
    Later {
        /// The file's format.
        found: u32,
        /// The file.
        path: PathBuf,
    },
    /// Its weights do not fit its description.
    #[error("this model file is damaged: {fault}: {path}")]
    Weights {
        /// What does not fit.
        fault: WeightsError,
        /// The file.
        path: PathBuf,
    },
}

/// What a model file says besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Version of this description.
    pub version: u32,
    /// The program's version that wrote it.
    pub program: String,
    /// Shape of the network.
    pub network: NetworkConfig,
    /// What its output means; files of before there was a choice do not say, and hold heatmaps.
    #[serde(default)]
    pub detector: Detector,
    /// Classes, in the order of the output channels; the background of a segmentation comes behind them.
    pub classes: Vec<Class>,
    /// Spacing of the tomograms that it was trained on, in angstrom.
    pub spacing_angstrom: f64,
    /// How voxels were normalised.
    pub normalisation: String,
    /// Score threshold of each class that maximises F1 on labelled data.
    pub thresholds: Vec<f32>,
    /// Score threshold of each class that maximises F-beta with beta 4; empty in files of earlier versions.
    #[serde(default)]
    pub recall_thresholds: Vec<f32>,
    /// Whether each class's thresholds were chosen on labels that were held out of training; empty in files of earlier versions.
    #[serde(default)]
    pub held_out: Vec<bool>,
    /// Steps of training.
    pub steps: usize,
    /// Edge of the crops that it was trained on, in voxels.
    pub crop: usize,
}

/// The normalisation that this version of the program applies.
const NORMALISATION: &str = "robust-z";

impl ModelMetadata {
    /// A description with this program's version and normalisation, and thresholds of 0.5.
    pub fn new(network: NetworkConfig, classes: Vec<Class>, spacing_angstrom: f64, crop: usize) -> Self {
        let version = if network.architecture == Architecture::default() { FIRST_VERSION } else { VERSION };
        Self {
            version,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            network,
            detector: Detector::default(),
            thresholds: vec![0.5; classes.len()],
            recall_thresholds: Vec::new(),
            held_out: Vec::new(),
            classes,
            spacing_angstrom,
            normalisation: NORMALISATION.to_owned(),
            steps: 0,
            crop,
        }
    }

    /// What contradicts itself in the description, if anything does.
    fn fault(&self) -> Option<String> {
        let classes = self.classes.len();
        let network = &self.network;
        let fault = match () {
            () if classes == 0 => "it has no classes".to_owned(),
            () if network.classes != self.detector.channels(classes) || self.thresholds.len() != classes => {
                format!(
                    "it names {classes} classes, {} thresholds and {} output channels where there should be {}",
                    self.thresholds.len(),
                    network.classes,
                    self.detector.channels(classes)
                )
            }
            () if !(self.spacing_angstrom.is_finite() && self.spacing_angstrom > 0.0) => {
                format!("its spacing is {}", self.spacing_angstrom)
            }
            () if self.classes.iter().any(|class| !(class.radius_angstrom.is_finite() && class.radius_angstrom > 0.0)) => {
                "a class has no radius".to_owned()
            }
            () if [self.recall_thresholds.len(), self.held_out.len()].iter().any(|count| ![0, classes].contains(count)) => {
                format!("it names {classes} classes and {} further thresholds", self.recall_thresholds.len())
            }
            () if self.thresholds.iter().chain(&self.recall_thresholds).any(|t| !t.is_finite()) => {
                "a threshold is not a number".to_owned()
            }
            () if self.normalisation != NORMALISATION => {
                format!("its normalisation `{}` is unknown to this version", self.normalisation)
            }
            () => return network.fault(),
        };
        Some(fault)
    }
}

/// A model: its description and its network.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The description.
    pub metadata: ModelMetadata,
    /// The network, on a device of the caller's choice.
    pub network: Network,
}

impl Checkpoint {
    /// Writes the model. The file appears whole or not at all; an existing one is replaced.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] when the file system refuses; an existing file is then unchanged.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let description = serde_json::to_string(&self.metadata).map_err(|error| CheckpointError::Io {
            action: "write",
            cause: error.into(),
            path: path.to_owned(),
        })?;
        write_tensors(path, KEY, description, &named_weights(&self.network))
    }

    /// Reads a model on to `device`.
    ///
    /// # Errors
    /// When the file cannot be read, is not a model, comes from a later version or is damaged.
    pub fn load(path: &Path, device: &Device) -> Result<Self, CheckpointError> {
        let not_a_model = |reason: String| CheckpointError::NotAModel { reason, path: path.to_owned() };
        let (description, weights) = read_tensors(path, KEY)?;
        let metadata = ModelMetadata::read(&description, path)?;
        // Refuse a description whose network would be far larger than the file before building it.
        let stored: usize = weights.values().map(|(_, values)| values.len()).sum();
        if metadata.network.parameters() != stored {
            return Err(not_a_model(format!(
                "{stored} weights are stored where its network has {}",
                metadata.network.parameters()
            )));
        }
        let network = load_weights(metadata.network.init(0, device), weights)
            .map_err(|fault| CheckpointError::Weights { fault, path: path.to_owned() })?;
        Ok(Self { metadata, network })
    }
}

impl ModelMetadata {
    /// Reads a description out of the file `path`.
    ///
    /// # Errors
    /// When it is none, comes from a later version or contradicts itself.
    pub(crate) fn read(description: &str, path: &Path) -> Result<Self, CheckpointError> {
        let not_a_model = |reason: String| CheckpointError::NotAModel { reason, path: path.to_owned() };
        let version: Version =
            serde_json::from_str(description).map_err(|error| not_a_model(format!("its description: {error}")))?;
        if version.version > VERSION {
            return Err(CheckpointError::Later { found: version.version, path: path.to_owned() });
        }
        let metadata: Self =
            serde_json::from_str(description).map_err(|error| not_a_model(format!("its description: {error}")))?;
        match metadata.fault() {
            Some(fault) => Err(not_a_model(fault)),
            None => Ok(metadata),
        }
    }
}

/// Writes named tensors and a description under `key` of the file's metadata: whole or not at all; an existing file is replaced.
///
/// # Errors
/// [`CheckpointError::Io`] when the file system refuses; an existing file is then unchanged.
pub(crate) fn write_tensors(
    path: &Path,
    key: &str,
    description: String,
    weights: &BTreeMap<String, Weight>,
) -> Result<(), CheckpointError> {
    let io = |cause| CheckpointError::Io { action: "write", cause, path: path.to_owned() };
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, (*shape).clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| io(std::io::Error::other(error)))?;
    let metadata = HashMap::from([(key.to_owned(), description)]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(|error| io(std::io::Error::other(error)))?;
    let mut temporary = temporary_beside(path).map_err(io)?;
    temporary.write_all(&file).map_err(io)?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

/// Reads a file of [`write_tensors`].
///
/// # Errors
/// When the file cannot be read, or is no such file with a description under `key`.
pub(crate) fn read_tensors(path: &Path, key: &str) -> Result<(String, BTreeMap<String, Weight>), CheckpointError> {
    let io = |cause| CheckpointError::Io { action: "read", cause, path: path.to_owned() };
    let not_a_model = |reason: String| CheckpointError::NotAModel { reason, path: path.to_owned() };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > LARGEST {
        return Err(not_a_model(format!("{length} bytes are too many")));
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| not_a_model(error.to_string()))?;
    let texts = header.metadata().as_ref();
    let description = texts.and_then(|texts| texts.get(key)).ok_or_else(|| {
        // The two kinds of file are easily mistaken for each other.
        let is_run = texts.is_some_and(|texts| texts.contains_key(RUN_KEY));
        let is_model = texts.is_some_and(|texts| texts.contains_key(KEY));
        not_a_model(match (is_run, is_model) {
            (true, _) => "it is the checkpoint of a run, for `train --resume`".to_owned(),
            (_, true) => "it is a finished model, not the checkpoint of a run".to_owned(),
            _ => "a safetensors file of another program".to_owned(),
        })
    })?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| not_a_model(error.to_string()))?;
    let mut weights: BTreeMap<String, Weight> = BTreeMap::new();
    for (name, view) in tensors.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(not_a_model(format!("the weight `{name}` is not float32")));
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        weights.insert(name.to_owned(), (view.shape().to_vec(), values));
    }
    Ok((description.clone(), weights))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}
