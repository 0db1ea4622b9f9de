//! From folders to the content of a project.

use super::*;

#[test]
fn the_shared_fixture_is_read_as_its_manifest_says() {
    let data = std::env::var_os("SEMIETPICKER_TEST_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let formats = data.join("formats");
    let Ok(manifest) = fs::read(formats.join("manifest-copick.json")) else {
        println!("skipped: there is no test data at {}", data.display());
        return;
    };
    let manifest: BTreeMap<String, Value> = serde_json::from_slice(&manifest).unwrap();
    let project = CopickProject::open(&formats.join("copick/config.json")).unwrap();
    let suggestion = project.suggest(&Wishes::default()).unwrap();
    assert!(suggestion.open_questions.is_empty());
    let plan = project.plan(&suggestion.choice).unwrap();
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
    assert_eq!(
        plan.classes.iter().map(|class| (class.name.as_str(), class.radius_angstrom, class.colour)).collect::<Vec<_>>(),
        [("ribosome", 150.0, [0, 117, 220]), ("apo-ferritin", 60.0, [220, 117, 0])]
    );
    let mut cases = 0;
    for (path, case) in &manifest {
        let path = formats.join(path);
        if let Some(expected) = case.get("picks_angstrom_xyz") {
            let file = project.runs().iter().flat_map(|run| &run.picks).find(|file| same(&file.path, &path)).unwrap();
            assert_eq!((file.source.to_string().as_str(), file.object.as_str()), ("human/1", "ribosome"));
            let expected: Vec<[f64; 3]> = serde_json::from_value(expected.clone()).unwrap();
            let labels = &plan.tomograms[0].labels;
            assert_eq!(labels.len(), expected.len());
            for ((class, [z, y, x]), expected) in labels.iter().zip(expected) {
                assert_eq!(*class, 0);
                assert!(distance([x * 10.0, y * 10.0, z * 10.0], expected) < 1e-6);
            }
        } else {
            let planned = plan.tomograms.iter().find(|planned| same(&planned.path, &path)).unwrap();
            assert_eq!(json!(planned.shape), case["shape"]);
            let spacing = case["spacing_angstrom"].as_f64().unwrap();
            assert_eq!(suggestion.choice.spacing_angstrom.angstrom(), spacing);
            assert_eq!(planned.spacing_override_angstrom, None, "the volume says it itself");
            let volume = volume::open(&planned.path).unwrap();
            for value in case["values"].as_array().unwrap() {
                let voxel: [usize; 3] = std::array::from_fn(|axis| value[axis].as_u64().unwrap() as usize);
                let mut read = [f32::NAN];
                volume.read_region(0, VoxelBox::new(voxel, voxel.map(|n| n + 1)), &mut read).unwrap();
                assert_eq!(f64::from(read[0]), value[3].as_f64().unwrap(), "{voxel:?}");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, manifest.len());
}

fn same(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).unwrap() == fs::canonicalize(b).unwrap()
}

#[test]
fn a_configuration_says_what_it_says() {
    let made = Made::usual();
    let project = made.open();
    let config = project.config();
    assert_eq!((config.title().as_str(), config.user_id.as_deref()), ("made", Some("jane")));
    assert_eq!((config.description.as_deref(), config.version.as_deref()), (Some("by a test"), Some("1.0.0")));
    let ribosome = config.object("ribosome").unwrap();
    assert_eq!((ribosome.radius_angstrom, ribosome.label, ribosome.colour), (Some(150.0), Some(1), Some([0, 117, 220, 255])));
    assert_eq!((ribosome.identifier.as_deref(), ribosome.emdb_id.as_deref()), (Some("GO:0022626"), Some("EMD-3883")));
    assert!(!config.object("membrane").unwrap().is_particle);
    assert!(project.notes().is_empty(), "{:?}", project.notes());
    assert!(is_config(&made.config()));
    made.write("other.json", r#"{"pickable_objects": []}"#);
    made.write("picks.json", r#"{"points": []}"#);
    assert_eq!(config_at(made.dir.path()), Some(made.config()));
    assert_eq!(config_at(&made.path("overlay")), None);
    assert!(is_config(&made.path("other.json")) && !is_config(&made.path("picks.json")) && !is_config(&made.path("overlay")));
}

#[test]
fn roots_are_paths_of_this_computer() {
    let made = Made::usual();
    let whole = made.path("overlay").display().to_string();
    for root in
        ["overlay", "./overlay/", "local://overlay", "local:overlay", "file://overlay", &whole, &format!("local://{whole}")]
    {
        made.configure(json!({"overlay_root": root}));
        assert_eq!(made.open().runs().len(), 1, "{root}");
    }
    for root in ["s3://bucket/project", "ssh://host/project", "https://host/project", "simplecache::s3://bucket"] {
        made.configure(json!({"static_root": root}));
        let message = made.refused();
        assert!(message.contains("static_root") && message.contains(root) && message.contains("download"), "{message}");
    }
    made.configure(json!({"config_type": "cryoet_data_portal"}));
    assert!(made.refused().contains("only filesystem is read"));
}

#[test]
fn what_is_missing_is_assumed_and_said_or_refused_with_a_reason() {
    let made = Made::usual();
    made.configure(json!({
        "config_type": null, "name": null, "description": null, "version": null, "user_id": "jane_d", "session_id": 5,
        "pickable_objects": [
            {"name": "bare"},
            {"name": "bare", "is_particle": false},
            {"name": "odd", "is_particle": true, "radius": -3, "color": [1, 2], "label": "x"},
            {"name": "two_parts", "is_particle": true, "radius": 50, "color": [1, 2, 3]},
        ],
    }));
    let project = made.open();
    let notes = project.notes().join("\n");
    for expected in [
        "config_type is missing",
        "jane_d",
        "\"bare\" does not say is_particle",
        "\"bare\" is listed twice",
        "radius of \"odd\"",
        "colour of \"odd\"",
        "\"two_parts\"",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    assert_eq!(own_user(project.config()), "semietpicker");
    let plan = plan_with(&project, &[]);
    assert!(plan.notes.iter().any(|note| note.contains("\"bare\" has no radius")), "{:?}", plan.notes);
    assert_eq!(plan.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["bare", "odd", "two_parts"]);
    assert_eq!(plan.classes[2].colour, [1, 2, 3]);

    for (changes, expected) in [
        (json!({"pickable_objects": null}), "pickable_objects is missing"),
        (json!({"pickable_objects": 3}), "not a list"),
        (json!({"pickable_objects": [3]}), "entry 1"),
        (json!({"pickable_objects": [{"is_particle": true}]}), "has no name"),
        (json!({"overlay_root": null}), "overlay_root is missing"),
        (json!({"overlay_root": 5}), "overlay_root is not text"),
        (json!({"overlay_root": "nowhere"}), "no folder ExperimentRuns"),
    ] {
        made.configure(changes);
        let message = made.refused();
        assert!(message.contains(expected) && message.ends_with("config.json"), "{message}");
    }
    for broken in ["", "{", "[]", "{\"pickable_objects\": [}", &"[".repeat(100_000)] {
        made.write("config.json", broken);
        assert!(made.refused().ends_with("config.json"));
    }
}

#[test]
fn a_configuration_cut_or_spoilt_anywhere_gives_an_answer() {
    let made = Made::usual();
    let whole = fs::read(made.config()).unwrap();
    for length in 0..whole.len() {
        fs::write(made.config(), &whole[..length]).unwrap();
        assert!(CopickProject::open(&made.config()).is_err(), "cut after {length}");
    }
    for at in 0..whole.len() {
        for byte in [b'"', 0xff] {
            let mut spoilt = whole.clone();
            spoilt[at] = byte;
            fs::write(made.config(), &spoilt).unwrap();
            // Either is right; what matters is that an answer comes.
            let _ = Config::read(&made.config());
        }
    }
}

#[test]
fn users_and_sessions_are_listed_with_counts_and_chosen_ones_become_labels() {
    let made = Made::usual();
    made.picks("overlay", "TS_1", "jane_2_apo-ferritin", &[[50.0, 50.0, 50.0]]);
    made.picks("overlay", "TS_1", "pytom_0_ribosome", &[[11.0, 20.0, 30.0], [100.0, 100.0, 100.0], [390.0, 290.0, 190.0]]);
    made.tomogram("overlay/ExperimentRuns/TS_2/VoxelSpacing10.000/wbp.zarr", [20, 30, 40], Some(10.0));
    made.picks("overlay", "TS_2", "pytom_0_ribosome", &[[1.0, 2.0, 3.0]]);
    let project = made.open();
    let counts: Vec<_> =
        project.counts().into_iter().map(|c| (c.source.to_string(), c.runs, c.files, c.total(), c.uncounted)).collect();
    let expected = [("jane/1", 1, 1, 2), ("jane/2", 1, 1, 1), ("pytom/0", 2, 2, 4)];
    assert_eq!(counts, expected.map(|(source, runs, files, total)| (source.to_owned(), runs, files, total, 0)));

    let suggestion = project.suggest(&Wishes::default()).unwrap();
    assert_eq!(suggestion.open_questions, ["picks"]);
    assert_eq!(suggestion.choice.sources, [source("jane/1"), source("jane/2")], "the configuration's own user");
    let labels = |plan: &Plan| plan.tomograms.iter().map(|planned| planned.labels.len()).collect::<Vec<_>>();
    assert_eq!(labels(&plan_with(&project, &["jane/1"])), [2, 0]);
    assert_eq!(labels(&plan_with(&project, &[])), [0, 0]);
    // One ribosome was picked by both, an angstrom apart: it becomes one label.
    let both = plan_with(&project, &["jane/1", "pytom/0"]);
    assert_eq!(labels(&both), [4, 1]);
    assert!(both.notes.iter().any(|note| note.starts_with("1 picks are left out: another")), "{:?}", both.notes);
    assert_eq!(both.tomograms[0].labels[0], (0, [3.0, 2.0, 1.0]));

    let wishes = Wishes { picks: Some(vec![source("nobody/1")]), ..Wishes::default() };
    let message = project.suggest(&wishes).unwrap_err().to_string();
    assert!(message.contains("nobody/1") && message.contains("jane/1, jane/2, pytom/0"), "{message}");
}

#[test]
fn several_spacings_and_types_are_a_question_unless_they_are_given() {
    let made = Made::usual();
    for place in ["VoxelSpacing10.000/denoised", "VoxelSpacing5.005/wbp", "VoxelSpacing10.000/wbp_cellmap_features"] {
        made.tomogram(&format!("overlay/ExperimentRuns/TS_1/{place}.zarr"), [4, 4, 4], Some(10.0));
    }
    made.write("overlay/ExperimentRuns/TS_1/VoxelSpacingten/readme.txt", "");
    made.write("overlay/ExperimentRuns/TS_1/Segmentations/10.000_jane_1_membrane.zarr/.zgroup", "{}");
    let project = made.open();
    let grids: Vec<String> = project.grids().iter().map(Grid::to_string).collect();
    assert_eq!(grids, ["denoised at 10.000 Å", "wbp at 10.000 Å", "wbp at 5.005 Å"]);
    assert!(project.notes()[0].contains("VoxelSpacingten"), "{:?}", project.notes());
    let suggest = |voxel_spacing, tomo_type: Option<&str>| {
        let wishes = Wishes { voxel_spacing, tomo_type: tomo_type.map(str::to_owned), picks: None };
        project.suggest(&wishes).map(|suggestion| {
            let choice = suggestion.choice;
            (choice.spacing_angstrom.to_string(), choice.tomo_type, suggestion.open_questions)
        })
    };
    assert_eq!(suggest(None, None).unwrap(), ("10.000".into(), "denoised".into(), vec!["voxel spacing", "type of tomogram"]));
    assert_eq!(suggest(Some(10.0), None).unwrap(), ("10.000".into(), "denoised".into(), vec!["type of tomogram"]));
    assert_eq!(suggest(None, Some("wbp")).unwrap(), ("10.000".into(), "wbp".into(), vec!["voxel spacing"]));
    assert_eq!(suggest(Some(5.005), None).unwrap(), ("5.005".into(), "wbp".into(), vec![]));
    let message = suggest(Some(7.0), None).unwrap_err().to_string();
    assert!(message.contains("choose one of denoised at 10.000 Å, wbp at 10.000 Å, wbp at 5.005 Å"), "{message}");
}

#[test]
fn the_overlay_goes_before_the_static_root() {
    let made = Made::usual();
    made.configure(json!({"static_root": "local://static"}));
    made.tomogram("static/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr", [2, 2, 2], Some(10.0));
    made.tomogram("static/ExperimentRuns/TS_1/VoxelSpacing10.000/raw.zarr", [20, 30, 40], Some(10.0));
    made.tomogram("static/ExperimentRuns/TS_0/VoxelSpacing10.000/wbp.zarr", [20, 30, 40], Some(10.0));
    made.picks("static", "TS_1", "jane_1_ribosome", &[[0.0, 0.0, 0.0]]);
    made.picks("static", "TS_1", "tool_0_ribosome", &[[0.0, 0.0, 0.0]]);
    let project = made.open();
    let names: Vec<&str> = project.runs().iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["TS_0", "TS_1"]);
    let run = &project.runs()[1];
    assert_eq!(run.tomograms.len(), 2);
    assert_eq!(
        run.picks.iter().map(|file| (file.source.to_string(), file.read_only)).collect::<Vec<_>>(),
        [("jane/1".to_owned(), false), ("tool/0".to_owned(), true)]
    );
    let plan = plan_with(&project, &["jane/1"]);
    assert_eq!((plan.tomograms[1].shape, plan.tomograms[1].labels.len()), ([20, 30, 40], 2));

    // The same folder named twice is one root, which may be written to.
    made.configure(json!({"static_root": made.path("overlay")}));
    assert!(!made.open().runs()[0].picks[0].read_only);
}

#[test]
fn a_project_without_an_overlay_yet_opens() {
    let made = Made::usual();
    fs::rename(made.path("overlay"), made.path("static")).unwrap();
    made.configure(json!({"static_root": "static"}));
    assert!(made.open().runs()[0].picks[0].read_only);
}

#[test]
fn names_that_copick_does_not_read_are_left_out() {
    let made = Made::usual();
    for name in ["jane_1", "jane_d_1_ribosome", "_1_ribosome", "ribosome"] {
        made.write(&format!("overlay/ExperimentRuns/TS_1/Picks/{name}.json"), "{}");
    }
    made.write("overlay/ExperimentRuns/TS_1/Picks/.jane_1_hidden.json", "{}");
    made.write("overlay/ExperimentRuns/TS_1/Picks/notes.txt", "");
    made.write("overlay/ExperimentRuns/.hidden/Picks/a_1_ribosome.json", "{}");
    made.write("overlay/ExperimentRuns/file", "");
    let project = made.open();
    assert_eq!((project.runs().len(), project.runs()[0].picks.len()), (1, 1));
    assert_eq!(project.notes().len(), 4, "{:?}", project.notes());
}

#[test]
fn picks_that_cannot_become_labels_are_reported() {
    let made = Made::usual();
    made.picks("overlay", "TS_1", "jane_1_virus", &[[10.0, 10.0, 10.0], [20.0, 10.0, 10.0]]);
    made.picks("overlay", "TS_1", "jane_1_membrane", &[[10.0, 10.0, 10.0]]);
    made.picks("overlay", "TS_1", "jane_1_apo-ferritin", &[[10.0, 10.0, 10.0], [401.0, 10.0, 10.0], [-20.0, 1.0, 1.0]]);
    made.write("overlay/ExperimentRuns/TS_1/Picks/jane_2_ribosome.json", "{\"points\": [");
    let project = made.open();
    assert_eq!(project.counts()[1].uncounted, 1);
    let plan = plan_with(&project, &["jane/1", "jane/2"]);
    assert_eq!(plan.labels(), 3);
    let notes = plan.notes.join("\n");
    for expected in [
        "2 picks of \"virus\"",
        "1 picks of \"membrane\"",
        "2 picks of TS_1 are left out: they lie outside",
        "jane_2_ribosome.json",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
}

#[test]
fn a_shift_of_the_transform_belongs_to_the_position() {
    let made = Made::usual();
    let content = json!({"pickable_object_name": "ribosome", "user_id": "relion", "session_id": "1", "points": [
        {"location": {"x": 10.0, "y": 20.0, "z": 30.0},
         "transformation_": [[0.0, 1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -4.0], [0.0, 0.0, -1.0, 3.0], [0.0, 0.0, 0.0, 1.0]]},
    ]});
    made.write("overlay/ExperimentRuns/TS_1/Picks/relion_1_ribosome.json", &content.to_string());
    let plan = plan_with(&made.open(), &["relion/1"]);
    assert!(distance(plan.tomograms[0].labels[0].1, [3.3, 1.6, 1.5]) < 1e-9, "{:?}", plan.tomograms[0].labels);
}

#[test]
fn runs_without_the_chosen_tomogram_or_with_a_damaged_one_are_left_out() {
    let made = Made::usual();
    made.tomogram("overlay/ExperimentRuns/TS_2/VoxelSpacing10.000/other.zarr", [4, 4, 4], Some(10.0));
    made.write("overlay/ExperimentRuns/TS_3/VoxelSpacing10.000/wbp.zarr/.zattrs", "{");
    made.tomogram("overlay/ExperimentRuns/TS_4/VoxelSpacing10.000/wbp.zarr", [4, 4, 4], Some(20.0));
    made.tomogram("overlay/ExperimentRuns/TS_5/VoxelSpacing10.000/wbp.zarr", [4, 4, 4], Some(10.0));
    let project = made.open();
    let mut choice = project.suggest(&Wishes { tomo_type: Some("wbp".to_owned()), ..Wishes::default() }).unwrap().choice;
    let plan = project.plan(&choice).unwrap();
    let taken: Vec<_> = plan.tomograms.iter().map(|planned| (planned.run.as_str(), planned.spacing_override_angstrom)).collect();
    assert_eq!(taken, [("TS_1", None), ("TS_4", Some(10.0)), ("TS_5", None)]);
    let notes = plan.notes.join("\n");
    for expected in ["TS_3 is left out", "1 runs are left out", "TS_4: the volume says 20 Å"] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    choice.runs = Some(["TS_5".to_owned(), "TS_2".to_owned()].into());
    assert_eq!(project.plan(&choice).unwrap().tomograms.len(), 1);
    choice.runs = Some(["TS_2".to_owned()].into());
    assert!(project.plan(&choice).unwrap_err().to_string().contains("wbp at 10.000 Å"));
}

#[cfg(unix)]
#[test]
fn links_stay_inside_the_roots() {
    use std::os::unix::fs::symlink;
    let made = Made::usual();
    let outside = Made::usual();
    let runs = made.path("overlay/ExperimentRuns");
    let theirs = outside.path("overlay/ExperimentRuns/TS_1");
    symlink(&theirs, runs.join("away")).unwrap();
    symlink("../../../../../../../../etc", runs.join("up")).unwrap();
    symlink("nowhere", runs.join("broken")).unwrap();
    symlink("round", runs.join("round")).unwrap();
    symlink(theirs.join("Picks/jane_1_ribosome.json"), runs.join("TS_1/Picks/eve_1_ribosome.json")).unwrap();
    symlink(theirs.join("VoxelSpacing10.000/wbp.zarr"), runs.join("TS_1/VoxelSpacing10.000/eve.zarr")).unwrap();
    symlink(theirs.join("VoxelSpacing10.000"), runs.join("TS_1/VoxelSpacing20.000")).unwrap();
    // Within the project a link is as good as a folder.
    symlink("TS_1", runs.join("TS_1b")).unwrap();
    let project = made.open();
    let names: Vec<&str> = project.runs().iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["TS_1", "TS_1b"]);
    assert_eq!((project.runs()[0].picks.len(), project.runs()[0].tomograms.len()), (1, 1));
    let links = project.notes().iter().filter(|note| note.contains("a link is left out")).count();
    // Three in the run, which is listed a second time under its other name, and four beside it.
    assert_eq!(links, 4 + 3 + 3, "{:?}", project.notes());

    fs::rename(&runs, made.path("overlay/kept")).unwrap();
    symlink(outside.path("overlay/ExperimentRuns"), &runs).unwrap();
    assert!(made.refused().contains("no folder ExperimentRuns"));
}

#[test]
fn a_project_remembers_where_it_comes_from() {
    let made = Made::usual();
    made.tomogram("overlay/ExperimentRuns/TS_0/VoxelSpacing10.000/wbp.zarr", [8, 8, 8], None);
    let plan = plan_with(&made.open(), &["jane/1"]);
    let (dir, project) = filled(&plan);
    drop(project);
    let project = Project::open(&dir.path().join("p")).unwrap();
    assert_eq!(project.name(), "made");
    let names: Vec<_> = project.tomograms().iter().map(|entry| (entry.name.as_str(), entry.spacing_angstrom)).collect();
    assert_eq!(names, [("TS_0", Some(10.0)), ("TS_1", None)]);
    let ribosome = project.annotations().class_named("ribosome").unwrap().id;
    let labels = project.annotations().labels(project.tomograms()[1].id).unwrap();
    assert_eq!(labels.particles(ribosome).collect::<Vec<_>>(), [[3.0, 2.0, 1.0], [10.0, 20.0, 30.0]]);
    let link: CopickLink = project.setting(LINK_SETTING).unwrap();
    assert_eq!(link.config, made.config());
    assert_eq!((link.choice.tomo_type.as_str(), link.choice.spacing_angstrom.angstrom()), ("wbp", 10.0));
    assert_eq!(link.choice.sources, [source("jane/1")]);
    assert_eq!(project.tomograms().iter().map(|entry| link.run(entry.id).unwrap()).collect::<Vec<_>>(), ["TS_0", "TS_1"]);
}

#[test]
fn names_follow_copicks_rule() {
    for good in ["jane", "labels-1", "0", "a.b", "Å"] {
        assert!(check_name("a user", good).is_ok(), "{good}");
    }
    for bad in ["", "a_b", "a b", "a/b", "..", ".a", "-a", "a-", "a\nb", "a:b", "a*"] {
        assert!(check_name("a user", bad).is_err(), "{bad:?}");
    }
    assert!("jane".parse::<Source>().is_err() && "a/b/c".parse::<Source>().is_err());
    assert_eq!(VoxelSpacing::new(13.48).unwrap().to_string(), "13.480");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(VoxelSpacing::new(bad), None);
    }
}
