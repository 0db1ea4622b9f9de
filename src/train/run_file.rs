//! A run in a file, to go on with later.
//!
//! A safetensors file like that of a model, with everything the next step depends on: the weights of student and teacher, both
//! moments of each gradient, the settings and the step. What is random in a step comes from the seed and the step alone, so a
//! resumed run draws the crops that it would have drawn.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::optimiser::Memory;
use crate::model::{CheckpointError, ModelMetadata, RUN_KEY, read_tensors, write_tensors};

/// A run as it stands between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFile {
    /// Its settings.
    pub config: TrainConfig,
    /// The description of its model, with the steps done.
    pub metadata: ModelMetadata,
    pub(super) memory: Memory,
}

/// The part of it that is text.
#[derive(Serialize, Deserialize)]
struct Description {
    config: TrainConfig,
    model: serde_json::Value,
}

impl RunFile {
    /// Writes the run: whole or not at all; an existing file is replaced.
    ///
    /// # Errors
    /// When the file system refuses; an existing file is then unchanged.
    pub(super) fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let text = serde_json::to_value(&self.metadata)
            .and_then(|model| serde_json::to_string(&Description { config: self.config.clone(), model }))
            .map_err(|error| CheckpointError::Io { action: "write", cause: error.into(), path: path.to_owned() })?;
        write_tensors(path, RUN_KEY, text, &self.memory)
    }

    /// Reads a run.
    ///
    /// # Errors
    /// When the file cannot be read, is not the checkpoint of a run, or comes from a later version.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let (text, memory) = read_tensors(path, RUN_KEY)?;
        let not_a_run = |error: serde_json::Error| CheckpointError::NotAModel {
            reason: format!("the description of its run: {error}"),
            path: path.to_owned(),
        };
        let Description { config, model } = serde_json::from_str(&text).map_err(not_a_run)?;
        let metadata = ModelMetadata::read(&model.to_string(), path)?;
        // Refuse a description whose network would be far larger than the file before building it.
        let stored: usize = memory.iter().filter(|(name, _)| name.starts_with("student.")).map(|(_, w)| w.1.len()).sum();
        if metadata.network.parameters() != stored {
            let reason = format!("{stored} weights are stored where its network has {}", metadata.network.parameters());
            return Err(CheckpointError::NotAModel { reason, path: path.to_owned() });
        }
        Ok(Self { config, metadata, memory })
    }
}
