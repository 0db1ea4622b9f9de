//! The shared fixtures, written by copick, ome-zarr and zarr in Python.

use serde_json::Value;

use crate::volume::describe;
use crate::volume::tests::test_data;

#[test]
fn every_zarr_of_the_manifests_reads_or_fails_as_it_says() {
    let Some(folder) = test_data() else { return };
    let folder = folder.join("formats");
    let mut seen = 0;
    for manifest in ["manifest-ngff.json", "manifest-copick.json"] {
        let manifest: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(manifest)).unwrap()).unwrap();
        for (name, expected) in manifest.as_object().unwrap().iter().filter(|(name, _)| name.ends_with(".zarr")) {
            seen += 1;
            let path = folder.join(name);
            let voxels: Vec<[usize; 3]> = expected["values"].as_array().map_or_else(Vec::new, |values| {
                values.iter().map(|value| std::array::from_fn(|axis| value[axis].as_u64().unwrap() as usize)).collect()
            });
            let result = describe(&path, &voxels);
            if let Some(error) = expected["error"].as_str() {
                let message = result.map(|_| ()).unwrap_err().to_string();
                assert!(message.contains(error), "{name}: {message:?} should say {error:?}");
                assert!(message.ends_with(&path.display().to_string()), "{name}: {message:?} should end with the path");
                continue;
            }
            let description = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            let json = serde_json::to_value(&description).unwrap();
            assert_eq!(json["shape"], expected["shape"], "{name}");
            assert_eq!(json["spacing_angstrom"], expected["spacing_angstrom"], "{name}");
            for (value, expected) in description.values.iter().zip(expected["values"].as_array().unwrap()) {
                assert_eq!(f64::from(value.value), expected[3].as_f64().unwrap(), "{name} at {:?}", value.voxel);
            }
            match expected["warning"].as_str() {
                Some(warning) => {
                    let words = warning.split(':').next().unwrap_or(warning);
                    assert!(description.warnings.iter().any(|w| w.contains(words)), "{name}: {:?}", description.warnings);
                }
                None => assert_eq!(description.warnings, Vec::<String>::new(), "{name}"),
            }
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn the_levels_of_the_fixtures_are_told() {
    let Some(folder) = test_data() else { return };
    let levels = |name: &str| describe(&folder.join("formats").join(name), &[]).unwrap().levels;
    let factors = |name: &str| levels(name).iter().map(|level| level.factor).collect::<Vec<_>>();
    assert_eq!(factors("ngff/v05.zarr"), [[1.0; 3], [2.0; 3]]);
    assert_eq!(factors("ngff/v05-nounit.zarr")[1..3], [[1.0, 2.0, 2.0], [1.0, 4.0, 4.0]]);
    let copick = "copick/ExperimentRuns/TS-001/VoxelSpacing10.000/denoised.zarr";
    assert_eq!(levels(copick).iter().map(|level| level.shape).collect::<Vec<_>>(), [[24, 32, 34], [12, 16, 17], [6, 8, 9]]);
}
