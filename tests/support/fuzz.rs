//! A small mutation fuzzer for the readers of files; its inputs follow from a seed.
//!
//! From small valid files it makes damaged ones (flipped bits, extreme numbers, cuts, splices, repeated pieces) and gives each to
//! a reader. A finding is an input for which the reader panics, takes longer than [`Fuzzer::time_limit`], or allocates more than
//! [`Fuzzer::allowance`] says that an input of its length justifies. Its bytes are written to a file, whose path is printed; put
//! it into `tests/corpus/` once the reader is mended, and [`Fuzzer::regressions`] gives it to the reader first in every run.
//!
//! A test binary takes it in by `#[path = "support/fuzz.rs"] mod fuzz;`, which also makes the counting allocator that binary's.
//!
//! | environment | meaning |
//! |---|---|
//! | `SEMIETPICKER_FUZZ_SECONDS` | duration of each [`Fuzzer::run`], 3 by default or [`Fuzzer::seconds`] |
//! | `SEMIETPICKER_FUZZ_SEED` | another sequence of inputs, 0 by default |
//!
//! ```ignore
//! #[test]
//! fn a_damaged_table_does_no_harm() {
//!     fuzz::Fuzzer::new("dynamo", "tbl")
//!         .seeds([b"1 1 1 0 0 0\n".to_vec()])
//!         .regressions(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/coordinates"))
//!         .tokens(&[b"nan", b"1e999", b"\n"])
//!         .allowance(|length| (1 << 16) + 64 * length)
//!         .run(|bytes| read(bytes).is_ok());
//! }
//! ```
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// An input is not made longer than this, unless a seed is.
const LONGEST_BYTES: usize = 1 << 16;
/// Inputs that a reader accepted and that are mutated further.
const ACCEPTED: usize = 64;
/// A run stops at this many findings.
const FINDINGS: usize = 5;
/// A request that no small file justifies and that could exhaust the machine: it is refused after the input has been saved.
const REFUSED_BYTES: usize = 1 << 36;
/// An input that computes for longer ends the process, after it has been saved.
const HANG: Duration = Duration::from_secs(30);
/// So does one that takes this long without computing: it waits for itself, or the machine stands still.
const DEADLOCK: Duration = Duration::from_secs(300);

/// The numbers at which arithmetic goes wrong.
const EXTREMES: [i64; 27] = [
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    16,
    100,
    127,
    128,
    255,
    256,
    1000,
    1024,
    32767,
    32768,
    65535,
    65536,
    1 << 24,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 31,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
];

/// Numbers as text, for formats that are text.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1e309",
    "-1e309",
    "nan",
    "inf",
    "1e-320",
    "4294967296",
    "9223372036854775808",
    "-9223372036854775809",
    "340282350000000000000000000000000000001",
    "0.1",
    "65536",
    "2147483648",
    "99999999999999999999999999",
    "",
];

/// A fuzzing run to be: see the module. A second one waits until the first is over, so that each counts its own allocations.
pub struct Fuzzer {
    _alone: MutexGuard<'static, ()>,
    name: &'static str,
    suffix: &'static str,
    seeds: Vec<Vec<u8>>,
    regressions: Vec<(PathBuf, Vec<u8>)>,
    tokens: Vec<Vec<u8>>,
    fields: Vec<(usize, usize)>,
    allowance: fn(usize) -> usize,
    time_limit: Duration,
    seconds: f64,
}

impl Fuzzer {
    /// A fuzzer of the reader `name`; findings are written to files that end in `.suffix`.
    pub fn new(name: &'static str, suffix: &'static str) -> Self {
        Self {
            _alone: lock(&ALONE),
            name,
            suffix,
            seeds: Vec::new(),
            regressions: Vec::new(),
            tokens: Vec::new(),
            fields: Vec::new(),
            allowance: |length| (1 << 20) + 64 * length,
            time_limit: Duration::from_secs(5),
            seconds: 3.0,
        }
    }

