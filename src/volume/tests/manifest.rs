//! The small volumes of the test data, good and bad, and what a reader must make of each.

use serde_json::Value;

use super::super::{describe, open};
use super::test_data;

#[test]
fn every_mrc_and_tiff_file_of_the_manifest_reads_or_fails_as_it_says() {
    let Some(folder) = test_data() else { return };
    let folder = folder.join("formats");
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    let mut seen = 0;
    for (name, expected) in
        manifest.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("mrc/") || name.starts_with("tiff/"))
    {
        seen += 1;
        let path = folder.join(name);
        let voxels: Vec<[usize; 3]> = expected["values"].as_array().map_or_else(Vec::new, |values| {
            values.iter().map(|value| std::array::from_fn(|axis| value[axis].as_u64().unwrap() as usize)).collect()
        });
        let result = describe(&path, &voxels);
        if let Some(error) = expected["error"].as_str() {
            let message = result.map(|_| ()).unwrap_err().to_string();
            // The manifest's words, up to the remark that follows a semicolon.
            let words = error.split(';').next().unwrap_or(error);
            assert!(message.contains(words), "{name}: {message:?} should say {words:?}");
            assert!(message.ends_with(&path.display().to_string()), "{name}: {message:?} should end with the path");
            continue;
        }
        let description = result.unwrap_or_else(|error| panic!("{name}: {error}"));
        let json = serde_json::to_value(&description).unwrap();
        assert_eq!(json["shape"], expected["shape"], "{name}");
        match expected["spacing_angstrom"].as_f64() {
            Some(spacing) => assert!((json["spacing_angstrom"].as_f64().unwrap() - spacing).abs() < 1e-6, "{name}"),
            None => assert!(json["spacing_angstrom"].is_null(), "{name}"),
        }
        for (value, expected) in description.values.iter().zip(expected["values"].as_array().unwrap()) {
            assert_eq!(f64::from(value.value), expected[3].as_f64().unwrap(), "{name} at {:?}", value.voxel);
        }
        match expected["warning"].as_str() {
            Some(warning) => {
                // Its words without the advice to ask for the spacing, which is the program's and not the reader's to do.
                let words = warning.split(':').next().unwrap_or(warning);
                assert!(description.warnings.iter().any(|w| w.contains(words)), "{name}: {:?}: {words}", description.warnings);
            }
            None => {
                // An unknown spacing is always told, also where the manifest says it by the spacing alone.
                let unknown =
                    |warning: &&String| description.spacing_angstrom.is_none() && warning.starts_with("spacing unknown");
                let others: Vec<&String> = description.warnings.iter().filter(|warning| !unknown(warning)).collect();
                assert!(others.is_empty(), "{name}: {others:?}");
            }
        }
    }
    assert!(seen >= 37, "{seen} cases");
}

#[test]
fn the_header_statistics_of_real_and_simulated_volumes_agree_with_ours() {
    let Some(folder) = test_data() else { return };
    for (name, shape, data_type) in
        [("apoferritin/apoferritin.mrc", [79, 240, 348], "int8"), ("phantom/labelled-1.mrc", [72, 208, 208], "float16")]
    {
        let path = folder.join(name);
        let header = std::fs::read(&path).unwrap();
        let float = |offset: usize| f64::from(f32::from_le_bytes(header[offset..offset + 4].try_into().unwrap()));
        let description = describe(&path, &[]).unwrap();
        assert_eq!((description.shape, description.data_type.as_str()), (shape, data_type));
        assert_eq!(description.spacing_angstrom, Some(10.0));
        assert_eq!((f64::from(description.min), f64::from(description.max)), (float(76), float(80)), "{name}");
        assert!((description.mean - float(84)).abs() < 1e-3 * description.std, "{name}");
        assert!((description.std / float(216) - 1.0).abs() < 1e-3, "{name}");
    }
}

#[test]
fn a_normalisation_of_ordinary_data_is_near_plain_mean_and_deviation() {
    let Some(folder) = test_data() else { return };
    for name in ["phantom/labelled-1.mrc", "phantom/test-2.mrc"] {
        let source = open(&folder.join(name)).unwrap();
        let statistics = super::super::Statistics::of(source.as_ref()).unwrap();
        let normalisation = super::super::Normalisation::of(source.as_ref()).unwrap();
        assert!((f64::from(normalisation.mean) - statistics.mean).abs() < 0.01 * statistics.std, "{name}");
        assert!((f64::from(normalisation.deviation) / statistics.std - 1.0).abs() < 0.015, "{name}: {normalisation:?}");
    }
}
