//! Names of the files of an export: such as every system can hold, and each file its own.

use std::collections::BTreeSet;

use super::CoordinateError;

/// Longer file names are refused; most file systems end at 255 bytes, and programs add to the names that they read.
const LONGEST_BYTES: usize = 200;

/// Names that Windows keeps for devices, whatever ending follows.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The names given so far; two that differ in upper and lower case alone are one file on Windows and macOS.
#[derive(Default)]
pub(super) struct FileNames {
    taken: BTreeSet<String>,
}

impl FileNames {
    /// The `names`, each with what it is the name of, joined by `_`, with `ending` after them.
    ///
    /// # Errors
    /// When a name cannot be part of a file's name, or when another one has become the same file.
    pub fn give(&mut self, names: &[(&'static str, &str)], ending: &str) -> Result<String, CoordinateError> {
        let joined = names.iter().map(|(_, name)| *name).collect::<Vec<_>>().join("_");
        let file = format!("{joined}{ending}");
        for (what, name) in names {
            if let Some(reason) = unfit(name) {
                return Err(CoordinateError::name(what, name, reason));
            }
        }
        // What is wrong with the whole is said of the whole, unless it is one name.
        let (what, name) = if let [single] = names { *single } else { ("file", file.as_str()) };
        let lower = file.to_lowercase();
        let stem = lower.split('.').next().unwrap_or_default();
        let reason = if stem.is_empty() {
            "it becomes the name of a file, which would be hidden or empty"
        } else if file.ends_with(['.', ' ']) {
            "it becomes the name of a file, and Windows has none that end with a point or space"
        } else if DEVICES.contains(&stem) {
            "it becomes the name of a file, and Windows keeps it for a device"
        } else if file.len() > LONGEST_BYTES {
            "it becomes the name of a file, for which it is too long"
        } else if !self.taken.insert(lower) {
            "another name has become the same file; upper and lower case are one on some systems"
        } else {
            return Ok(file);
        };
        Err(CoordinateError::name(what, name, reason))
    }
}

/// Why a name cannot be part of a file's name.
fn unfit(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it becomes the name of a file and is empty")
    } else if name.contains(['/', '\\', '<', '>', ':', '"', '|', '?', '*']) {
        Some("it becomes the name of a file, which cannot have any of / \\ < > : \" | ? *")
    } else if name.chars().any(char::is_control) {
        Some("it becomes the name of a file and has a line break or another control character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_file_can_have_are_refused_with_the_reason() {
        let refused = [
            ("", "empty"),
            ("..", "hidden"),
            (".hidden", "hidden"),
            ("a/b", "cannot have any of /"),
            ("a:b", "cannot have any of /"),
            ("a\nb", "control character"),
            ("CON", "device"),
            ("lpt1", "device"),
            ("x.", "point or space"),
            ("x ", "point or space"),
        ];
        for (name, reason) in refused {
            let message = FileNames::default().give(&[("class", name)], "").unwrap_err().to_string();
            assert!(message.contains(reason), "{name:?}: {message}");
            assert!(message.contains("class name") && message.ends_with("rename it"), "{message}");
        }
        assert!(FileNames::default().give(&[("class", &"é".repeat(101))], "").unwrap_err().to_string().contains("too long"));
        for name in ["80S ribosome", "é", "001", "TS_1.rec", "console", "a#b", "ω-3"] {
            assert_eq!(FileNames::default().give(&[("class", name)], ".x").unwrap(), format!("{name}.x"));
        }
    }

    #[test]
    fn two_names_never_become_one_file() {
        let mut names = FileNames::default();
        assert_eq!(names.give(&[("tomogram", "a"), ("class", "b_c")], ".x").unwrap(), "a_b_c.x");
        assert!(names.give(&[("tomogram", "a_b"), ("class", "c")], ".x").unwrap_err().to_string().contains("\"a_b_c.x\""));
        assert!(names.give(&[("tomogram", "A"), ("class", "B_c")], ".x").is_err());
        names.give(&[("tomogram", "a"), ("class", "b_c")], ".y").unwrap();
    }
}
