//! What copick accepts as names, and its voxel spacings.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CopickError;

/// Checks the name of an object, user or session by copick's rule (`copick.util.escape.sanitize_name`, copick 1.31: none of
/// `<>:"/\|?*`, no control characters, spaces or underscores, no dash at either end) and refuses hidden names, which copick skips.
///
/// # Errors
/// Says what the name is of (`what`) and which rule it breaks.
pub fn check_name(what: &'static str, name: &str) -> Result<(), CopickError> {
    match broken_rule(name) {
        Some(reason) => Err(CopickError::Name { what, name: name.to_owned(), reason }),
        None => Ok(()),
    }
}

pub(super) fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.contains('_') {
        Some("underscores separate user, session and object in file names; use dashes")
    } else if name.chars().any(|c| c.is_control() || c.is_whitespace() || "<>:\"/\\|?*".contains(c)) {
        Some("spaces, control characters and < > : \" / \\ | ? * are not allowed; use letters, digits and dashes")
    } else if name.starts_with('-') || name.ends_with('-') {
        Some("it begins or ends with a dash")
    } else if name.starts_with('.') {
        Some("it begins with a dot")
    } else {
        None
    }
}

/// A voxel spacing as copick names its folders by it, `VoxelSpacing10.000`: angstrom to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct VoxelSpacing(u32);

impl VoxelSpacing {
    /// The spacing nearest to `angstrom`; `None` when it is not a number from 0.001 to 1,000,000.
    pub fn new(angstrom: f64) -> Option<Self> {
        let thousandths = (angstrom * 1e3).round();
        // The cast is exact: the range holds whole numbers far below 2^32.
        (1.0..=1e9).contains(&thousandths).then_some(Self(thousandths as u32))
    }

    /// The spacing in angstrom.
    pub fn angstrom(self) -> f64 {
        f64::from(self.0) / 1e3
    }

    /// The spacing of a folder's name.
    pub(super) fn of_folder(name: &str) -> Option<Result<Self, ()>> {
        let number = name.strip_prefix(FOLDER)?;
        Some(number.parse().ok().and_then(Self::new).ok_or(()))
    }

    /// The name of its folder.
    pub(super) fn folder(self) -> String {
        format!("{FOLDER}{self}")
    }
}

/// What the folders of voxel spacings begin with.
const FOLDER: &str = "VoxelSpacing";

impl fmt::Display for VoxelSpacing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3}", self.angstrom())
    }
}

impl TryFrom<f64> for VoxelSpacing {
    type Error = String;

    fn try_from(angstrom: f64) -> Result<Self, String> {
        Self::new(angstrom).ok_or_else(|| format!("{angstrom} is not a voxel spacing in angstrom"))
    }
}

impl From<VoxelSpacing> for f64 {
    fn from(spacing: VoxelSpacing) -> Self {
        spacing.angstrom()
    }
}

/// Who picked, and in which session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// The user or tool.
    pub user: String,
    /// The session; copick's tools use `0`.
    pub session: String,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.user, self.session)
    }
}

impl std::str::FromStr for Source {
    type Err = String;

    /// Reads `USER/SESSION`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((user, session)) if broken_rule(user).is_none() && broken_rule(session).is_none() => {
                Ok(Self { user: user.to_owned(), session: session.to_owned() })
            }
            _ => Err(format!("`{text}` is not a user and a session joined by `/`, such as `jane/1`")),
        }
    }
}

/// Remarks, as many as anybody reads.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<String>,
    more: usize,
}

/// Remarks that are kept word by word.
const MOST_NOTES: usize = 50;

impl Notes {
    pub fn add(&mut self, note: impl Into<String>) {
        if self.list.len() < MOST_NOTES {
            self.list.push(note.into());
        } else {
            self.more += 1;
        }
    }

    pub fn into_list(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more remarks of this kind", self.more));
        }
        self.list
    }
}
