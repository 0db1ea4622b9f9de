//! What is written back, and what is never written.

use super::*;

fn request(project: &Project, session: &str) -> SaveRequest {
    let annotations = project.annotations();
    let tomograms = project.tomograms().iter().map(|entry| {
        let points = annotations.labels(entry.id).into_iter().flat_map(|labels| labels.points.values());
        let points = points.filter_map(|point| match point.kind {
            PointKind::Particle(class) => {
                Some(ExportPoint { class: annotations.class_index(class)?, position: point.position, score: None, source: None })
            }
            PointKind::Negative => None,
        });
        let tomogram = ExportTomogram {
            // Another name on the screen does not matter: the run decides.
            name: format!("shown {}", entry.name),
            shape: entry.shape,
            spacing_angstrom: Some(10.0),
            points: points.collect(),
        };
        (entry.id, tomogram)
    });
    SaveRequest {
        user: "jane".to_owned(),
        session: session.to_owned(),
        replace: false,
        classes: annotations.classes.clone(),
        tomograms: tomograms.collect(),
    }
}

fn link_of(project: &Project) -> CopickLink {
    project.setting(LINK_SETTING).unwrap()
}

#[test]
fn labels_come_back_as_they_were_saved() {
    let made = Made::usual();
    made.picks("overlay", "TS_1", "tool_0_apo-ferritin", &[[123.4567, 98.7654, 11.1111]]);
    let before = made.files(".");
    let (_dir, project) = filled(&plan_with(&made.open(), &["jane/1", "tool/0"]));
    let saved = save(&link_of(&project), &request(&project, "labels-1")).unwrap();
    assert_eq!((saved.positions, saved.files.len()), (3, 2));
    assert!(saved.notes.is_empty(), "{:?}", saved.notes);
    assert_eq!(saved.link.saved, [source("jane/labels-1")]);

    // Nothing else was touched.
    let after = made.files(".");
    let new: Vec<&PathBuf> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    let folder = Path::new("overlay/ExperimentRuns/TS_1/Picks");
    assert_eq!(new, [&folder.join("jane_labels-1_apo-ferritin.json"), &folder.join("jane_labels-1_ribosome.json")]);
    assert!(before.iter().all(|(path, content)| after[path] == *content));
    let content: Value = serde_json::from_slice(&after[new[1]]).unwrap();
    for (field, expected) in
        [("pickable_object_name", "ribosome"), ("user_id", "jane"), ("session_id", "labels-1"), ("unit", "angstrom")]
    {
        assert_eq!(content[field], expected);
    }

    let again = plan_with(&made.open(), &["jane/labels-1"]);
    let mut labels = again.tomograms[0].labels.clone();
    labels.sort_by_key(|(class, _)| *class);
    let expected = [(0, [3.0, 2.0, 1.0]), (0, [10.0, 20.0, 30.0]), (1, [1.11111, 9.87654, 12.34567])];
    assert_eq!(labels.len(), expected.len());
    for (label, expected) in labels.iter().zip(expected) {
        assert!(label.0 == expected.0 && distance(label.1, expected.1) < 1e-4, "{label:?} {expected:?}");
    }
}

#[test]
fn an_export_into_the_overlay_writes_the_same_files() {
    let made = Made::usual();
    let (_dir, project) = filled(&plan_with(&made.open(), &["jane/1"]));
    let request = request(&project, "labels-1");
    let saved = save(&link_of(&project), &request).unwrap();
    let exported = tempfile::tempdir().unwrap();
    let options =
        ExportOptions { copick_user: "jane".to_owned(), copick_session: "labels-1".to_owned(), ..ExportOptions::default() };
    let tomograms: Vec<_> =
        request.tomograms.into_iter().map(|(_, tomogram)| ExportTomogram { name: "TS_1".to_owned(), ..tomogram }).collect();
    export(Format::Copick, exported.path(), &request.classes, &tomograms, &options).unwrap();
    for file in &saved.files {
        let relative = file.strip_prefix(made.path("overlay")).unwrap();
        assert_eq!(fs::read(exported.path().join(relative)).unwrap(), fs::read(file).unwrap(), "{}", relative.display());
    }
}

#[test]
fn files_of_the_same_session_are_replaced_by_consent_alone() {
    let made = Made::usual();
    let (_dir, mut project) = filled(&plan_with(&made.open(), &["jane/1"]));
    let mut first = request(&project, "labels-1");
    let link = save(&link_of(&project), &first).unwrap().link;
    assert_eq!(next_session(&made.open(), "jane", "labels"), "labels-2");
    assert_eq!(next_session(&made.open(), "other", "labels"), "labels-1");
    let before = made.files(".");
    let error = save(&link, &first).unwrap_err();
    assert!(matches!(&error, CopickError::Exists { files: 1, .. }), "{error}");
    assert_eq!(made.files("."), before);

    // All ribosomes go, a ferritin comes: after the consent the session holds exactly that.
    let class = project.annotations().class_named("apo-ferritin").unwrap().id;
    let id = project.tomograms()[0].id;
    let edit = project.annotations().clear_tomogram_edit(id);
    project.perform(edit).unwrap();
    let edit = project.import_edit(id, [([1.0, 2.0, 3.0], PointKind::Particle(class))]);
    project.perform(edit).unwrap();
    first = SaveRequest { replace: true, ..request(&project, "labels-1") };
    let saved = save(&link, &first).unwrap();
    assert_eq!(saved.positions, 1);
    assert_eq!(plan_with(&made.open(), &["jane/labels-1"]).tomograms[0].labels, [(1, [1.0, 2.0, 3.0])]);
    assert_eq!(plan_with(&made.open(), &["jane/1"]).labels(), 2, "the other session is as it was");

    // A session that this project has not written keeps what it is not told to replace.
    let other = SaveRequest { replace: true, ..request(&project, "1") };
    let saved = save(&link, &other).unwrap();
    assert!(saved.notes.iter().any(|note| note.contains("jane_1_ribosome.json")), "{:?}", saved.notes);
    assert_eq!(plan_with(&made.open(), &["jane/1"]).labels(), 3);
}

