//! Decoded pieces of chunks, kept for the next read: one cache for all open volumes, so its size bounds the memory of all.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::volume::VolumeError;

/// Bytes kept when no volume needs more.
const BYTES: usize = 256 << 20;
/// Bytes kept at most, for volumes of which not even a slice fits otherwise, because their chunks decode as a whole only.
const MOST_BYTES: usize = 1 << 30;
/// What an entry takes besides its voxels.
const ENTRY_BYTES: usize = 256;

/// A decoded piece: stored voxels in this machine's byte order, row-major.
pub(super) enum Piece {
    Voxels(Vec<u8>),
    /// Nothing was written here: every voxel is the array's fill value.
    Fill,
}

impl Piece {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Voxels(bytes) => bytes.capacity(),
                Self::Fill => 0,
            }
    }
}

/// Whose piece: volume, level, first voxel `(z, y, x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) volume: u64,
    pub(super) level: usize,
    pub(super) start: [usize; 3],
}

/// A place for a piece; locked while it is decoded, so that nobody else decodes the same one.
type Slot = Arc<Mutex<Option<Arc<Piece>>>>;

struct Entry {
    slot: Slot,
    bytes: usize,
    used: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Keys by time of last use.
    order: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
    /// What each open volume asks to be kept.
    wishes: HashMap<u64, usize>,
}

/// The cache of this process.
#[derive(Default)]
pub(super) struct Cache(Mutex<State>);

static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

/// The one cache.
pub(super) fn shared() -> &'static Cache {
    &CACHE
}

/// A number that no other volume of this process has.
pub(super) fn new_volume() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps up to `bytes`, within limits, while `volume` is open.
    pub(super) fn reserve(&self, volume: u64, bytes: usize) {
        self.state().wishes.insert(volume, bytes);
    }

    /// Drops all that is of a volume.
    pub(super) fn forget(&self, volume: u64) {
        let mut state = self.state();
        state.wishes.remove(&volume);
        let gone: Vec<Key> = state.entries.keys().filter(|key| key.volume == volume).copied().collect();
        for key in gone {
            state.remove(key);
        }
        state.evict(None);
    }

    /// The piece of `key`, decoded by `decode` if it is not there. `decode` runs on the calling thread, which then must not take
    /// up other work that may want the same piece.
    pub(super) fn get(&self, key: Key, decode: impl FnOnce() -> Result<Piece, VolumeError>) -> Result<Arc<Piece>, VolumeError> {
        let slot = self.state().touch(key);
        let mut place = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = &*place {
            return Ok(piece.clone());
        }
        let decoded = decode();
        let mut state = self.state();
        match decoded {
            Ok(piece) => {
                let piece = Arc::new(piece);
                *place = Some(piece.clone());
                state.weigh(key, &slot, piece.bytes());
                Ok(piece)
            }
            Err(error) => {
                // The next reader tries again: a network may be back.
                state.remove_if(key, &slot);
                Err(error)
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes_of(&self, volume: u64) -> usize {
        self.state().entries.iter().filter(|(key, _)| key.volume == volume).map(|(_, entry)| entry.bytes).sum()
    }
}

impl State {
    /// The slot of a key, made when absent, marked as just used.
    fn touch(&mut self, key: Key) -> Slot {
        self.clock += 1;
        let clock = self.clock;
        let entry = self.entries.entry(key).or_insert_with(|| Entry { slot: Slot::default(), bytes: 0, used: clock });
        self.order.remove(&entry.used);
        entry.used = clock;
        self.order.insert(clock, key);
        entry.slot.clone()
    }

    /// Notes the size of a decoded piece, if its slot is still the key's, and makes room for it.
    fn weigh(&mut self, key: Key, slot: &Slot, bytes: usize) {
        match self.entries.get_mut(&key) {
            Some(entry) if Arc::ptr_eq(&entry.slot, slot) => {
                self.bytes = self.bytes - entry.bytes + bytes;
                entry.bytes = bytes;
            }
            _ => return,
        }
        self.evict(Some(key));
    }

    /// Gives up what was used least recently, but not `newest`.
    fn evict(&mut self, newest: Option<Key>) {
        let most = self.wishes.values().copied().max().unwrap_or(0).clamp(BYTES, MOST_BYTES);
        while self.bytes > most {
            // Entries that are being decoded weigh nothing yet.
            let oldest = self.order.values().find(|key| Some(**key) != newest && self.entries[*key].bytes > 0).copied();
            let Some(oldest) = oldest else { break };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }

    fn remove_if(&mut self, key: Key, slot: &Slot) {
        if self.entries.get(&key).is_some_and(|entry| Arc::ptr_eq(&entry.slot, slot)) {
            self.remove(key);
        }
    }
}
