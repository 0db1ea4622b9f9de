use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::journal::Store;
use super::*;
use crate::labels::{Class, Point, default_colour};

const TOMOGRAM: TomogramId = TomogramId(0);

/// A small generator of pseudo-random numbers (Knuth's MMIX), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn place(&mut self) -> [f64; 3] {
        [0; 3].map(|_| self.below(1 << 30) as f64 / 999_983.0)
    }
}

fn tomogram(id: u32, path: &Path) -> ProjectTomogram {
    ProjectTomogram {
        id: TomogramId(id),
        name: format!("TS_{id:03}"),
        path: path.to_owned(),
        relative_path: None,
        shape: [72, 208, 208],
        spacing_angstrom: Some(10.012_345_678_9),
        size_bytes: Some(3),
        fingerprint: None,
    }
}

/// A project with a class and a tomogram.
fn project(dir: &Path) -> Project {
    let mut project = Project::create(dir).unwrap();
    let id = project.new_class_id();
    let class = Class { id, name: "ribosome".into(), radius_angstrom: 150.0, colour: default_colour(0) };
    project.perform(Edit::AddClass { index: 0, class }).unwrap();
    let id = project.new_tomogram_id();
    assert_eq!(id, TOMOGRAM);
    project.add_tomogram(tomogram(id.0, &dir.join("TS_000.mrc"))).unwrap();
    project
}

fn new_point(project: &mut Project, position: [f64; 3]) -> Edit {
    let kind = PointKind::Particle(project.annotations().classes[0].id);
    Edit::AddPoint { tomogram: TOMOGRAM, point: Point { id: project.new_id(), position, kind } }
}

fn add_point(project: &mut Project, position: [f64; 3]) -> Result<(), ProjectError> {
    let edit = new_point(project, position);
    project.perform(edit)
}

/// Everything but the counters, which may run ahead of what was used.
fn content(project: &Project) -> ProjectState {
    let mut state = project.state().clone();
    state.annotations.next_id = 0;
    state.next_tomogram = 0;
    state
}

fn points(project: &Project) -> usize {
    project.annotations().counts(None).total_particles()
}

/// One of the changes that an editing session is made of.
fn random_change(live: &mut Project, random: &mut Random, step: usize) {
    let labelled: Vec<Point> =
        live.annotations().labels(TOMOGRAM).map(|labels| labels.points.values().copied().collect()).unwrap_or_default();
    let position = random.place();
    match random.below(12) {
        0..5 => add_point(live, position).unwrap(),
        5 | 6 if !labelled.is_empty() => {
            let point = labelled[random.below(labelled.len())];
            live.perform(Edit::MovePoint { tomogram: TOMOGRAM, id: point.id, from: point.position, to: position }).unwrap();
        }
        7 if !labelled.is_empty() => {
            let point = labelled[random.below(labelled.len())];
            live.record(&Edit::RemovePoint { tomogram: TOMOGRAM, point }).unwrap();
        }
        // The class itself stays, so that there is something to label with.
        8 if live.history().undo_name() != Some("add class ribosome") => drop(live.undo()),
        9 => drop(live.redo()),
        10 => live.set_setting("train", &serde_json::json!({"steps": step, "name": "a\n\"b\"}"})).unwrap(),
        _ if step.is_multiple_of(9) => live.compact().unwrap(),
        _ => live.rename(&format!("name {step}")).unwrap(),
    }
}

#[test]
fn a_reopened_project_is_what_it_was() {
    for seed in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut live = project(dir.path());
        (0..60).for_each(|step| random_change(&mut live, &mut random, step));
        let expected = content(&live);
        drop(live);
        let reopened = Project::open(dir.path()).unwrap();
        assert_eq!(content(&reopened), expected, "seed {seed}");
        assert!(reopened.notes().is_empty());
    }
}

