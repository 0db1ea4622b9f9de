//! What a tomogram is called after its file.

use std::path::Path;

/// Endings of file names that say the form, in small letters; from the last to those before it.
const ENDINGS: [&str; 11] = [".gz", ".bz2", ".mrc", ".rec", ".map", ".st", ".ali", ".zarr", ".tiff", ".tif", ".ome"];

/// A tomogram's name: that of its file or folder, or of the last part of its address, without the endings that say the form.
///
/// # Example
/// ```
/// use semietpicker::volume::tomogram_name;
///
/// assert_eq!(tomogram_name("/data/TS_001.rec.gz".as_ref()), "TS_001");
/// assert_eq!(tomogram_name("TS_001.ome.tif".as_ref()), "TS_001");
/// ```
pub fn tomogram_name(path: &Path) -> String {
    let mut name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    for ending in ENDINGS {
        let cut = name.len().saturating_sub(ending.len());
        if cut > 0 && name.get(cut..).is_some_and(|tail| tail.eq_ignore_ascii_case(ending)) {
            name.truncate(cut);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_endings_of_all_forms_and_nothing_else() {
        for (path, name) in [
            ("/data/TS_001.rec.gz", "TS_001"),
            ("TS.1.mrc.BZ2", "TS.1"),
            ("a.OME.TIFF", "a"),
            ("/x/b.ome.zarr", "b"),
            ("https://files.example.org/run/c.zarr", "c"),
            (".mrc", ".mrc"),
            ("map", "map"),
            // A letter that has another length in small letters.
            ("\u{130}.mrc", "\u{130}"),
            ("TS_003.10.00Apx.mrc", "TS_003.10.00Apx"),
        ] {
            assert_eq!(tomogram_name(Path::new(path)), name, "{path}");
        }
    }
}
