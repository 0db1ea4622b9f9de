//! What programs note in a TIFF file's description: the number of sections and the spacing.
//!
//! ImageJ writes lines `key=value` (its `FileSaver`), microscopes' software an XML text in the OME model (OME-TIFF); a plain TIFF
//! file has a resolution per centimetre or inch at best, and most often one that was made up for printing.

use std::path::Path;

use super::tiff_directory::Stack;
use super::{Fact, PLAUSIBLE_SPACING_ANGSTROM, VolumeError, anisotropy_warning, simplest_decimal};

/// Spacings that a resolution per centimetre or inch is believed to give. Those of screens and printers are far above.
const BELIEVED_ANGSTROM: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
/// Denominator of ImageJ's resolutions, whose numerators are cut to whole numbers.
const IMAGEJ_DENOMINATOR: u32 = 1_000_000;

/// What a description says of the volume.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Edge of a voxel.
    pub(super) spacing_angstrom: Option<f64>,
    /// Images that the file should have.
    pub(super) images: Option<u64>,
    /// Whether ImageJ wrote it, which puts the images of a large stack one after the other without directories.
    pub(super) is_imagej: bool,
}

impl Notes {
    /// Reads the notes of `stack` and adds what was understood to its facts and warnings.
    ///
    /// # Errors
    /// When the pages are of several channels or time points.
    pub(super) fn read(stack: &mut Stack, path: &Path) -> Result<Self, VolumeError> {
        let description = std::mem::take(&mut stack.description);
        if description.starts_with("ImageJ=") {
            imagej(stack, &description, path)
        } else if let Some(pixels) = ome_pixels(&description) {
            ome(stack, pixels, path)
        } else {
            Ok(plain(stack))
        }
    }
}

fn imagej(stack: &mut Stack, description: &str, path: &Path) -> Result<Notes, VolumeError> {
    let value = |key: &str| {
        let mut lines = description.lines().filter_map(|line| line.split_once('='));
        lines.find(|(found, _)| *found == key).map(|(_, value)| value.trim())
    };
    let count = |key: &str| value(key).and_then(|text| text.parse::<u64>().ok()).filter(|count| *count > 0);
    stack.facts.push(Fact::new("description", format!("ImageJ {}", shortened(value("ImageJ").unwrap_or_default()))));
    let [channels, slices, frames] = ["channels", "slices", "frames"].map(|key| count(key).unwrap_or(1));
    one_stack(stack, channels, slices, frames, path)?;
    let mut notes = Notes { images: count("images"), is_imagej: true, ..Notes::default() };
    let Some(unit) = value("unit").filter(|unit| !unit.is_empty()) else {
        unknown(stack, "ImageJ's description has no unit");
        return Ok(notes);
    };
    let Some(unit_angstrom) = angstroms(unit) else {
        unknown(stack, &format!("ImageJ's unit is `{}`, no length", shortened(unit)));
        return Ok(notes);
    };
    let [x, y] = stack.resolution.map(|resolution| resolution.and_then(|pair| units_per_pixel(pair, unit_angstrom)));
    let Some(x) = x else {
        unknown(stack, "the resolution along x is missing");
        return Ok(notes);
    };
    let z = value("spacing")
        .and_then(|text| text.parse::<f64>().ok())
        .map(|units| simplest_decimal((units * unit_angstrom).abs(), 2e-7));
    let numbers = stack.resolution[0].map_or_else(String::new, |[pixels, units]| format!("{pixels}/{units}"));
    let how = format!("resolution {numbers} pixels per {}, ImageJ's unit", shortened(unit));
    notes.spacing_angstrom = accept(stack, [x, y.unwrap_or(x), z.unwrap_or(x)], z.is_some(), &how);
    Ok(notes)
}