#[test]
fn a_journal_cut_anywhere_is_the_state_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    let path = dir.path().join(JOURNAL);
    let mut lengths = Vec::new();
    let mut states = Vec::new();
    for x in 0..4 {
        add_point(&mut live, [0.1, 0.2, f64::from(x)]).unwrap();
        lengths.push(fs::metadata(&path).unwrap().len() as usize);
        states.push(content(&live));
    }
    drop(live);
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), lengths[3]);
    for cut in lengths[1]..=lengths[3] {
        // What a file system leaves after a loss of power may also be zeros or another piece of a line.
        let tails = [&b""[..], b"\0\0\0\0", b"{\"sequence\":"];
        for tail in &tails[..if cut % 8 == 0 { 3 } else { 1 }] {
            fs::write(&path, [&whole[..cut], *tail].concat()).unwrap();
            let mut reopened = Project::open(dir.path()).unwrap();
            let kept = lengths.iter().rposition(|length| *length <= cut).unwrap();
            assert_eq!(content(&reopened), states[kept], "cut at {cut}");
            assert_eq!(reopened.notes().is_empty(), lengths.contains(&cut) && tail.is_empty());
            // And what is written next stands on a line of its own.
            add_point(&mut reopened, [7.0; 3]).unwrap();
            let expected = content(&reopened);
            drop(reopened);
            let again = Project::open(dir.path()).unwrap();
            assert_eq!(content(&again), expected, "cut at {cut}");
            assert!(again.notes().is_empty());
        }
    }
}

/// A disk with little room. What it holds survives the journal that writes to it.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Default)]
struct DiskState {
    bytes: Vec<u8>,
    room: usize,
    truncates: bool,
    syncs: bool,
    written: usize,
}

impl Store for Disk {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        for (place, byte) in (offset as usize..).zip(bytes) {
            if place >= disk.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if place >= disk.bytes.len() {
                disk.bytes.resize(place + 1, 0);
            }
            disk.bytes[place] = *byte;
            disk.written += 1;
        }
        if disk.syncs { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if !disk.truncates {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.bytes.truncate(length as usize);
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    live.compact().unwrap();
    let start = content(&live);
    for (truncates, syncs) in [(true, true), (false, true), (true, false)] {
        for room in (0..700).step_by(3) {
            let disk = Disk::default();
            *disk.0.lock().unwrap() = DiskState { room, truncates: true, syncs, ..DiskState::default() };
            live.journal = Journal::new(Box::new(disk.clone()), 0, 0);
            let mut states = vec![start.clone()];
            // The state that a reader of the disk would see if the program were killed now.
            let seen = |disk: &Disk| {
                let disk = disk.0.lock().unwrap();
                let mut state = start.clone();
                for (_, change) in journal::read(&disk.bytes).records {
                    state.apply(&serde_json::from_str(change).unwrap()).unwrap();
                }
                state.annotations.next_id = 0;
                state
            };
            for x in 0..4 {
                let before = live.unsaved();
                let result = add_point(&mut live, [1.0, 2.0, f64::from(x)]);
                states.push(content(&live));
                disk.0.lock().unwrap().truncates = truncates;
                match result {
                    Ok(()) => assert_eq!((before, live.unsaved(), seen(&disk)), (0, 0, states[states.len() - 1].clone())),
                    Err(ProjectError::Unsaved { records, .. }) => {
                        assert_eq!(records, before + 1);
                        assert_eq!(live.unsaved(), records);
                        assert!(states.contains(&seen(&disk)));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            // Someone makes room.
            {
                let mut disk = disk.0.lock().unwrap();
                (disk.room, disk.truncates, disk.syncs) = (usize::MAX, true, true);
            }
            live.flush().unwrap();
            assert_eq!((live.unsaved(), seen(&disk)), (0, content(&live)));
            let journal = disk.0.lock().unwrap().bytes.clone();
            let contents = journal::read(&journal);
            assert_eq!((contents.records.len(), contents.torn, contents.damaged), (4, false, 0));
            // Begin anew.
            while live.undo().unwrap().is_some() && content(&live) != start {}
            assert_eq!(content(&live), start);
        }
    }
}

#[test]
fn what_could_not_be_written_goes_along_to_another_folder() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut live = project(dir.path());
    let full = Disk::default();
    live.journal = Journal::new(Box::new(full), 0, 0);
    assert!(matches!(add_point(&mut live, [1.0; 3]), Err(ProjectError::Unsaved { records: 1, .. })));
    assert!(matches!(live.save_as(dir.path()), Err(ProjectError::Exists(_))));
    live.save_as(&other.path().join("new")).unwrap();
    assert_eq!((live.unsaved(), live.name()), (0, "new"));
    // Undo still reaches back behind the change of place.
    live.undo().unwrap().unwrap();
    live.redo().unwrap().unwrap();
    drop(live);
    assert_eq!(points(&Project::open(&other.path().join("new")).unwrap()), 1);
    assert_eq!(points(&Project::open(dir.path()).unwrap()), 0);
}

#[test]
fn the_cost_of_a_change_does_not_grow_with_the_labels() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    let disk = Disk::default();
    *disk.0.lock().unwrap() = DiskState { room: usize::MAX, truncates: true, syncs: true, ..DiskState::default() };
    live.journal = Journal::new(Box::new(disk.clone()), 0, 0);
    let kind = PointKind::Particle(live.annotations().classes[0].id);
    let import = live.import_edit(TOMOGRAM, (0..10_000).map(|x| ([0.0, 1.0, f64::from(x) / 3.0], kind)));
    live.perform(import).unwrap();
    let before = disk.0.lock().unwrap().written;
    let start = std::time::Instant::now();
    for x in 0..1000 {
        add_point(&mut live, [0.123_456_789, 200.0, f64::from(x)]).unwrap();
    }
    let elapsed = start.elapsed();
    let bytes = (disk.0.lock().unwrap().written - before) / 1000;
    println!("beside 10,000 labels a change takes {:?} without the disk, and {bytes} bytes", elapsed / 1000);
    assert!(bytes < 200, "{bytes} bytes");
    let start = std::time::Instant::now();
    live.compact().unwrap();
    drop(live);
    assert_eq!(points(&Project::open(dir.path()).unwrap()), 11_000);
    println!("a snapshot and opening take {:?}", start.elapsed());
}

/// A program that is being started shares this process's open files until it runs, and with them the lock.
#[test]
fn a_lock_that_this_process_is_about_to_let_go_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (held, _) = super::lock::Lock::take(dir.path()).unwrap();
    let letting_go = std::thread::Builder::new().name("letting go".to_owned()).spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(60));
        drop(held);
    });
    assert!(super::lock::Lock::take(dir.path()).is_ok());
    letting_go.unwrap().join().unwrap();
}

