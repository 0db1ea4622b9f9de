//! What can be asked for on the command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::coordinates::Format;
use crate::copick::{Source, Wishes};
use crate::model::Precision;
use crate::train::{Detector, DeviceChoice, Method, Preset, SegmentationLoss, TrainConfig};

/// Particle picking in cryo-electron tomograms: click a few, train live, review, export.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Arguments {
    /// What to do; without it the window opens.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// Tomograms, a project folder or a copick project's config.json to open in the window.
    pub paths: Vec<PathBuf>,
    /// What to take from a copick project.
    #[command(flatten)]
    pub copick: CopickArguments,
}

/// What to take from a copick project; what is left open is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct CopickArguments {
    /// copick: tomograms of this voxel spacing in angstrom.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub voxel_spacing: Option<f64>,
    /// copick: tomograms of this type, such as denoised.
    #[arg(long, value_name = "TYPE")]
    pub tomo_type: Option<String>,
    /// copick: whose picks become labels; may repeat.
    #[arg(long, value_name = "USER/SESSION")]
    pub picks: Vec<Source>,
}

impl CopickArguments {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.voxel_spacing.is_none() && self.tomo_type.is_none() && self.picks.is_empty()
    }

    /// The same as wishes.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            voxel_spacing: self.voxel_spacing,
            tomo_type: self.tomo_type.clone(),
            picks: (!self.picks.is_empty()).then(|| self.picks.clone()),
        }
    }
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
    Pick(Box<Pick>),
    /// Write the labels of a project, or positions of any files, for other programs.
    Export(Box<Export>),
    /// Add positions of files to a project as labels.
    Import(Box<Import>),
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
    /// What they are called: NAME-1.mrc, NAME-2.mrc and so on.
    #[arg(long, default_value = "simulated", value_parser = parse_name)]
    pub name: String,
    /// Voxels along z, y and x.
    #[arg(long, num_args = 3, value_names = ["Z", "Y", "X"])]
    pub shape: Option<Vec<usize>>,
    /// Seed of the first tomogram; the following ones count up.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Noise relative to a realistic exposure; 0 is none.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub noise: f64,
    /// Mean underfocus in micrometre.
    #[arg(long, default_value_t = 3.0, value_name = "UM")]
    pub defocus: f64,
    /// Each tomogram's underfocus is drawn within this many micrometre of the mean.
    #[arg(long, default_value_t = 0.5, value_name = "UM")]
    pub defocus_spread: f64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// A tomogram and its labels; may repeat. The labels are a file of any form that `export` writes, such as a CSV file with
    /// class, x, y, z in angstrom.
    #[arg(long, required_unless_present = "config", num_args = 1.., value_name = "TOMO=LABELS")]
    pub labelled: Vec<String>,
    /// The config.json of a copick project: its objects are the classes, and its runs with picks are labelled tomograms.
    #[arg(id = "config", long = "copick", value_name = "CONFIG.json")]
    pub copick_config: Option<PathBuf>,
    /// What to take from it.
    #[command(flatten)]
    pub copick: CopickArguments,
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
    #[arg(long, required_unless_present = "config", conflicts_with = "config", value_name = "CLASSES.toml")]
    pub classes: Option<PathBuf>,
    /// The model file to write.
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,
    /// How it is learnt.
    #[command(flatten)]
    pub settings: Settings,
    /// Write a checkpoint of the run every two minutes and at its end, to go on from with --resume.
    #[arg(long, value_name = "RUN")]
    pub checkpoint: Option<PathBuf>,
    /// Go on with a run from its checkpoint; give the same tomograms, labels and classes. Settings that are not given are the run's.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["network", "output_stride", "detector", "crop", "seed"])]
    pub resume: Option<PathBuf>,
    /// End after this step, though more are planned, and leave the rest to --resume.
    #[arg(long, value_name = "N", requires = "checkpoint")]
    pub stop_after: Option<usize>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, value_name = "D")]
    pub device: DeviceChoice,
    /// Voxel spacing in angstrom of tomograms that do not say it.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// Pixel of the unbinned tilt series in angstrom, for labels that count in it and do not say it (RELION 3 and 4, EMAN2).
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub tilt_series_pixel: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How a model is learnt. What is not given is as in [`TrainConfig`]'s default, or as in the run that is resumed.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// The network [default: compact].
    #[arg(long, value_enum)]
    pub network: Option<Preset>,
    /// Voxels per cell of the network's output: 2 or 4, for the U-Nets and FPNs [default: 4 for a heatmap where the radius of the
    /// smallest class is at least 5.5 voxels, else 2].
    #[arg(long, value_name = "N")]
    pub output_stride: Option<usize>,
    /// What the network learns: a heatmap a class, whose peaks are picked, or a mask, whose segments are [default: heatmap].
    #[arg(long, value_enum)]
    pub detector: Option<Detector>,
    /// The loss of --detector segmentation [default: cross-entropy].
    #[arg(long, value_enum, value_name = "LOSS")]
    pub segmentation_loss: Option<SegmentationLoss>,
    /// What is learnt besides the labels: nothing; unlabelled crops through a mean teacher; the same with multi-view pseudo-labels and
    /// DropBlock [default: semi with --unlabelled, otherwise supervised].
    #[arg(long, value_enum)]
    pub method: Option<Method>,
    /// Training steps on labelled crops alone; all of them when no co-training follows [default: 600].
    #[arg(long, alias = "steps", value_name = "N")]
    pub burn_in: Option<usize>,
    /// Further steps of co-training with unlabelled crops [default: as many as --burn-in].
    #[arg(long, value_name = "N")]
    pub cotrain: Option<usize>,
    /// semi: the teacher sees one view of a crop instead of four.
    #[arg(long)]
    pub no_multi_view: bool,
    /// semi: share of the voxels that DropBlock hides from the student.
    #[arg(long, value_name = "F")]
    pub drop_block: Option<f64>,
    /// Leave the thresholds as they suit the labelled tomograms, however many picks they keep in the unlabelled ones.
    #[arg(long)]
    pub no_carry: bool,
    /// Weight of the consistency loss beside the supervised one.
    #[arg(long, value_name = "W")]
    pub consistency: Option<f64>,
    /// Below this probability the teacher's map counts as background; 0: the student is taught the map as it is.
    #[arg(long, value_name = "P")]
    pub background: Option<f64>,
    /// Steps of co-training over which the consistency loss comes in.
    #[arg(long, value_name = "N")]
    pub ramp: Option<usize>,
    /// Decay of the teacher's average per step.
    #[arg(long, value_name = "D")]
    pub ema: Option<f64>,
    /// Weight of the background in the reweighted squared error.
    #[arg(long, value_name = "A")]
    pub alpha: Option<f64>,
    /// How far small particles' share of the error is raised: 0 not at all, 1 to that of large ones.
    #[arg(long, value_name = "B")]
    pub balance: Option<f64>,
    /// Weight of answers at other classes' particles, in the second half of a run of more than 600 steps: tells classes apart that look alike.
    #[arg(long, value_name = "R")]
    pub rivals: Option<f64>,
    /// Highest learning rate of Adam.
    #[arg(long, value_name = "R")]
    pub learning_rate: Option<f64>,
    /// Edge of the crops in voxels [default: 64].
    #[arg(long, value_name = "N")]
    pub crop: Option<usize>,
    /// Crops per step [default: 2].
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Seed of everything random [default: 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

impl Settings {
    /// `config` with everything that was given; `has_unlabelled` says whether unlabelled tomograms were.
    pub fn applied_to(&self, config: TrainConfig, has_unlabelled: bool, resumes: bool) -> TrainConfig {
        let detector = self.detector.unwrap_or(config.detector);
        let method = self.method.unwrap_or(match (resumes, has_unlabelled && detector == Detector::Heatmap) {
            (true, _) => config.method,
            (false, true) => Method::Semi,
            (false, false) => Method::Supervised,
        });
        let steps = self.burn_in.unwrap_or(config.steps);
        let cotrain_steps = match (self.cotrain, method) {
            (Some(cotrain), _) => cotrain,
            (None, Method::Supervised) => 0,
            (None, _) if resumes => config.cotrain_steps,
            (None, _) => steps,
        };
        TrainConfig {
            preset: self.network.unwrap_or(config.preset),
            output_stride: self.output_stride.or(config.output_stride),
            detector,
            segmentation_loss: self.segmentation_loss.unwrap_or(config.segmentation_loss),
            method,
            steps,
            cotrain_steps,
            multi_view: config.multi_view && !self.no_multi_view,
            drop_block: self.drop_block.unwrap_or(config.drop_block),
            carry_thresholds: config.carry_thresholds && !self.no_carry,
            consistency: self.consistency.unwrap_or(config.consistency),
            background: self.background.unwrap_or(config.background),
            ramp: self.ramp.unwrap_or(config.ramp),
            ema: self.ema.unwrap_or(config.ema),
            alpha: self.alpha.unwrap_or(config.alpha),
            balance: self.balance.unwrap_or(config.balance),
            rivals: self.rivals.unwrap_or(config.rivals),
            learning_rate: self.learning_rate.unwrap_or(config.learning_rate),
            crop: self.crop.unwrap_or(config.crop),
            batch: self.batch.unwrap_or(config.batch),
            seed: self.seed.unwrap_or(config.seed),
            ..config
        }
    }
}

/// How coordinates are written: the formats, and the questions that some of them ask.
#[derive(Clone, Debug, Args)]
pub struct FormatArguments {
    /// Form of the coordinates; may repeat.
    #[arg(long, value_enum, num_args = 1.., default_value = "csv")]
    pub format: Vec<Format>,
    /// Pixel of the unbinned tilt series in angstrom: relion4 and eman2 count in it.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub tilt_series_pixel: Option<f64>,
    /// relion5: the RELION project's tomograms.star, as seen from the folder in which RELION is started.
    #[arg(long, value_name = "PATH", default_value = "tomograms.star")]
    pub relion_tomograms_star: String,
    /// relion5, relion5-import: shift by one tilt-series pixel, as RELION's own picker does; needs --tilt-series-pixel.
    #[arg(long, requires = "tilt_series_pixel")]
    pub relion_picker_offset: bool,
    /// copick: under whose name the picks are written.
    #[arg(long, value_name = "NAME", default_value = "semietpicker")]
    pub copick_user: String,
    /// copick: the session under which the picks are written.
    #[arg(long, value_name = "NAME", default_value = "1")]
    pub copick_session: String,
    /// Replace files that exist.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "Give a project to write its labels, or --from to write positions of files of any form. With both, the \
                        positions are those of the files, and the project says which tomograms and classes there are. A \
                        project may be open in a window meanwhile. docs/formats.md describes the formats.")]
pub struct Export {
    /// A project folder.
    #[arg(required_unless_present = "from")]
    pub project: Option<PathBuf>,
    /// Files with positions, or a project folder; may repeat.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub from: Vec<PathBuf>,
    /// Tomograms of these positions, which give size and spacing; may repeat.
    #[arg(long, num_args = 1.., value_name = "TOMO")]
    pub tomogram: Vec<PathBuf>,
    /// Folder for the coordinates; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How they are written.
    #[command(flatten)]
    pub formats: FormatArguments,
    /// csv, kaggle: one file a tomogram, named after it.
    #[arg(long)]
    pub file_per_tomogram: bool,
    /// Only this tomogram; may repeat.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub only: Vec<String>,
    /// Only this class; may repeat.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub class: Vec<String>,
    /// Least score; positions without a score are kept.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = parse_score)]
    pub threshold: Option<f32>,
    /// The form of the files of --from, where it is not recognised.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub from_format: Option<Format>,
    /// The class of positions in files without classes.
    #[arg(long, value_name = "NAME")]
    pub as_class: Option<String>,
    /// The classes with their radii and colours.
    #[arg(long, value_name = "CLASSES.toml")]
    pub classes: Option<PathBuf>,
    /// Radius in angstrom of classes that neither --classes nor a project names.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub radius: Option<f64>,
    /// Voxel spacing in angstrom of tomograms that do not say it.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The project folder; no window may have it open.
    pub project: PathBuf,
    /// Files with positions.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The project's tomogram to which positions belong whose file names none.
    #[arg(long, value_name = "NAME")]
    pub into: Option<String>,
    /// The form of the files, where it is not recognised.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub from_format: Option<Format>,
    /// The class of positions in files without classes.
    #[arg(long, value_name = "NAME")]
    pub as_class: Option<String>,
    /// Classes to add to the project where the files name them.
    #[arg(long, value_name = "CLASSES.toml")]
    pub classes: Option<PathBuf>,
    /// Add classes that neither the project nor --classes names, with this radius in angstrom.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub radius: Option<f64>,
    /// Least score; positions without a score are kept.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = parse_score)]
    pub threshold: Option<f32>,
    /// Pixel of the unbinned tilt series in angstrom, for files that count in it and do not say it (RELION 3 and 4, EMAN2).
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub tilt_series_pixel: Option<f64>,
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
    /// How the coordinates are written.
    #[command(flatten)]
    pub formats: FormatArguments,
    /// Also write the heatmaps, one MRC file a class.
    #[arg(long)]
    pub heatmaps: bool,
    /// Average over flips at test time: a little better, four times slower.
    #[arg(long)]
    pub tta: bool,
    /// Least score of a pick: `auto` takes each class's threshold from training that maximises F1, `recall` the one that maximises
    /// F-beta with beta 4 (more picks, more of them wrong).
    #[arg(long, default_value = "auto", value_name = "auto|recall|X", value_parser = parse_threshold)]
    pub threshold: Threshold,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, value_name = "D")]
    pub device: DeviceChoice,
    /// The precision in which a GPU computes; a CPU always takes f32.
    #[arg(long, value_enum, default_value_t = Precision::Auto, value_name = "P")]
    pub precision: Precision,
    /// Voxel spacing in angstrom of tomograms that do not say it.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which picks to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Those above the threshold chosen in training, per class.
    Auto,
    /// Those above the lower threshold, by F-beta with beta 4.
    Recall,
    /// Those above this score.
    Score(f32),
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Picks, a file of any form that `export` writes; repeats, in pairs with `--truth`. Counts are summed over the pairs.
    #[arg(long, required = true, num_args = 1.., value_name = "PICKS")]
    pub picks: Vec<PathBuf>,
    /// Known positions.
    #[arg(long, required = true, num_args = 1.., value_name = "TRUTH")]
    pub truth: Vec<PathBuf>,
    /// The classes.
    #[arg(long, value_name = "CLASSES.toml")]
    pub classes: PathBuf,
    /// Doubtful positions: neither right nor wrong; one file for all pairs or one a pair.
    #[arg(long, num_args = 1.., value_name = "IGNORE")]
    pub ignore: Vec<PathBuf>,
    /// Only what lies in this box, in voxels, ends not included.
    #[arg(long, value_name = "x0,y0,z0,x1,y1,z1", requires = "spacing", value_parser = parse_box)]
    pub region: Option<crate::geometry::VoxelBox>,
    /// Voxel spacing in angstrom.
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub spacing: Option<f64>,
    /// The tomograms, which give size and spacing, for files that need them (RELION 5, EMAN2); may repeat.
    #[arg(long, num_args = 1.., value_name = "TOMO")]
    pub tomogram: Vec<PathBuf>,
    /// Pixel of the unbinned tilt series in angstrom, for files that count in it and do not say it (RELION 3 and 4, EMAN2).
    #[arg(long, value_name = "A", value_parser = parse_positive)]
    pub tilt_series_pixel: Option<f64>,
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

/// The beginning of a file's name.
fn parse_name(text: &str) -> Result<String, String> {
    match Path::new(text).file_name().is_some_and(|last| last == text) {
        true => Ok(text.to_owned()),
        false => Err("must be a name without a folder; --out gives the folder".to_owned()),
    }
}

fn parse_positive(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value > 0.0)
        .ok_or_else(|| format!("`{text}` is not a positive number"))
}

fn parse_score(text: &str) -> Result<f32, String> {
    text.parse::<f32>().ok().filter(|value| value.is_finite()).ok_or_else(|| format!("`{text}` is not a number"))
}

fn parse_threshold(text: &str) -> Result<Threshold, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Threshold::Auto);
    }
    if text.eq_ignore_ascii_case("recall") {
        return Ok(Threshold::Recall);
    }
    text.parse::<f32>()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .map(Threshold::Score)
        .ok_or_else(|| format!("`{text}` is neither `auto`, `recall` nor a score from 0 to 1"))
}
