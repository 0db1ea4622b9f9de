//! What the readers of text share.

use std::path::Path;

use super::{CoordinateError, ReadOptions};

/// The text of a file without a byte-order mark.
///
/// # Errors
/// When it is not UTF-8.
pub(super) fn of<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, CoordinateError> {
    let content = |message: &str| CoordinateError::Content { path: path.to_owned(), message: message.to_owned() };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(content("the file is UTF-16: save it as UTF-8 (\"CSV UTF-8\" in a spreadsheet)"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| content("the file is not UTF-8 text: save it as UTF-8 (\"CSV UTF-8\" in a spreadsheet)"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The lines of a text with their numbers from 1; a line ends with LF, CR LF, or a CR alone.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let mut rest = Some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        number += 1;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some((number, text));
        };
        let (line, after) = text.split_at(end);
        let ending = if after.starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&after[ending..]);
        Some((number, line))
    })
}

/// The class of positions in a file without classes: the one that the user says, or else the file's own name, which `notes` then
/// says.
pub(super) fn class_of_file(options: &ReadOptions, path: &Path, notes: &mut Vec<String>) -> String {
    if let Some(class) = options.class.as_deref().map(str::trim).filter(|class| !class.is_empty()) {
        return class.to_owned();
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().trim().to_owned()).unwrap_or_default();
    let class = if stem.is_empty() { "particle".to_owned() } else { stem };
    notes.push(format!("the file does not say the class: its name {class:?} stands for it"));
    class
}

/// `text` as a finite number, or what is wrong with it.
pub(super) fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(format!("{text:?} is not finite: give a number or remove the line")),
        Err(_) if text.contains(',') => Err(format!("{text:?} is not a number: write it with a decimal point, such as 123.4")),
        Err(_) => Err(format!("{text:?} is not a number: write it as 123.4")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        let found: Vec<_> = lines("a\r\nb\rc\n\nd").collect();
        assert_eq!(found, [(1, "a"), (2, "b"), (3, "c"), (4, ""), (5, "d")]);
        assert_eq!(lines("").collect::<Vec<_>>(), [(1, "")]);
    }
}
