use proptest::prelude::*;

use super::*;

const TOMOGRAM: TomogramId = TomogramId(1);

fn class(id: u32, name: &str) -> Class {
    Class { id: ClassId(id), name: name.to_owned(), radius_angstrom: 60.0, colour: default_colour(0) }
}

fn with_classes() -> Annotations {
    let mut annotations = Annotations::default();
    for name in ["ribosome", "proteasome"] {
        let id = annotations.new_class_id();
        let index = annotations.classes.len();
        annotations.apply(&Edit::AddClass { index, class: class(id.0, name) }).unwrap();
    }
    annotations
}

fn particle(annotations: &mut Annotations, class: usize, position: [f64; 3]) -> Point {
    Point { id: annotations.new_id(), position, kind: PointKind::Particle(annotations.classes[class].id) }
}

fn add(annotations: &mut Annotations, class: usize, position: [f64; 3]) -> Point {
    let point = particle(annotations, class, position);
    annotations.apply(&Edit::AddPoint { tomogram: TOMOGRAM, point }).unwrap();
    point
}

/// What is labelled, without the counter of identities, which never goes back.
fn content(annotations: &Annotations) -> (Vec<Class>, BTreeMap<TomogramId, TomogramLabels>) {
    (annotations.classes.clone(), annotations.tomograms.clone())
}

#[test]
fn what_breaks_a_rule_is_an_error_and_changes_nothing() {
    let mut annotations = with_classes();
    let point = add(&mut annotations, 0, [1.0, 2.0, 3.0]);
    let (ribosome, proteasome) = (annotations.classes[0].clone(), annotations.classes[1].clone());
    let region = Region { id: annotations.new_id(), voxels: VoxelBox::new([0; 3], [4; 3]) };
    annotations.apply(&Edit::AddRegion { tomogram: TOMOGRAM, region }).unwrap();
    let before = annotations.clone();
    let fresh = |position| Point { id: ItemId(1000), position, kind: PointKind::Negative };
    let move_to = |to| Edit::MovePoint { tomogram: TOMOGRAM, id: point.id, from: point.position, to };
    let change = |to| Edit::ChangeClass { from: ribosome.clone(), to };
    let refused = [
        Edit::AddPoint { tomogram: TOMOGRAM, point: fresh([f64::NAN, 0.0, 0.0]) },
        Edit::AddPoint { tomogram: TOMOGRAM, point: fresh([0.0, f64::INFINITY, 0.0]) },
        Edit::AddPoint { tomogram: TOMOGRAM, point: fresh([0.0, 0.0, 1e300]) },
        Edit::AddPoint { tomogram: TomogramId(9), point },
        Edit::AddPoint { tomogram: TOMOGRAM, point: Point { id: region.id, ..point } },
        Edit::AddPoint { tomogram: TOMOGRAM, point: Point { id: ItemId(u64::MAX), ..point } },
        Edit::AddPoint { tomogram: TOMOGRAM, point: Point { id: ItemId(999), kind: PointKind::Particle(ClassId(77)), ..point } },
        Edit::RemovePoint { tomogram: TOMOGRAM, point: Point { id: ItemId(999), ..point } },
        Edit::RemovePoint { tomogram: TOMOGRAM, point: Point { position: [9.0; 3], ..point } },
        move_to([f64::NEG_INFINITY; 3]),
        Edit::MovePoint { tomogram: TOMOGRAM, id: point.id, from: [9.0; 3], to: [1.0; 3] },
        Edit::SetKind { tomogram: TOMOGRAM, id: point.id, from: point.kind, to: PointKind::Particle(ClassId(77)) },
        Edit::SetKind { tomogram: TOMOGRAM, id: point.id, from: PointKind::Negative, to: point.kind },
        Edit::AddRegion { tomogram: TOMOGRAM, region: Region { id: ItemId(999), voxels: VoxelBox::new([0; 3], [0, 4, 4]) } },
        Edit::AddRegion {
            tomogram: TOMOGRAM,
            region: Region { id: ItemId(999), voxels: VoxelBox::new([0; 3], [usize::MAX; 3]) },
        },
        Edit::AddRegion { tomogram: TOMOGRAM, region: Region { id: point.id, ..region } },
        Edit::SetRegion { tomogram: TOMOGRAM, from: region, to: Region { id: ItemId(999), ..region } },
        Edit::RemoveRegion { tomogram: TOMOGRAM, region: Region { voxels: VoxelBox::new([0; 3], [5; 3]), ..region } },
        Edit::AddClass { index: 2, class: class(50, "ribosome") },
        Edit::AddClass { index: 2, class: class(50, " padded") },
        Edit::AddClass { index: 2, class: class(50, "") },
        Edit::AddClass { index: 2, class: class(50, "two\nlines") },
        Edit::AddClass { index: 9, class: class(50, "gap") },
        Edit::AddClass { index: 2, class: class(proteasome.id.0, "same identity") },
        Edit::AddClass { index: 2, class: Class { radius_angstrom: 0.0, ..class(50, "a") } },
        Edit::AddClass { index: 2, class: Class { radius_angstrom: f64::NAN, ..class(50, "a") } },
        Edit::AddClass { index: 2, class: Class { radius_angstrom: 1e-9, ..class(50, "a") } },
        Edit::RemoveClass { index: 0, class: ribosome.clone() },
        Edit::RemoveClass { index: 0, class: proteasome.clone() },
        change(Class { name: proteasome.name.clone(), ..ribosome.clone() }),
        change(Class { radius_angstrom: -1.0, ..ribosome.clone() }),
        change(Class { id: ClassId(50), ..ribosome.clone() }),
    ];
    for edit in refused {
        assert!(annotations.apply(&edit).is_err(), "accepted {edit:?}");
        assert_eq!(annotations, before, "changed by {edit:?}");
        // The last step of a batch fails: the steps before it are taken back.
        let batch = Edit::Batch {
            name: "both".into(),
            edits: vec![
                Edit::AddPoint { tomogram: TomogramId(4), point: fresh([5.0; 3]) },
                Edit::RemovePoint { tomogram: TomogramId(4), point: fresh([5.0; 3]) },
                Edit::AddClass { index: 0, class: class(60, "first") },
                edit,
            ],
        };
        assert!(annotations.apply(&batch).is_err());
        assert_eq!(annotations, before);
    }
}