#[test]
fn two_windows_cannot_open_one_project() {
    let dir = tempfile::tempdir().unwrap();
    let live = project(dir.path());
    let error = Project::open(dir.path()).err().unwrap();
    assert!(matches!(&error, ProjectError::AlreadyOpen { pid: Some(pid), .. } if *pid == std::process::id()), "{error}");
    drop(live);
    Project::open(dir.path()).unwrap();
    assert!(matches!(Project::create(dir.path()), Err(ProjectError::Exists(_))));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Project::open(empty.path()), Err(ProjectError::NotAProject(_))));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "looking leaves nothing behind");
}

#[test]
fn damage_in_the_middle_costs_the_damaged_change_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    for x in 0..5 {
        add_point(&mut live, [0.0, 0.0, f64::from(x)]).unwrap();
    }
    drop(live);
    let path = dir.path().join(JOURNAL);
    let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(|line| format!("{line}\n")).collect();
    lines[3] = lines[3].replacen("\"position\":[0.0", "\"position\":[9.0", 1);
    let damaged = lines.concat();
    fs::write(&path, &damaged).unwrap();
    let reopened = Project::open(dir.path()).unwrap();
    assert_eq!(points(&reopened), 4);
    assert!(reopened.notes()[0].contains("1 changes in the journal are damaged"), "{:?}", reopened.notes());
    assert_eq!(fs::read_to_string(dir.path().join("journal.damaged-1.jsonl")).unwrap(), damaged);
    drop(reopened);
    let again = Project::open(dir.path()).unwrap();
    assert_eq!((points(&again), again.notes().len()), (4, 0));
}

