//! Writing labels or picks back as picks of our own user and session, and of nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use super::name::{Notes, broken_rule};
use super::plan::CopickLink;
use super::{Config, CopickError, CopickProject, PicksFile, Source, check_name, tree};
use crate::coordinates::{ExportOptions, ExportPoint, ExportTomogram, Format, export};
use crate::labels::{Class, TomogramId};

/// The user under which picks are written where the configuration names none.
const DEFAULT_USER: &str = "semietpicker";

/// What to write, and as whose.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// Under whose name; copick's rule for names holds ([`check_name`]).
    pub user: String,
    /// In which session; copick keeps `0` for tools.
    pub session: String,
    /// Whether files of this user and session may be replaced.
    pub replace: bool,
    /// The classes that the points speak of.
    pub classes: Vec<Class>,
    /// The tomograms with their points; those that do not come from the copick project are left out.
    pub tomograms: Vec<(TomogramId, ExportTomogram)>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their positions.
    pub positions: usize,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
    /// The link with what was saved added, to be kept under [`super::LINK_SETTING`].
    pub link: CopickLink,
}

/// The user under which picks are written unless another is given.
pub fn own_user(config: &Config) -> &str {
    config.user_id.as_deref().unwrap_or(DEFAULT_USER)
}

/// The first of `PREFIX-1`, `PREFIX-2`, … in which `user` has no picks.
pub fn next_session(project: &CopickProject, user: &str, prefix: &str) -> String {
    let taken = project.sources();
    let free = |session: &String| !taken.contains(&Source { user: user.to_owned(), session: session.clone() });
    (1..=taken.len() + 1).map(|number| format!("{prefix}-{number}")).find(free).unwrap_or_else(|| prefix.to_owned())
}

/// Writes picks into the overlay of the copick project that `link` names, `ExperimentRuns/RUN/Picks/USER_SESSION_OBJECT.json`,
/// all files or none, one for each object in each run that has any labels. Nothing but files of this user and session is written; those that are there already are replaced only when
/// the request allows it, and never while they lie in the static root.
///
/// # Errors
/// When a name breaks copick's rules, when the user is somebody else of the project, when files are in the way, when a folder is a
/// link that leads out of the overlay, when there is nothing to write, or when writing fails.
pub fn save(link: &CopickLink, request: &SaveRequest) -> Result<Saved, CopickError> {
    check_name("a user", &request.user)?;
    check_name("a session", &request.session)?;
    let project = CopickProject::open(&link.config)?;
    let config = project.config();
    let source = Source { user: request.user.clone(), session: request.session.clone() };
    check_user(&project, link, &request.user)?;

    let mut notes = Notes::default();
    let tomograms = tomograms_of(&project, link, request, &mut notes)?;
    let in_runs = |name: &str| tomograms.iter().any(|tomogram| tomogram.name == name);
    let present: Vec<(&str, &PicksFile)> = project
        .runs()
        .iter()
        .filter(|run| in_runs(&run.name))
        .flat_map(|run| run.picks.iter().map(|file| (run.name.as_str(), file)))
        .filter(|(_, file)| file.source == source)
        .collect();
    // What this program has saved there before follows the labels also where none are left.
    let ours = link.saved.contains(&source);
    let before = |run: Option<&str>, object: Option<&str>| {
        let same = |(name, file): &(&str, &PicksFile)| {
            run.is_none_or(|run| run == *name) && object.is_none_or(|object| object == file.object)
        };
        ours && present.iter().any(same)
    };
    let (classes, mut tomograms) =
        listed(config, &request.classes, tomograms.clone(), |object| before(None, Some(object)), &mut notes);
    tomograms.retain(|tomogram| !tomogram.points.is_empty() || before(Some(&tomogram.name), None));
    if tomograms.is_empty() || classes.is_empty() {
        let mut reasons = notes.into_list();
        reasons.push("label or pick particles of the project's objects first".to_owned());
        return Err(CopickError::Nothing(reasons.join("; ")));
    }
    if let Some((_, file)) = present.iter().find(|(_, file)| file.read_only) {
        let message = format!("the static root has picks of {source}, which must not be hidden: choose another session");
        return Err(CopickError::NotOurs { message, path: file.path.clone() });
    }
    if let (Some((_, first)), false) = (present.first(), request.replace) {
        return Err(CopickError::Exists {
            files: present.len(),
            user: source.user,
            session: source.session,
            path: first.path.clone(),
        });
    }
    for tomogram in &tomograms {
        check_folder(config, &tomogram.name)?;
    }
    let options = ExportOptions {
        overwrite: request.replace,
        copick_user: source.user.clone(),
        copick_session: source.session.clone(),
        ..ExportOptions::default()
    };
    let files = export(Format::Copick, &config.overlay_root, &classes, &tomograms, &options)?;
    for (_, file) in present.iter().filter(|(_, file)| !files.contains(&file.path)) {
        notes.add(format!("a file of {source} stays as it is, there is nothing to put into it: {}", file.path.display()));
    }
    let positions = tomograms.iter().map(|tomogram| tomogram.points.len()).sum();
    let mut link = link.clone();
    if !ours {
        link.saved.push(source);
    }
    Ok(Saved { files, positions, notes: notes.into_list(), link })
}