#[test]
fn removing_a_class_takes_its_points_along_and_undo_brings_all_back() {
    let mut annotations = with_classes();
    for x in 0..5 {
        add(&mut annotations, x % 2, [0.0, 0.0, x as f64]);
    }
    let before = content(&annotations);
    let mut history = History::default();
    let edit = annotations.remove_class_edit(annotations.classes[0].id).unwrap();
    history.perform(&mut annotations, edit).unwrap();
    assert_eq!(annotations.classes.len(), 1);
    assert_eq!(annotations.counts(None).particles, [2]);
    assert_eq!(history.undo_name(), Some("remove class ribosome"));
    history.undo(&mut annotations).unwrap().unwrap();
    assert_eq!(content(&annotations), before);
}

#[test]
fn class_identities_are_never_given_twice() {
    let mut annotations = with_classes();
    let last = annotations.classes[1].clone();
    annotations.apply(&Edit::RemoveClass { index: 1, class: last.clone() }).unwrap();
    assert_ne!(annotations.new_class_id(), last.id);
}

#[test]
fn the_history_is_bounded_and_a_new_edit_forgets_what_was_undone() {
    let mut annotations = with_classes();
    let mut history = History::default();
    assert!(history.undo(&mut annotations).unwrap().is_none());
    for x in 0..MAX_HISTORY + 10 {
        let point = particle(&mut annotations, 0, [x as f64, 0.0, 0.0]);
        history.perform(&mut annotations, Edit::AddPoint { tomogram: TOMOGRAM, point }).unwrap();
    }
    let mut undone = 0;
    while history.undo(&mut annotations).unwrap().is_some() {
        undone += 1;
    }
    assert_eq!(undone, MAX_HISTORY);
    assert_eq!(annotations.counts(None).particles, [10, 0]);
    assert_eq!(history.redo_name(), Some("add ribosome"));
    history.redo(&mut annotations).unwrap().unwrap();
    assert_eq!(annotations.counts(None).particles, [11, 0]);
    let point = particle(&mut annotations, 1, [0.0; 3]);
    history.perform(&mut annotations, Edit::AddPoint { tomogram: TOMOGRAM, point }).unwrap();
    assert_eq!(history.redo_name(), None);
    // Nothing done is nothing to undo.
    history.perform(&mut annotations, Edit::Batch { name: "0 labels imported".into(), edits: vec![] }).unwrap();
    assert_eq!(history.undo_name(), Some("add proteasome"));
}