#[test]
fn a_damaged_snapshot_falls_back_to_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    for x in 0..6 {
        add_point(&mut live, [0.0, 0.0, f64::from(x)]).unwrap();
        live.compact().unwrap();
    }
    add_point(&mut live, [9.0; 3]).unwrap();
    drop(live);
    for number in 1..=3 {
        assert!(snapshot::backup(dir.path(), number).exists());
    }
    assert!(!snapshot::backup(dir.path(), 4).exists());
    let path = dir.path().join(snapshot::SNAPSHOT);
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let reopened = Project::open(dir.path()).unwrap();
    // The backup has five, the journal one more.
    assert_eq!(points(&reopened), 6);
    assert!(reopened.notes()[0].contains("project.json.1"), "{:?}", reopened.notes());
    assert_eq!(fs::read(dir.path().join("project.json.damaged-1")).unwrap(), &text[..text.len() / 2]);
    drop(reopened);
    assert_eq!(points(&Project::open(dir.path()).unwrap()), 6);

    // A newer program's project is left alone, backups or not.
    fs::write(&path, "{\"version\":99,\"sequence\":1,\"something\":\"else\"}").unwrap();
    assert!(matches!(Project::open(dir.path()), Err(ProjectError::Version { found: 99, .. })));
    for file in snapshot::files(dir.path()) {
        fs::write(file, "no").unwrap();
    }
    assert!(matches!(Project::open(dir.path()), Err(ProjectError::Damaged { .. })));
}

#[test]
fn a_crash_between_snapshot_and_journal_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    add_point(&mut live, [1.0; 3]).unwrap();
    let path = dir.path().join(JOURNAL);
    let journal = fs::read(&path).unwrap();
    live.compact().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let expected = content(&live);
    drop(live);
    fs::write(&path, journal).unwrap();
    let mut reopened = Project::open(dir.path()).unwrap();
    assert_eq!((content(&reopened), reopened.notes().len()), (expected, 0));
    // New changes count on from the snapshot, not from the old journal.
    add_point(&mut reopened, [2.0; 3]).unwrap();
    drop(reopened);
    assert_eq!(points(&Project::open(dir.path()).unwrap()), 2);
}

#[test]
fn a_long_journal_becomes_a_snapshot_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    let disk = Disk::default();
    *disk.0.lock().unwrap() = DiskState { room: usize::MAX, truncates: true, syncs: true, ..DiskState::default() };
    live.journal = Journal::new(Box::new(disk.clone()), 0, 0);
    for x in 0..LINES_PER_SNAPSHOT + 3 {
        add_point(&mut live, [0.0, 0.0, x as f64]).unwrap();
    }
    assert_eq!(journal::read(&disk.0.lock().unwrap().bytes).records.len(), 3);
    drop(live);
    assert_eq!(points(&Project::open(dir.path()).unwrap()), LINES_PER_SNAPSHOT, "the snapshot alone");
}

