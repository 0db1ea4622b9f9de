//! A copick configuration: objects, and where the data lie.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::CopickError;
use super::name::{Notes, broken_rule};

/// Larger configurations are refused.
const LARGEST_BYTES: u64 = 16 << 20;

/// More objects are refused.
const MOST_OBJECTS: usize = 10_000;

/// An object that can be picked or segmented.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PickableObject {
    /// Its name.
    pub name: String,
    /// Whether it is picked as points; otherwise it is segmented.
    pub is_particle: bool,
    /// Its number in segmentations.
    pub label: Option<i64>,
    /// Its colour, RGBA.
    pub colour: Option<[u8; 4]>,
    /// Its radius in angstrom, positive and finite.
    pub radius_angstrom: Option<f64>,
    /// Its identifier in an ontology, such as `GO:0022626`.
    pub identifier: Option<String>,
    /// Its entry in the EMDB.
    pub emdb_id: Option<String>,
    /// Its entry in the PDB.
    pub pdb_id: Option<String>,
}

/// What a copick configuration says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The configuration's file, absolute.
    pub path: PathBuf,
    /// The project's name.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The version of copick's data model.
    pub version: Option<String>,
    /// Under whose name picks are written.
    pub user_id: Option<String>,
    /// The session that the configuration proposes.
    pub session_id: Option<String>,
    /// The objects.
    pub objects: Vec<PickableObject>,
    /// The folder that is written to. A relative one is taken from the configuration's folder (copick itself takes it from the
    /// folder in which it is started).
    pub overlay_root: PathBuf,
    /// A further folder, which is only read.
    pub static_root: Option<PathBuf>,
    /// What had to be assumed, one sentence each.
    pub notes: Vec<String>,
}

/// Whether a file is meant as a copick configuration: JSON with `pickable_objects`, or named `config.json`.
pub fn is_config(path: &Path) -> bool {
    let json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let file = || std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST_BYTES);
    if !json || !file() {
        return false;
    }
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("config.json"))
        || parse(path).is_ok_and(|fields| fields.contains_key("pickable_objects"))
}

/// The copick configuration that a path means: itself, or `config.json` in a folder that holds no project of this program.
pub fn config_at(path: &Path) -> Option<PathBuf> {
    if !path.is_dir() {
        return is_config(path).then(|| path.to_owned());
    }
    let config = path.join("config.json");
    (!path.join("project.json").exists() && parse(&config).is_ok_and(|fields| fields.contains_key("pickable_objects")))
        .then_some(config)
}

fn parse(path: &Path) -> Result<Map<String, Value>, CopickError> {
    let wrong = |message: String| CopickError::Config { message, path: path.to_owned() };
    let metadata = std::fs::metadata(path).map_err(CopickError::read(path))?;
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(wrong("this is not a file: choose the project's config.json".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CopickError::read(path))?;
    file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(CopickError::read(path))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(wrong("the file is larger than 16 MB: choose the project's config.json".to_owned()));
    }
    match serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong("a copick configuration is a JSON object: choose the project's config.json".to_owned())),
        Err(error) => Err(wrong(format!("the configuration is not JSON ({error}): correct it there"))),
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it cannot be read, is not one, leaves out what a project cannot do without, or speaks of data that are not in the
    /// file system.
    pub fn read(path: &Path) -> Result<Self, CopickError> {
        let path = std::path::absolute(path).map_err(CopickError::read(path))?;
        let fields = parse(&path)?;
        let wrong = |message: &str| CopickError::Config { message: message.to_owned(), path: path.clone() };
        let mut notes = Notes::default();
        let Some(objects) = fields.get("pickable_objects") else {
            return Err(wrong("pickable_objects is missing: this is not a copick configuration"));
        };
        match fields.get("config_type").map(|kind| kind.as_str()) {
            None => notes.add("config_type is missing; filesystem is assumed, as copick does"),
            Some(Some("filesystem")) => {}
            Some(kind) => {
                let kind = kind.unwrap_or("not text");
                let message = format!(
                    "config_type is {kind}: only filesystem is read; download the data and make a filesystem project of them"
                );
                return Err(wrong(&message));
            }
        }
        let objects = objects.as_array().ok_or_else(|| wrong("pickable_objects is not a list"))?;
        if objects.len() > MOST_OBJECTS {
            return Err(wrong("pickable_objects has more than 10000 entries"));
        }
        let mut read: Vec<PickableObject> = Vec::with_capacity(objects.len());
        for (index, object) in objects.iter().enumerate() {
            let object = object_of(object, index, &mut notes).map_err(|message| wrong(&message))?;
            if read.iter().any(|other| other.name == object.name) {
                notes.add(format!("the object {:?} is listed twice; the first one counts", object.name));
            } else {
                read.push(object);
            }
        }
        let root = |field: &'static str| match fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                local(text, &path).map(Some).ok_or_else(|| CopickError::Remote { field, root: text.clone(), path: path.clone() })
            }
            Some(_) => Err(wrong(&format!("{field} is not text: give a folder"))),
        };
        let static_root = root("static_root")?;
        let overlay_root = root("overlay_root")?;
        let overlay_root =
            overlay_root.ok_or_else(|| wrong("overlay_root is missing: give the folder that picks are written to"))?;
        let text = |field: &str| text_of(&fields, field);
        let identity = |field: &str, notes: &mut Notes| {
            let name = text(field)?;
            if let Some(reason) = broken_rule(&name) {
                notes.add(format!("{field} {name:?} is not used, copick refuses it: {reason}"));
                return None;
            }
            Some(name)
        };
        let user_id = identity("user_id", &mut notes);
        let session_id = identity("session_id", &mut notes);
        let (name, description, version) = (text("name"), text("description"), text("version"));
        Ok(Self {
            name,
            description,
            version,
            user_id,
            session_id,
            objects: read,
            overlay_root,
            static_root,
            notes: notes.into_list(),
            path,
        })
    }

    /// The name on the screen.
    pub fn title(&self) -> String {
        self.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "copick project".to_owned())
    }

    /// The object `name`.
    pub fn object(&self, name: &str) -> Option<&PickableObject> {
        self.objects.iter().find(|object| object.name == name)
    }
}