fn ome(stack: &mut Stack, pixels: &str, path: &Path) -> Result<Notes, VolumeError> {
    let value = |key: &str| attribute(pixels, key);
    let count = |key: &str| value(key).and_then(|text| text.parse::<u64>().ok()).filter(|count| *count > 0).unwrap_or(1);
    stack.facts.push(Fact::new("description", "OME-XML"));
    let [channels, sections, times] = ["SizeC", "SizeZ", "SizeT"].map(count);
    one_stack(stack, channels, sections, times, path)?;
    let mut notes = Notes { images: channels.checked_mul(sections).and_then(|n| n.checked_mul(times)), ..Notes::default() };
    let size = |axis: &str| {
        // The model's unit where none is given.
        let unit = value(&format!("PhysicalSize{axis}Unit")).unwrap_or("µm");
        Some(value(&format!("PhysicalSize{axis}"))?.parse::<f64>().ok()? * angstroms(unit)?)
    };
    let Some(x) = size("X") else {
        unknown(stack, "the OME-XML has no PhysicalSizeX in a unit of length");
        return Ok(notes);
    };
    let z = size("Z");
    let sizes = [x, size("Y").unwrap_or(x), z.unwrap_or(x)].map(|angstrom| simplest_decimal(angstrom, 2e-7));
    notes.spacing_angstrom = accept(stack, sizes, z.is_some(), "PhysicalSizeX of the OME-XML");
    Ok(notes)
}

fn plain(stack: &mut Stack) -> Notes {
    let (unit_angstrom, unit) = match stack.resolution_unit {
        2 => (2.54e8, "inch"),
        3 => (1e8, "centimetre"),
        _ => (0.0, ""),
    };
    let [x, y] = stack.resolution.map(|resolution| {
        resolution.and_then(|pair| units_per_pixel(pair, unit_angstrom)).filter(|angstrom| BELIEVED_ANGSTROM.contains(angstrom))
    });
    let Some(x) = x else {
        unknown(stack, "the file has no resolution in a unit of length");
        return Notes::default();
    };
    let numbers = stack.resolution[0].map_or_else(String::new, |[pixels, units]| format!("{pixels}/{units}"));
    let how = format!("resolution {numbers} pixels per {unit}");
    Notes { spacing_angstrom: accept(stack, [x, y.unwrap_or(x), x], false, &how), ..Notes::default() }
}

/// Checks spacings along x, y and z and notes how they were found.
fn accept(stack: &mut Stack, spacing: [f64; 3], has_z: bool, how: &str) -> Option<f64> {
    let [x, y, z] = spacing;
    if !PLAUSIBLE_SPACING_ANGSTROM.contains(&x) {
        unknown(stack, &format!("{how}, would be {x} angstrom"));
        return None;
    }
    stack.warnings.extend(anisotropy_warning(spacing));
    let along_z = if has_z { format!("{z}") } else { "not said, taken as along x".to_owned() };
    stack.facts.push(Fact::new("spacing from", format!("{how}: x {x}, y {y}, z {along_z} angstrom")));
    Some(x)
}

fn unknown(stack: &mut Stack, why: &str) {
    stack.warnings.push(format!("spacing unknown, {why}: give the spacing"));
}

/// Refuses several channels and times: their pages are no sections of one volume. A single axis under another name is one.
fn one_stack(stack: &mut Stack, channels: u64, sections: u64, times: u64, path: &Path) -> Result<(), VolumeError> {
    if [channels, sections, times].iter().filter(|count| **count > 1).count() > 1 {
        return Err(VolumeError::Tiff {
            problem: format!("its pages are {channels} channels of {sections} sections at {times} times, not one volume"),
            advice: "save one channel and one time as a stack",
            path: path.to_path_buf(),
        });
    }
    if channels.max(times) > 1 {
        let (count, name) = if channels > 1 { (channels, "channels") } else { (times, "time points") };
        stack.warnings.push(format!("described as {count} {name}: the pages are read as sections along z"));
    }
    Ok(())
}

/// Angstrom per pixel from pixels per unit.
fn units_per_pixel([pixels, units]: [u32; 2], unit_angstrom: f64) -> Option<f64> {
    if pixels == 0 || units == 0 {
        return None;
    }
    let rounding = if units == IMAGEJ_DENOMINATOR { (1.0 / f64::from(pixels)).clamp(2e-7, 5e-5) } else { 2e-7 };
    Some(simplest_decimal(f64::from(units) / f64::from(pixels) * unit_angstrom, rounding))
}