#[test]
fn tomograms_are_found_again_and_leave_with_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("data"), dir.path().join("work/project"));
    fs::create_dir_all(&data).unwrap();
    let file = data.join("TS_000.mrc");
    fs::write(&file, "abc").unwrap();
    let mut live = Project::create(&place).unwrap();
    live.add_tomogram(tomogram(0, &file)).unwrap();
    assert!(matches!(live.add_tomogram(tomogram(0, &file)), Err(ProjectError::TomogramId(TOMOGRAM))));
    assert!(matches!(live.set_tomogram(tomogram(5, &file)), Err(ProjectError::NoTomogram(TomogramId(5)))));
    let flat = ProjectTomogram { spacing_angstrom: Some(0.0), ..tomogram(0, &file) };
    assert!(matches!(live.set_tomogram(flat), Err(ProjectError::Spacing { .. })));
    let kept = live.tomograms()[0].clone();
    assert_eq!(kept.relative_path.as_deref(), Some(Path::new("../../data/TS_000.mrc")));
    assert_eq!(kept.spacing_angstrom, Some(10.012_346));
    assert_eq!(kept.locate(live.dir()), Some(file.clone()));
    // An address on the web stays what it is.
    let address = Path::new("https://host/run/TS_001.zarr");
    let remote = ProjectTomogram { size_bytes: None, ..tomogram(1, address) };
    live.add_tomogram(remote).unwrap();
    let remote = &live.tomograms()[1];
    assert_eq!((remote.path.as_path(), &remote.relative_path), (address, &None));
    assert_eq!(remote.locate(live.dir()), Some(address.to_owned()));
    live.remove_tomogram(TomogramId(1)).unwrap();
    // Everything moves together; then another file of the old name appears.
    let moved = tempfile::tempdir().unwrap();
    fs::create_dir_all(moved.path().join("data")).unwrap();
    fs::rename(&file, moved.path().join("data/TS_000.mrc")).unwrap();
    let new_place = moved.path().join("work/project");
    fs::create_dir_all(&new_place).unwrap();
    let found = kept.locate(&new_place).map(|path| path.canonicalize().unwrap());
    assert_eq!(found, Some(moved.path().join("data/TS_000.mrc").canonicalize().unwrap()));
    fs::write(&file, "another size").unwrap();
    assert_eq!(kept.locate(&new_place).map(|path| path.canonicalize().unwrap()), found);
    assert_eq!(kept.locate(live.dir()), Some(file.clone()));
    // Another tomogram of the same size is told apart by its start.
    fs::write(&file, "xyz").unwrap();
    let printed = ProjectTomogram { fingerprint: crate::files::fingerprint(found.as_ref().unwrap()), ..kept };
    assert!(!printed.is_at(&file) && printed.is_at(found.as_ref().unwrap()));
    assert_eq!(printed.locate(&new_place).map(|path| path.canonicalize().unwrap()), found);

    let id = live.new_class_id();
    let class = Class { id, name: "a".into(), radius_angstrom: 1.0, colour: default_colour(0) };
    live.perform(Edit::AddClass { index: 0, class }).unwrap();
    add_point(&mut live, [1.0; 3]).unwrap();
    live.remove_tomogram(TOMOGRAM).unwrap();
    assert_eq!((points(&live), live.tomograms().len(), live.history().undo_name()), (0, 0, None));
    assert!(live.undo().unwrap().is_none());
    assert_ne!(live.new_tomogram_id(), TOMOGRAM);
    assert!(matches!(live.remove_tomogram(TOMOGRAM), Err(ProjectError::NoTomogram(_))));
}

#[test]
fn an_edit_that_is_refused_is_not_journalled() {
    let dir = tempfile::tempdir().unwrap();
    let mut live = project(dir.path());
    let length = || fs::metadata(dir.path().join(JOURNAL)).unwrap().len();
    let (before, expected) = (length(), content(&live));
    assert!(matches!(add_point(&mut live, [f64::NAN; 3]), Err(ProjectError::Edit(_))));
    let edit = new_point(&mut live, [f64::INFINITY; 3]);
    assert!(matches!(live.record(&edit), Err(ProjectError::Edit(_))));
    live.set_setting("nothing", &()).unwrap();
    assert_eq!((length(), content(&live)), (before, expected));
}

#[test]
fn unnamed_projects_are_kept_until_they_have_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Project::untitled_in(folder.path()).unwrap();
    let second = Project::untitled_in(folder.path()).unwrap();
    assert_ne!(first.dir(), second.dir());
    let id = first.new_class_id();
    let class = Class { id, name: "a".into(), radius_angstrom: 1.0, colour: default_colour(0) };
    first.perform(Edit::AddClass { index: 0, class }).unwrap();
    assert!(untitled::left_behind_in(folder.path()).is_empty(), "both are open");
    // The one with nothing in it goes away, the other stays.
    second.close().map_err(|(_, error)| error).unwrap();
    let dir = first.dir().to_owned();
    first.close().map_err(|(_, error)| error).unwrap();
    assert_eq!(untitled::left_behind_in(folder.path()), std::slice::from_ref(&dir));
    let mut again = Project::open_left_behind(&dir).unwrap();
    let place = folder.path().join("mine");
    again.save_as(&place).unwrap();
    assert!(!dir.exists() && !again.is_untitled());
    assert_eq!((again.annotations().classes.len(), again.name()), (1, "mine"));
}