    /// Adds files to begin with; the reader should accept them.
    #[must_use]
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.seeds.extend(seeds);
        self
    }

    /// Adds the files of `folder` whose names begin with the fuzzer's name and a hyphen: earlier findings, tried first.
    #[must_use]
    pub fn regressions(mut self, folder: impl AsRef<Path>) -> Self {
        let prefix = format!("{}-", self.name);
        let entries = std::fs::read_dir(folder.as_ref()).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> =
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).map(|entry| entry.path()).collect();
        paths.sort();
        self.regressions.extend(paths.into_iter().map(|path| {
            let bytes = std::fs::read(&path).expect("a regression input can be read");
            (path, bytes)
        }));
        self
    }

    /// Adds pieces that mean something in the format: keywords, numbers, brackets.
    #[must_use]
    pub fn tokens(mut self, tokens: &[&[u8]]) -> Self {
        self.tokens.extend(tokens.iter().map(|token| token.to_vec()));
        self
    }

    /// Adds fields, offset and bytes (1, 2, 4 or 8), that get extreme numbers more often than the rest.
    #[must_use]
    pub fn fields(mut self, fields: impl IntoIterator<Item = (usize, usize)>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// The bytes that a reader may hold at once for an input of so many bytes; 1 MiB and 64 times the length by default.
    #[must_use]
    pub fn allowance(mut self, bytes_of_length: fn(usize) -> usize) -> Self {
        self.allowance = bytes_of_length;
        self
    }

    /// How long one input may take; 5 seconds by default, since the machine may be busy. One that took longer is tried again: only
    /// what is slow each time is a finding.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How long a run lasts where the environment does not say it; 3 seconds by default.
    #[must_use]
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Gives inputs to `read`, which returns whether it accepted them, until the time is over; fails when there are findings, and
    /// when the reader accepted everything or nothing, since then nothing was tested.
    pub fn run(self, mut read: impl FnMut(&[u8]) -> bool) {
        let _watchdog = Watchdog::start();
        let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
        let seconds = variable("SEMIETPICKER_FUZZ_SECONDS").unwrap_or(self.seconds);
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        let seed = hasher.finish() ^ variable("SEMIETPICKER_FUZZ_SEED").unwrap_or(0.0) as u64;
        let mut random = ChaCha8Rng::seed_from_u64(seed);

        // Threads and tables that are made once are not the inputs'.
        for seed in &self.seeds {
            assert!(read(seed), "{}: a seed of {} bytes is refused", self.name, seed.len());
        }
        let mut findings = Vec::new();
        for (path, bytes) in &self.regressions {
            if let (_, Some(problem)) = self.attempt(&mut read, bytes) {
                findings.push(format!("{problem}: {}", path.display()));
            }
        }
        let longest = self.seeds.iter().map(Vec::len).max().unwrap_or(0).max(LONGEST_BYTES);
        let (mut tried, mut good, mut accepted) = (0_u64, 0_u64, Vec::<Vec<u8>>::new());
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < seconds && findings.len() < FINDINGS {
            let mut input = self.parent(&accepted, &mut random).to_vec();
            for _ in 0..1 + random.random_range(0..4_u32) * random.random_range(0..3_u32) {
                self.mutate(&mut input, &accepted, &mut random);
            }
            input.truncate(longest);
            let (was_accepted, problem) = self.attempt(&mut read, &input);
            tried += 1;
            if let Some(problem) = problem {
                let path = save(self.name, self.suffix, &input);
                println!("{}: {problem}, input {tried}: {}", self.name, path.display());
                findings.push(format!("{problem}: {}", path.display()));
            } else if was_accepted {
                good += 1;
                if accepted.len() < ACCEPTED {
                    accepted.push(input);
                } else {
                    accepted[random.random_range(0..ACCEPTED)] = input;
                }
            }
        }
        println!("{}: {tried} inputs, {good} accepted, in {:.1} s", self.name, begin.elapsed().as_secs_f64());
        assert!(findings.is_empty(), "{}: {} findings\n{}", self.name, findings.len(), findings.join("\n"));
        assert!(tried < 1000 || (good > 0 && good < tried), "{}: {good} of {tried} inputs accepted", self.name);
    }

    /// Gives one input to the reader; returns whether it was accepted, and what is wrong.
    fn attempt(&self, read: &mut impl FnMut(&[u8]) -> bool, input: &[u8]) -> (bool, Option<String>) {
        let mut begin = Instant::now();
        for _ in 0..2 {
            let result = self.attempt_once(read, input);
            if begin.elapsed() <= self.time_limit {
                return result;
            }
            begin = Instant::now();
        }
        let (accepted, problem) = self.attempt_once(read, input);
        let seconds = begin.elapsed().as_secs_f64();
        let slow = (begin.elapsed() > self.time_limit).then(|| format!("{seconds:.1} s, three times over"));
        (accepted, problem.or(slow))
    }

    fn attempt_once(&self, read: &mut impl FnMut(&[u8]) -> bool, input: &[u8]) -> (bool, Option<String>) {
        *lock(&CURRENT) = Some((self.name, self.suffix, input.to_vec()));
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        STARTED_MILLIS.store(now_millis(), Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| read(input)));
        STARTED_MILLIS.store(0, Ordering::Relaxed);
        let held = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        let allowed = (self.allowance)(input.len());
        let problem = match &result {
            Err(_) => Some("panic".to_owned()),
            Ok(_) if held > allowed => Some(format!("{held} bytes held for an input of {}, {allowed} allowed", input.len())),
            Ok(_) => None,
        };
        (result.unwrap_or(false), problem)
    }

    fn parent<'a>(&'a self, accepted: &'a [Vec<u8>], random: &mut ChaCha8Rng) -> &'a [u8] {
        let kind = random.random_range(0..4);
        let parent = match kind {
            0 => accepted.choose(random),
            1 => self.regressions.choose(random).map(|(_, bytes)| bytes),
            _ => None,
        };
        parent.or_else(|| self.seeds.choose(random)).map_or(&[], Vec::as_slice)
    }

    /// One change.
    fn mutate(&self, input: &mut Vec<u8>, accepted: &[Vec<u8>], random: &mut ChaCha8Rng) {
        let at = place(input, random);
        let rest = input.len() - at;
        let short = random.random_range(0..=rest.min(64));
        match random.random_range(0..16_u32) {
            0 | 1 if rest > 0 => input[at] ^= 1 << random.random_range(0..8_u32),
            2 if rest > 0 => input[at] = random.random(),
            3..=5 => {
                let field = if random.random_bool(0.5) { self.fields.choose(random).copied() } else { None };
                let (at, width) = field.unwrap_or_else(|| (at, 1 << random.random_range(0..4_u32)));
                put_number(input, at, width, random);
            }
            6 => input.truncate(at),
            7 => drop(input.drain(at..at + short)),
            8 => {
                let piece = input[at..at + short].to_vec();
                let to = place(input, random);
                drop(input.splice(to..to, piece));
            }
            9 => {
                let piece = input[at..at + short].to_vec();
                let to = place(input, random).min(input.len() - short);
                input[to..to + short].copy_from_slice(&piece);
            }
            10 => {
                let other = self.parent(accepted, random);
                let from = place(other, random);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            11 => {
                let piece: Vec<u8> = (0..random.random_range(1..16)).map(|_| random.random()).collect();
                drop(input.splice(at..at, piece));
            }
            12 if !self.tokens.is_empty() => {
                let token = self.tokens.choose(random).cloned().unwrap_or_default();
                let end = if random.random_bool(0.5) { at } else { (at + token.len()).min(input.len()) };
                drop(input.splice(at..end, token));
            }
            13 => replace_number(input, at, random),
            14 => {
                let piece = input[at..at + short].to_vec();
                let times = 1 << random.random_range(0..12_u32);
                let times = times.min(LONGEST_BYTES / piece.len().max(1));
                drop(input.splice(at..at, piece.repeat(times)));
            }
            _ => {
                let value = [0, 0xff, b' ', b'9', 0x80][random.random_range(0..5)];
                input[at..at + short].fill(value);
            }
        }
    }
}