/// Refuses names of other people of the project.
fn check_user(project: &CopickProject, link: &CopickLink, user: &str) -> Result<(), CopickError> {
    let own = own_user(project.config());
    let known = user == own || link.saved.iter().any(|source| source.user == user);
    let others = || project.runs().iter().flat_map(|run| &run.picks).find(|file| file.source.user == user);
    match (!known).then(others).flatten() {
        Some(file) => {
            let message = format!("{user} has picks in the project and is not its user_id: save as {own} or another name");
            Err(CopickError::NotOurs { message, path: file.path.clone() })
        }
        None => Ok(()),
    }
}

/// The tomograms under the names of their runs.
fn tomograms_of(
    project: &CopickProject,
    link: &CopickLink,
    request: &SaveRequest,
    notes: &mut Notes,
) -> Result<Vec<ExportTomogram>, CopickError> {
    let mut tomograms: Vec<ExportTomogram> = Vec::new();
    for (id, tomogram) in &request.tomograms {
        let Some(run) = link.run(*id) else {
            if !tomogram.points.is_empty() {
                notes.add(format!("{} is left out: it does not belong to the copick project", tomogram.name));
            }
            continue;
        };
        // A run of the listing is one folder's name and cannot lead anywhere else.
        if !project.runs().iter().any(|known| known.name == run) {
            let message = format!("the run {run:?} is not in the copick project any more: put it back, or export instead");
            return Err(CopickError::Choice { message, path: link.config.clone() });
        }
        tomograms.push(ExportTomogram { name: run.to_owned(), ..tomogram.clone() });
    }
    Ok(tomograms)
}

/// The classes that the configuration lists and that have points or are `wanted`, and the points of those.
fn listed(
    config: &Config,
    classes: &[Class],
    mut tomograms: Vec<ExportTomogram>,
    wanted: impl Fn(&str) -> bool,
    notes: &mut Notes,
) -> (Vec<Class>, Vec<ExportTomogram>) {
    let mut counts = vec![0_usize; classes.len()];
    for point in tomograms.iter().flat_map(|tomogram| &tomogram.points) {
        if let Some(count) = counts.get_mut(point.class) {
            *count += 1;
        }
    }
    let mut kept = Vec::new();
    let mut indices = Vec::with_capacity(classes.len());
    for (class, count) in classes.iter().zip(counts) {
        let known = config.object(&class.name).is_some() && broken_rule(&class.name).is_none();
        if known && (count > 0 || wanted(&class.name)) {
            indices.push(Some(kept.len()));
            kept.push(class.clone());
            continue;
        }
        indices.push(None);
        if count > 0 {
            notes.add(format!(
                "{count} positions of {:?} are left out: add it to pickable_objects of the configuration first",
                class.name
            ));
        }
    }
    for tomogram in &mut tomograms {
        let of = |point: ExportPoint| indices.get(point.class).copied().flatten().map(|class| ExportPoint { class, ..point });
        tomogram.points = std::mem::take(&mut tomogram.points).into_iter().filter_map(of).collect();
    }
    (kept, tomograms)
}

/// Refuses folders that are links out of the overlay: what is written must stay in it.
fn check_folder(config: &Config, run: &str) -> Result<(), CopickError> {
    let folder = tree::picks_folder(&config.overlay_root, run);
    let Ok(root) = fs::canonicalize(&config.overlay_root) else {
        // It is not there yet and holds no links.
        return Ok(());
    };
    let below = |path: &Path| fs::canonicalize(path).is_ok_and(|target| target.starts_with(&root));
    let steps = folder.ancestors().take_while(|step| *step != config.overlay_root);
    match steps.into_iter().find(|step| step.is_symlink() && !below(step)) {
        Some(step) => Err(CopickError::NotOurs {
            message: "the folder is a link out of the overlay root, nothing is written through it: make it a folder".to_owned(),
            path: step.to_owned(),
        }),
        None => Ok(()),
    }
}
