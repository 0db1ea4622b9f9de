//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::coordinates::Format;
use crate::train::{DeviceChoice, Preset};

/// Particle picking in cryo-electron tomograms: click a few, train live, review, export.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Arguments {
    /// What to do; without it the window opens.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// Tomograms or a project folder to open in the window.
    pub paths: Vec<PathBuf>,
}

/// A task without a window.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Show what a volume file says and what had to be assumed.
    Info(Info),
    /// Make tomograms with known particle positions.
    Simulate(Simulate),
    /// Train a model on labelled tomograms.
    Train(Box<Train>),
    /// Pick particles in tomograms with a trained model.
    Pick(Pick),
    /// Score picks against known positions.
    Evaluate(Evaluate),
    /// Simulate, train, pick, score and export a small example.
    Demo(Demo),
}

/// Arguments of `info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The volume.
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Also print the value of this voxel; may repeat.
    #[arg(long, value_name = "Z,Y,X", value_parser = parse_voxel)]
    pub voxel: Vec<[usize; 3]>,
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// Folder for the tomograms, their positions and classes.toml; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of tomograms.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub count: u64,
    /// Voxels along z, y and x.
    #[arg(long, num_args = 3, value_names = ["Z", "Y", "X"])]
    pub shape: Option<Vec<usize>>,
    /// Seed of the first tomogram; the following ones count up.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Noise relative to a realistic exposure; 0 is none.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub noise: f64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// A tomogram and its labels; may repeat. The labels are a CSV file with class, x, y, z in angstrom.
    #[arg(long, required = true, num_args = 1.., value_name = "TOMO=LABELS.csv")]
    pub labelled: Vec<String>,
    /// A complete region of a labelled tomogram, in voxels, ends not included; may repeat. Without one, the whole tomogram is taken
    /// as completely labelled.
    #[arg(long, num_args = 1.., value_name = "TOMO=x0,y0,z0,x1,y1,z1")]
    pub region: Vec<String>,
    /// The labels are not complete anywhere (but in regions given): only their surroundings are learnt from.
    #[arg(long)]
    pub sparse: bool,
    /// Tomograms without labels, to learn from as well; may repeat.
    #[arg(long, num_args = 1.., value_name = "TOMO")]
    pub unlabelled: Vec<PathBuf>,
    /// The classes: a list of [[class]] with name, radius_angstrom and colour.
    #[arg(long, value_name = "CLASSES.toml")]
    pub classes: PathBuf,
    /// The model file to write.
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,
    /// The network.
    #[arg(long, value_enum, default_value_t = Preset::Compact)]
    pub network: Preset,
    /// Training steps on labelled crops (burn-in, when co-training follows).
    #[arg(long, default_value_t = 600, value_name = "N")]
    pub steps: usize,
    /// Further steps of co-training with unlabelled crops; as many as --steps when --unlabelled is given, otherwise none.
    #[arg(long, value_name = "N")]
    pub cotrain: Option<usize>,
    /// Edge of the crops in voxels.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub crop: usize,
    /// Crops per step.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub batch: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, value_name = "D")]
    pub device: DeviceChoice,
    /// Voxel spacing in angstrom of tomograms that do not say it.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pick`.
#[derive(Debug, Args)]
pub struct Pick {
    /// The model, written by `train` or by the window.
    #[arg(long, value_name = "MODEL")]
    pub model: PathBuf,
    /// The tomograms.
    #[arg(required = true, value_name = "TOMO")]
    pub tomograms: Vec<PathBuf>,
    /// Folder for the coordinates; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Form of the coordinates; may repeat.
    #[arg(long, value_enum, num_args = 1.., default_value = "csv")]
    pub format: Vec<Format>,
    /// Also write the heatmaps, one MRC file a class.
    #[arg(long)]
    pub heatmaps: bool,
    /// Average over flips at test time: a little better, four times slower.
    #[arg(long)]
    pub tta: bool,
    /// Least score of a pick: `auto` takes each class's threshold from training.
    #[arg(long, default_value = "auto", value_name = "auto|X", value_parser = parse_threshold)]
    pub threshold: Threshold,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, value_name = "D")]
    pub device: DeviceChoice,
    /// Voxel spacing in angstrom of tomograms that do not say it.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// Replace files that exist.
    #[arg(long)]
    pub overwrite: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which picks to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Those above the threshold chosen in training, per class.
    Auto,
    /// Those above this score.
    Score(f32),
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Picks; repeats, in pairs with `--truth`. Counts are summed over the pairs.
    #[arg(long, required = true, num_args = 1.., value_name = "PICKS.csv")]
    pub picks: Vec<PathBuf>,
    /// Known positions.
    #[arg(long, required = true, num_args = 1.., value_name = "TRUTH.csv")]
    pub truth: Vec<PathBuf>,
    /// The classes.
    #[arg(long, value_name = "CLASSES.toml")]
    pub classes: PathBuf,
    /// Doubtful positions: neither right nor wrong; one file for all pairs or one a pair.
    #[arg(long, num_args = 1.., value_name = "IGNORE.csv")]
    pub ignore: Vec<PathBuf>,
    /// Only what lies in this box, in voxels, ends not included.
    #[arg(long, value_name = "x0,y0,z0,x1,y1,z1", requires = "spacing", value_parser = parse_box)]
    pub region: Option<crate::geometry::VoxelBox>,
    /// Voxel spacing in angstrom.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for the demo's files; made if it is not there. Without it, a folder in the user's data directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Do the whole job without a window.
    #[arg(long)]
    pub headless: bool,
    /// Training steps of the job without a window.
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub steps: usize,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, value_name = "D")]
    pub device: DeviceChoice,
}

fn numbers<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let parts = text.split(',').map(|part| part.trim().parse::<usize>()).collect::<Result<Vec<_>, _>>();
    parts
        .ok()
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| format!("`{text}` is not {N} whole numbers joined by commas"))
}

fn parse_voxel(text: &str) -> Result<[usize; 3], String> {
    numbers(text)
}

/// `x0,y0,z0,x1,y1,z1`, ends not included.
pub(super) fn parse_box(text: &str) -> Result<crate::geometry::VoxelBox, String> {
    let [x0, y0, z0, x1, y1, z1] = numbers(text)?;
    let voxels = crate::geometry::VoxelBox::new([z0, y0, x0], [z1, y1, x1]);
    match voxels.is_empty() {
        true => Err(format!("the box `{text}` is empty: each end must be larger than its start")),
        false => Ok(voxels),
    }
}

fn parse_positive(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value > 0.0)
        .ok_or_else(|| format!("`{text}` is not a positive number"))
}

fn parse_threshold(text: &str) -> Result<Threshold, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Threshold::Auto);
    }
    text.parse::<f32>()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .map(Threshold::Score)
        .ok_or_else(|| format!("`{text}` is neither `auto` nor a score from 0 to 1"))
}