#[test]
fn an_undo_name_survives_the_class_that_it_names() {
    let mut annotations = with_classes();
    let point = particle(&mut annotations, 0, [0.0; 3]);
    let mut history = History::default();
    history.perform(&mut annotations, Edit::AddPoint { tomogram: TOMOGRAM, point }).unwrap();
    let renamed = Class { name: "70S".into(), ..annotations.classes[0].clone() };
    let edit = Edit::ChangeClass { from: annotations.classes[0].clone(), to: renamed };
    history.perform(&mut annotations, edit).unwrap();
    assert_eq!(history.undo_name(), Some("rename class ribosome to 70S"));
    history.undo(&mut annotations).unwrap();
    assert_eq!(history.undo_name(), Some("add ribosome"));
}

#[test]
fn the_nearest_point_is_found_within_the_distance_alone() {
    let mut annotations = with_classes();
    add(&mut annotations, 0, [0.0, 0.0, 0.0]);
    let b = add(&mut annotations, 1, [0.0, 0.0, 10.0]);
    assert_eq!(annotations.nearest_point(TOMOGRAM, [0.0, 0.0, 6.0], 4.0).map(|p| p.id), Some(b.id));
    assert_eq!(annotations.nearest_point(TOMOGRAM, [0.0, 0.0, 6.0], 3.9), None);
    assert_eq!(annotations.nearest_point(TomogramId(2), [0.0; 3], 4.0), None);
    let on_top = add(&mut annotations, 0, [0.0, 0.0, 10.0]);
    assert_eq!(annotations.nearest_point(TOMOGRAM, [0.0, 0.0, 10.0], 1.0).map(|p| p.id), Some(on_top.id));
}

#[test]
fn an_import_is_one_step() {
    let mut annotations = with_classes();
    let kind = PointKind::Particle(annotations.classes[0].id);
    let edit = annotations.import_edit(TOMOGRAM, (0..12).map(|x| ([0.0, 1.0, x as f64], kind)));
    assert_eq!(edit.describe(&annotations), "12 labels imported");
    let before = content(&annotations);
    let mut history = History::default();
    history.perform(&mut annotations, edit).unwrap();
    assert_eq!(annotations.count(annotations.classes[0].id), 12);
    history.undo(&mut annotations).unwrap();
    assert_eq!(content(&annotations), before);
}

#[test]
fn labels_from_a_file_are_checked() {
    let mut annotations = with_classes();
    let point = add(&mut annotations, 0, [0.1, 0.2, 0.3]);
    annotations.next_id = 0;
    let checked = annotations.checked().unwrap();
    assert_eq!(content(&checked), content(&annotations));
    assert!(checked.next_id > point.id.0);
    annotations.tomograms.get_mut(&TOMOGRAM).unwrap().points.get_mut(&point.id).unwrap().position[1] = f64::NAN;
    assert!(matches!(annotations.checked(), Err(EditError::Position(_))));
    annotations.tomograms.clear();
    annotations.classes[1].name = "ribosome".into();
    assert!(matches!(annotations.checked(), Err(EditError::DuplicateClassName(_))));
}

/// A step of a random session, with indices that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Add(usize, [f64; 3]),
    Remove(usize),
    Move(usize, [f64; 3]),
    Kind(usize, usize),
    Region(usize, usize),
    DropRegion(usize),
    Class(usize, f64),
    DropClass(usize),
    Undo,
    Redo,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || prop::array::uniform3(-1e4..1e4f64);
    let n = || 0..64usize;
    prop_oneof![
        6 => (n(), place()).prop_map(|(c, p)| Step::Add(c, p)),
        2 => n().prop_map(Step::Remove),
        3 => (n(), place()).prop_map(|(i, p)| Step::Move(i, p)),
        2 => (n(), n()).prop_map(|(i, c)| Step::Kind(i, c)),
        2 => (n(), n()).prop_map(|(a, b)| Step::Region(a, b)),
        1 => n().prop_map(Step::DropRegion),
        2 => (n(), 1.0..500.0f64).prop_map(|(c, r)| Step::Class(c, r)),
        1 => n().prop_map(Step::DropClass),
        3 => Just(Step::Undo),
        2 => Just(Step::Redo),
    ]
}

