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

use super::network::{Network, NetworkConfig};
use super::weights::{Weight, WeightsError, load_weights, named_weights};
use crate::files::temporary_beside;
use crate::labels::Class;
use crate::train::Detector;

/// Version of the metadata; a file with a later one is refused.
const VERSION: u32 = 1;
/// Key of the metadata in the file.
const KEY: &str = "semietpicker";
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
    /// Score threshold of each class that maximises F1 on the labelled data.
    pub thresholds: Vec<f32>,
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
        Self {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            network,
            detector: Detector::default(),
            thresholds: vec![0.5; classes.len()],
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
            () if network.widths.is_empty()
                || network.widths.len() != network.blocks.len()
                || network.widths.len() > 8
                || network.widths.iter().any(|w| !(1..=4096).contains(w))
                || network.blocks.iter().any(|b| !(1..=64).contains(b)) =>
            {
                format!("its network makes no sense: widths {:?}, blocks {:?}", network.widths, network.blocks)
            }
            () if !(self.spacing_angstrom.is_finite() && self.spacing_angstrom > 0.0) => {
                format!("its spacing is {}", self.spacing_angstrom)
            }
            () if self.classes.iter().any(|class| !(class.radius_angstrom.is_finite() && class.radius_angstrom > 0.0)) => {
                "a class has no radius".to_owned()
            }
            () if self.thresholds.iter().any(|t| !t.is_finite()) => "a threshold is not a number".to_owned(),
            () if self.normalisation != NORMALISATION => {
                format!("its normalisation `{}` is unknown to this version", self.normalisation)
            }
            () => return None,
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
        let io = |cause| CheckpointError::Io { action: "write", cause, path: path.to_owned() };
        let weights = named_weights(&self.network);
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = weights
            .iter()
            .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = bytes
            .iter()
            .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, (*shape).clone(), data)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| io(std::io::Error::other(error)))?;
        let description = serde_json::to_string(&self.metadata).map_err(|error| io(error.into()))?;
        let metadata = HashMap::from([(KEY.to_owned(), description)]);
        let file = safetensors::serialize(views, Some(metadata)).map_err(|error| io(std::io::Error::other(error)))?;

        let mut temporary = temporary_beside(path).map_err(io)?;
        temporary.write_all(&file).map_err(io)?;
        temporary.as_file().sync_all().map_err(io)?;
        temporary.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }

    /// Reads a model on to `device`.
    ///
    /// # Errors
    /// When the file cannot be read, is not a model, comes from a later version or is damaged.
    pub fn load(path: &Path, device: &Device) -> Result<Self, CheckpointError> {
        let io = |cause| CheckpointError::Io { action: "read", cause, path: path.to_owned() };
        let not_a_model = |reason: String| CheckpointError::NotAModel { reason, path: path.to_owned() };
        let length = std::fs::metadata(path).map_err(io)?.len();
        if length > LARGEST {
            return Err(not_a_model(format!("{length} bytes are too many")));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| not_a_model(error.to_string()))?;
        let description = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(KEY))
            .ok_or_else(|| not_a_model("a safetensors file of another program".to_owned()))?;
        let version: Version =
            serde_json::from_str(description).map_err(|error| not_a_model(format!("its description: {error}")))?;
        if version.version > VERSION {
            return Err(CheckpointError::Later { found: version.version, path: path.to_owned() });
        }
        let metadata: ModelMetadata =
            serde_json::from_str(description).map_err(|error| not_a_model(format!("its description: {error}")))?;
        if let Some(fault) = metadata.fault() {
            return Err(not_a_model(fault));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| not_a_model(error.to_string()))?;
        let mut weights: BTreeMap<String, Weight> = BTreeMap::new();
        for (name, view) in tensors.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(not_a_model(format!("the weight `{name}` is not float32")));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            weights.insert(name.to_owned(), (view.shape().to_vec(), values));
        }
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

#[derive(Deserialize)]
struct Version {
    version: u32,
}