/// A place in or just behind `bytes`: often near the beginning, where headers are.
fn place(bytes: &[u8], random: &mut ChaCha8Rng) -> usize {
    let end = if random.random_bool(0.5) { bytes.len().min(256) } else { bytes.len() };
    random.random_range(0..=end)
}

/// Writes an extreme or a slightly changed number.
fn put_number(input: &mut [u8], at: usize, width: usize, random: &mut ChaCha8Rng) {
    let Some(place) = input.get_mut(at..at + width) else { return };
    let big = random.random_bool(0.3);
    let number = if random.random_bool(0.3) {
        let mut old = [0; 8];
        old[..width].copy_from_slice(place);
        if big {
            old[..width].reverse();
        }
        i64::from_le_bytes(old).wrapping_add(random.random_range(-4..=4))
    } else {
        EXTREMES[random.random_range(0..EXTREMES.len())]
    };
    place.copy_from_slice(&number.to_le_bytes()[..width]);
    if big {
        place.reverse();
    }
}

/// Replaces the next number in a text.
fn replace_number(input: &mut Vec<u8>, at: usize, random: &mut ChaCha8Rng) {
    let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let Some(start) = input[at..].iter().position(part).map(|offset| at + offset) else { return };
    let end = input[start..].iter().position(|byte| !part(byte)).map_or(input.len(), |length| start + length);
    let number = NUMBERS[random.random_range(0..NUMBERS.len())];
    drop(input.splice(start..end, number.bytes()));
}