/// The edit that a step stands for in the present state; `None` when there is nothing to do it to.
fn edit_of(annotations: &mut Annotations, step: &Step) -> Option<Edit> {
    let points: Vec<Point> = annotations.tomograms.values().flat_map(|labels| labels.points.values().copied()).collect();
    let regions: Vec<Region> = annotations.tomograms.values().flat_map(|labels| labels.regions.values().copied()).collect();
    let kind = |annotations: &Annotations, c: usize| match annotations.classes.get(c % (annotations.classes.len() + 1)) {
        Some(class) => PointKind::Particle(class.id),
        None => PointKind::Negative,
    };
    let pick = |i: usize| points.get(i % points.len().max(1)).copied();
    Some(match *step {
        Step::Add(c, position) => {
            let kind = kind(annotations, c);
            Edit::AddPoint { tomogram: TOMOGRAM, point: Point { id: annotations.new_id(), position, kind } }
        }
        Step::Remove(i) => Edit::RemovePoint { tomogram: TOMOGRAM, point: pick(i)? },
        Step::Move(i, to) => Edit::MovePoint { tomogram: TOMOGRAM, id: pick(i)?.id, from: pick(i)?.position, to },
        Step::Kind(i, c) => {
            let point = pick(i)?;
            Edit::SetKind { tomogram: TOMOGRAM, id: point.id, from: point.kind, to: kind(annotations, c) }
        }
        Step::Region(a, b) => {
            let voxels = VoxelBox::new([a, b, 0], [a + b + 1, b + 2, a + 1]);
            match regions.get(a) {
                Some(from) => Edit::SetRegion { tomogram: TOMOGRAM, from: *from, to: Region { voxels, ..*from } },
                None => Edit::AddRegion { tomogram: TOMOGRAM, region: Region { id: annotations.new_id(), voxels } },
            }
        }
        Step::DropRegion(i) => Edit::RemoveRegion { tomogram: TOMOGRAM, region: *regions.get(i % regions.len().max(1))? },
        Step::Class(c, radius_angstrom) => match annotations.classes.get(c % 5) {
            Some(from) => Edit::ChangeClass { from: from.clone(), to: Class { radius_angstrom, ..from.clone() } },
            None => {
                let id = annotations.new_class_id();
                let class = Class { radius_angstrom, ..class(id.0, &format!("class {}", id.0)) };
                Edit::AddClass { index: c % (annotations.classes.len() + 1), class }
            }
        },
        Step::DropClass(c) => {
            let class = annotations.classes.get(c % annotations.classes.len().max(1))?.id;
            annotations.remove_class_edit(class)?
        }
        Step::Undo | Step::Redo => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every edit survives JSON, undoing everything restores the beginning, redoing everything restores the end, and the
    /// edits that the history hands out for the journal lead a second copy to the same state.
    #[test]
    fn edits_are_invertible_and_journallable(steps in prop::collection::vec(step(), 1..60)) {
        let mut live = with_classes();
        let beginning = content(&live);
        let mut history = History::default();
        let mut journal: Vec<String> = vec![serde_json::to_string(&live).unwrap()];
        for step in &steps {
            let applied = match step {
                Step::Undo => history.undo(&mut live).unwrap(),
                Step::Redo => history.redo(&mut live).unwrap(),
                other => match edit_of(&mut live, other) {
                    Some(edit) => {
                        history.perform(&mut live, edit.clone()).unwrap();
                        Some(edit)
                    }
                    None => None,
                },
            };
            journal.extend(applied.map(|edit| serde_json::to_string(&edit).unwrap()));
        }
        let mut replayed: Annotations = serde_json::from_str(&journal[0]).unwrap();
        for line in &journal[1..] {
            replayed.apply(&serde_json::from_str(line).unwrap()).unwrap();
        }
        prop_assert_eq!(content(&replayed), content(&live));
        prop_assert!(replayed.next_id <= live.next_id);

        let end = content(&live);
        let mut undone = 0;
        while history.undo(&mut live).unwrap().is_some() {
            undone += 1;
        }
        prop_assert_eq!(content(&live), beginning);
        for _ in 0..undone {
            history.redo(&mut live).unwrap().unwrap();
        }
        prop_assert_eq!(content(&live), end);
    }
}