fn text_of(fields: &Map<String, Value>, field: &str) -> Option<String> {
    fields.get(field).and_then(Value::as_str).map(str::to_owned)
}

fn object_of(value: &Value, index: usize, notes: &mut Notes) -> Result<PickableObject, String> {
    let fields = value.as_object().ok_or_else(|| format!("entry {} of pickable_objects is not an object", index + 1))?;
    let name =
        text_of(fields, "name").ok_or_else(|| format!("entry {} of pickable_objects has no name: give it one", index + 1))?;
    if let Some(reason) = broken_rule(&name) {
        notes.add(format!("copick refuses the object name {name:?} ({reason}): positions of it cannot be saved there"));
    }
    let is_particle = fields.get("is_particle").and_then(Value::as_bool).unwrap_or_else(|| {
        notes.add(format!("the object {name:?} does not say is_particle; it is taken for one"));
        true
    });
    let given = |field: &str| fields.get(field).filter(|value| !value.is_null());
    let radius_angstrom = given("radius").and_then(Value::as_f64).filter(|radius| radius.is_finite() && *radius > 0.0);
    if radius_angstrom.is_none() && given("radius").is_some() {
        notes.add(format!("the radius of {name:?} is not a positive number and is not used"));
    }
    let colour = given("color").and_then(colour_of);
    if colour.is_none() && given("color").is_some() {
        notes.add(format!("the colour of {name:?} is not a list of four numbers from 0 to 255 and is not used"));
    }
    let identifier = text_of(fields, "identifier").or_else(|| text_of(fields, "go_id"));
    Ok(PickableObject {
        is_particle,
        label: given("label").and_then(Value::as_i64),
        colour,
        radius_angstrom,
        identifier,
        emdb_id: text_of(fields, "emdb_id"),
        pdb_id: text_of(fields, "pdb_id"),
        name,
    })
}

fn colour_of(value: &Value) -> Option<[u8; 4]> {
    let parts = value.as_array()?.iter().map(|part| {
        // The cast is exact: the filter leaves whole numbers of a byte.
        part.as_f64().filter(|part| (0.0..=255.0).contains(part) && part.fract() == 0.0).map(|part| part as u8)
    });
    let mut parts = parts.collect::<Option<Vec<u8>>>()?;
    if parts.len() == 3 {
        parts.push(255);
    }
    parts.try_into().ok()
}

/// The folder that a root of a configuration in `config` stands for; `None` when it is not one of the file system. Spelling as in
/// fsspec: a plain path, or one after `local:`, `local://`, `file:` or `file://`; `~` is the user's own folder.
fn local(root: &str, config: &Path) -> Option<PathBuf> {
    let prefixes = ["local://", "file://", "local:", "file:"];
    let path = prefixes.iter().find_map(|prefix| root.strip_prefix(prefix)).unwrap_or(root);
    if path.contains("://") || path.contains('\0') {
        return None;
    }
    let path = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => home()?.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    };
    let folder = config.parent().unwrap_or(Path::new("."));
    // `.` components vanish; `..` stays, since a link may stand before it.
    Some(folder.join(path).components().collect())
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}