#[test]
fn nobody_elses_picks_are_written() {
    let made = Made::usual();
    made.configure(json!({"static_root": "static"}));
    made.picks("overlay", "TS_1", "eve_1_ribosome", &[[1.0, 2.0, 3.0]]);
    made.picks("static", "TS_1", "jane_old_ribosome", &[[1.0, 2.0, 3.0]]);
    let (_dir, project) = filled(&plan_with(&made.open(), &["jane/1"]));
    let link = link_of(&project);
    let before = made.files(".");
    let attempt = |user: &str, session: &str| {
        let request = SaveRequest { user: user.to_owned(), replace: true, ..request(&project, session) };
        save(&link, &request).unwrap_err()
    };
    for session in ["1", "2"] {
        assert!(matches!(attempt("eve", session), CopickError::NotOurs { .. }));
    }
    assert!(matches!(attempt("jane", "old"), CopickError::NotOurs { .. }));
    for (user, session) in [("../eve", "1"), ("a_b", "1"), ("jane", "a_b"), ("jane", "../../x"), ("", "1"), ("jane", "")] {
        assert!(matches!(attempt(user, session), CopickError::Name { .. }), "{user} {session}");
    }
    assert_eq!(made.files("."), before);
    // A name that nobody has is free.
    let request = SaveRequest { user: "semietpicker".to_owned(), ..request(&project, "labels-1") };
    assert_eq!(save(&link, &request).unwrap().files.len(), 1);
}

#[test]
fn what_the_project_does_not_know_is_left_out_and_said() {
    let made = Made::usual();
    let (_dir, project) = filled(&plan_with(&made.open(), &["jane/1"]));
    let link = link_of(&project);
    let mut request = request(&project, "labels-1");
    let mut unlisted = request.classes[0].clone();
    unlisted.name = "new".to_owned();
    request.classes.insert(0, unlisted);
    let points = &mut request.tomograms[0].1.points;
    points.iter_mut().for_each(|point| point.class += 1);
    points[0].class = 0;
    let mut foreign = request.tomograms[0].clone();
    foreign.0 = TomogramId(77);
    request.tomograms.push(foreign);
    let saved = save(&link, &request).unwrap();
    assert_eq!((saved.positions, saved.files.len()), (1, 1));
    assert!(saved.notes[0].contains("does not belong"), "{:?}", saved.notes);
    assert!(saved.notes[1].contains("1 positions of \"new\""), "{:?}", saved.notes);

    request.classes.truncate(1);
    request.tomograms.truncate(1);
    request.tomograms[0].1.points.truncate(1);
    assert!(matches!(save(&link, &request), Err(CopickError::Nothing(_))));
    fs::rename(made.path("overlay/ExperimentRuns/TS_1"), made.path("overlay/ExperimentRuns/TS_9")).unwrap();
    assert!(save(&link, &request).unwrap_err().to_string().contains("\"TS_1\" is not in the copick project any more"));
}

#[test]
fn saving_goes_into_the_overlay_though_all_data_are_static() {
    let made = Made::usual();
    fs::rename(made.path("overlay"), made.path("static")).unwrap();
    made.configure(json!({"static_root": "static"}));
    let before = made.files("static");
    let (_dir, project) = filled(&plan_with(&made.open(), &["jane/1"]));
    let saved = save(&link_of(&project), &request(&project, "labels-1")).unwrap();
    assert_eq!(saved.files, [made.path("overlay/ExperimentRuns/TS_1/Picks/jane_labels-1_ribosome.json")]);
    assert_eq!(made.files("static"), before);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link_out_of_the_overlay() {
    use std::os::unix::fs::symlink;
    let made = Made::usual();
    fs::rename(made.path("overlay"), made.path("static")).unwrap();
    made.configure(json!({"static_root": "static"}));
    let (_dir, project) = filled(&plan_with(&made.open(), &["jane/1"]));
    let before = made.files("static");
    for (folder, target) in [
        ("", "static/ExperimentRuns"),
        ("TS_1", "static/ExperimentRuns/TS_1"),
        ("TS_1/Picks", "static/ExperimentRuns/TS_1/Picks"),
    ] {
        let place = made.path("overlay/ExperimentRuns").join(folder);
        let place: PathBuf = place.components().collect();
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(made.path(target), &place).unwrap();
        let error = save(&link_of(&project), &request(&project, "labels-1")).unwrap_err();
        assert!(matches!(error, CopickError::NotOurs { .. }), "{folder}: {error}");
        assert_eq!(made.files("static"), before);
        fs::remove_dir_all(made.path("overlay")).unwrap();
    }
}