#[test]
fn dates_are_civil() {
    assert_eq!(untitled::date_time(0), "19700101-000000");
    assert_eq!(untitled::date_time(951_827_696), "20000229-123456");
    assert_eq!(untitled::date_time(1_767_225_599), "20251231-235959");
}

/// Gives the child the seed of its changes.
const SEED: &str = "SEMIETPICKER_TEST_SEED";
const CHILD: &str = "SEMIETPICKER_TEST_LABEL_UNTIL_KILLED";

/// The other half of the test below; does nothing by itself.
#[test]
fn child_that_labels_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let mut live = project(Path::new(&dir));
    for x in 0..100_000 {
        add_point(&mut live, [0.0, 0.0, f64::from(x)]).unwrap();
        println!("\nlabelled {}", x + 1);
    }
}

#[cfg(unix)]
#[test]
fn killing_the_program_loses_no_label() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("project");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["project::tests::child_that_labels_until_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, &dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut labelled = 0;
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(count) = line.unwrap().strip_prefix("labelled ") {
            labelled = count.parse().unwrap();
        }
        if labelled >= 40 && !killed {
            // SIGKILL: nothing in the child gets a chance to tidy up.
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    let reopened = Project::open(&dir).unwrap();
    let found = points(&reopened);
    println!("{labelled} labels acknowledged, {found} found");
    assert!(killed && (labelled..=labelled + 1).contains(&found), "{labelled} acknowledged, {found} found");
}

#[test]
fn child_that_edits_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let mut random = Random(std::env::var(SEED).unwrap().parse().unwrap());
    let mut live = project(Path::new(&dir));
    println!("\nedited 0");
    for step in 0..100_000 {
        random_change(&mut live, &mut random, step);
        println!("edited {}", step + 1);
    }
}

/// The project without what depends on where it lies.
fn anywhere(project: &Project) -> ProjectState {
    let mut state = content(project);
    state.tomograms.iter_mut().for_each(|tomogram| (tomogram.path, tomogram.relative_path) = (PathBuf::new(), None));
    if state.name == "project" || state.name == "replayed" {
        state.name.clear();
    }
    state
}

/// An editing session is killed at random moments, ten times, or as often as `SEMIETPICKER_KILLS` says: whatever the child has said to
/// be done is there afterwards, and at most the change that it was at besides.
#[cfg(unix)]
#[test]
fn killing_an_editing_session_at_any_moment_loses_no_edit() {
    let kills: u64 = std::env::var("SEMIETPICKER_KILLS").ok().map_or(10, |text| text.parse().expect("a number"));
    let mut acknowledged = 0;
    for seed in 0..kills {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("project");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["project::tests::child_that_edits_until_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, &dir)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let delay = std::time::Duration::from_micros(Random(seed + 1000).below(120_000) as u64);
        let mut done = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(count) = line.unwrap().strip_prefix("edited ").and_then(|count| count.parse::<usize>().ok()) else {
                continue;
            };
            if done.is_none() {
                std::thread::sleep(delay);
                // SIGKILL: nothing in the child gets a chance to tidy up. What it has said until then is still in the pipe.
                child.kill().unwrap();
            }
            done = Some(count);
        }
        child.wait().unwrap();
        let done = done.expect("the child has begun");
        acknowledged += done;
        let found = anywhere(&Project::open(&dir).unwrap());
        let mut random = Random(seed);
        let mut replayed = project(&folder.path().join("replayed"));
        (0..done).for_each(|step| random_change(&mut replayed, &mut random, step));
        let is_there = found == anywhere(&replayed);
        random_change(&mut replayed, &mut random, done);
        assert!(is_there || found == anywhere(&replayed), "killed after {done} edits, seed {seed}");
    }
    println!("{kills} kills, {acknowledged} acknowledged edits, none lost");
}