/// A unit of length in angstrom; `None` for a pixel and what is not known.
fn angstroms(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        // As letter, as sign, and composed; and as ImageJ writes what is not ASCII.
        "A" | "\u{c5}" | "\u{212b}" | "A\u{30a}" | "\\u00C5" | "\\u00c5" | "\\u212B" | "\\u212b" => 1.0,
        "nm" => 10.0,
        "um" | "µm" | "μm" | "\\u00B5m" | "\\u00b5m" | "\\u03BCm" | "\\u03bcm" => 1e4,
        "pm" => 0.01,
        "mm" => 1e7,
        "cm" => 1e8,
        "m" => 1e10,
        "in" => 2.54e8,
        word => match word.to_lowercase().trim_end_matches('s') {
            "angstrom" | "ångström" | "ångstrom" => 1.0,
            "nanometer" | "nanometre" => 10.0,
            "micron" | "micrometer" | "micrometre" => 1e4,
            "picometer" | "picometre" => 0.01,
            "millimeter" | "millimetre" => 1e7,
            "centimeter" | "centimetre" => 1e8,
            "meter" | "metre" => 1e10,
            "inch" | "inche" => 2.54e8,
            _ => return None,
        },
    })
}

/// The attributes of the first `Pixels` element of an OME-XML text.
fn ome_pixels(description: &str) -> Option<&str> {
    let start = description.find("<OME").or_else(|| description.find(":OME"))?;
    let text = &description[start..];
    let at = text
        .match_indices("Pixels")
        .map(|(at, _)| at)
        .find(|at| text[..*at].ends_with(['<', ':']) && text[at + "Pixels".len()..].starts_with(char::is_whitespace))?;
    let attributes = &text[at + "Pixels".len()..];
    Some(&attributes[..attributes.find('>').unwrap_or(attributes.len())])
}

/// The value of an attribute.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes.match_indices(name).find_map(|(at, _)| {
        let rest = attributes[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        attributes[..at].ends_with(char::is_whitespace).then(|| rest[1..].split(quote).next()).flatten()
    })
}

/// The beginning of a text of the file, for messages.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_length_in_the_spellings_that_programs_use() {
        for (unit, angstrom) in [("nm", 10.0), ("micron", 1e4), ("µm", 1e4), ("\\u00B5m", 1e4), ("Angstroms", 1.0), ("Å", 1.0)]
        {
            assert_eq!(angstroms(unit), Some(angstrom), "{unit}");
        }
        for unit in ["pixel", "", "M", "NM", "s"] {
            assert_eq!(angstroms(unit), None, "{unit}");
        }
    }

    #[test]
    fn imagejs_cut_resolutions_give_the_number_that_was_typed() {
        for spacing in [10.0, 13.48, 1.0123, 7.84, 21.6] {
            let cut = (1e6 / spacing) as u32;
            assert_eq!(units_per_pixel([cut, 1_000_000], 1.0), Some(spacing));
        }
        assert_eq!(units_per_pixel([10000, 10123], 10.0), Some(10.123));
        assert_eq!(units_per_pixel([10000, 10999], 1.0), Some(1.0999));
        assert_eq!(units_per_pixel([0, 1], 1.0), None);
    }

    #[test]
    fn attributes_are_found_whole() {
        let text = r#"<?xml version="1.0"?><OME xmlns="x"><Image><Pixels ID="P" PhysicalSizeXUnit = "nm" PhysicalSizeX='1.5' SizeZ="3"><A/>"#;
        let pixels = ome_pixels(text).unwrap();
        assert_eq!(attribute(pixels, "PhysicalSizeX"), Some("1.5"));
        assert_eq!(attribute(pixels, "PhysicalSizeXUnit"), Some("nm"));
        assert_eq!(attribute(pixels, "SizeZ"), Some("3"));
        assert_eq!(attribute(pixels, "SizeT"), None);
        assert_eq!(ome_pixels("<OME><PixelsX a='1'>"), None);
    }
}