/// Writes an input to a file of its own and returns the path.
fn save(name: &str, suffix: &str, input: &[u8]) -> PathBuf {
    let folder = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from).join("findings");
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let path = folder.join(format!("{name}-{:016x}.{suffix}", hasher.finish()));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    if let Err(error) = written {
        println!("cannot keep the finding: {error}");
    }
    path
}

/// Bytes allocated and not given back.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The largest value of `LIVE` since it was last set.
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Held by the fuzzer at work.
static ALONE: Mutex<()> = Mutex::new(());
/// The input at hand: name, suffix, bytes.
static CURRENT: Mutex<Option<(&str, &str, Vec<u8>)>> = Mutex::new(None);
/// When it was given to the reader; 0 between inputs.
static STARTED_MILLIS: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the process has computed so far, where the system tells; else the time, as if it had computed all along.
fn computed() -> Duration {
    let ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        // User and system time, the 14th and 15th field, in hundredths of a second; the second may hold blanks.
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    });
    ticks.map_or_else(|| Duration::from_millis(now_millis()), |ticks| Duration::from_millis(10 * ticks))
}

fn now_millis() -> u64 {
    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

fn save_current(problem: &str) {
    // Not `lock`: this may be within an allocation made while the lock is held.
    if let Ok(current) = CURRENT.try_lock()
        && let Some((name, suffix, input)) = current.as_ref()
    {
        println!("{name}: {problem}: {}", save(name, suffix, input).display());
    }
}

/// A thread that ends the process when one input hangs.
struct Watchdog {
    over: std::sync::Arc<AtomicBool>,
}

impl Watchdog {
    fn start() -> Self {
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&over);
        let watch = move || {
            // The input that was seen last, and what the process had computed by then.
            let mut last = (0, Duration::ZERO);
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                let started = STARTED_MILLIS.load(Ordering::Relaxed);
                if started == 0 || started != last.0 {
                    last = (started, computed());
                    continue;
                }
                let waited = Duration::from_millis(now_millis().saturating_sub(started));
                if waited > DEADLOCK || (waited > HANG && computed().saturating_sub(last.1) > HANG) {
                    save_current("hangs");
                    std::process::abort();
                }
            }
        };
        std::thread::Builder::new().name("fuzz watchdog".to_owned()).spawn(watch).expect("a thread");
        Self { over }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn refuses(size: usize) -> bool {
        if size > REFUSED_BYTES {
            save_current(&format!("{size} bytes asked for at once"));
            return true;
        }
        false
    }

    fn taken(pointer: *mut u8, size: usize) -> *mut u8 {
        if !pointer.is_null() {
            let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
            PEAK.fetch_max(live, Ordering::Relaxed);
        }
        pointer
    }
}

// SAFETY: every request goes to the system's allocator as it is, or is refused by a null pointer; the rest is counting.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are passed on.
        Self::taken(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Self::refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are passed on.
        Self::taken(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Self::refuses(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are passed on.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        if !moved.is_null() {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            Self::taken(moved, size);
        }
        moved
    }
}
