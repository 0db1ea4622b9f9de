//! Reads slices away from the window: of each pane, only the latest request counts.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::labels::TomogramId;
use crate::render::{SliceImage, SliceRequest, read_slice};
use crate::volume::{VolumeError, VolumeSource};

/// What a pane wants to show.
#[derive(Clone)]
pub struct Wanted {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// Its voxels.
    pub source: Arc<dyn VolumeSource>,
    /// The slice.
    pub request: SliceRequest,
}

/// What was read for a pane.
pub struct Loaded {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// The slice, or why it could not be read.
    pub slice: Result<Arc<SliceImage>, VolumeError>,
}

/// One place per pane in either direction, so nothing can pile up.
#[derive(Default)]
struct Shared {
    wanted: [Option<Wanted>; 3],
    loaded: [Option<Loaded>; 3],
    quit: bool,
}

/// A thread that reads slices. Dropping it ends the thread after the slice at hand.
pub struct SliceLoader {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

fn lock(mutex: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SliceLoader {
    /// Starts the thread; `wake` is called from it when a slice has been read.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new((Mutex::new(Shared::default()), Condvar::new()));
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new().name("slice loader".to_owned()).spawn(move || {
            let (mutex, changed) = &*for_thread;
            loop {
                let (pane, wanted) = {
                    let mut guard = lock(mutex);
                    loop {
                        if guard.quit {
                            return;
                        }
                        // The main pane comes first.
                        if let Some(pane) = guard.wanted.iter().position(Option::is_some)
                            && let Some(wanted) = guard.wanted[pane].take()
                        {
                            break (pane, wanted);
                        }
                        guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                    }
                };
                let slice = read_slice(wanted.source.as_ref(), wanted.request).map(Arc::new);
                let loaded = Loaded { tomogram: wanted.tomogram, slice };
                lock(mutex).loaded[pane] = Some(loaded);
                wake();
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for a slice for a pane; an earlier request that has not been begun is forgotten.
    pub fn request(&self, pane: usize, wanted: Wanted) {
        let (mutex, changed) = &*self.shared;
        if let Some(slot) = lock(mutex).wanted.get_mut(pane) {
            *slot = Some(wanted);
        }
        changed.notify_one();
    }

    /// What has been read for a pane since the last call.
    pub fn take(&self, pane: usize) -> Option<Loaded> {
        lock(&self.shared.0).loaded.get_mut(pane).and_then(Option::take)
    }
}

impl Drop for SliceLoader {
    fn drop(&mut self) {
        let (mutex, changed) = &*self.shared;
        lock(mutex).quit = true;
        changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the slice loader panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::geometry::VoxelBox;
    use crate::render::Plane;
    use crate::volume::{Level, VolumeInfo};

    /// Every voxel is its z index; each read takes a while.
    struct Slow {
        info: VolumeInfo,
        levels: Vec<Level>,
        reads: AtomicUsize,
    }

    impl VolumeSource for Slow {
        fn info(&self) -> &VolumeInfo {
            &self.info
        }

        fn levels(&self) -> &[Level] {
            &self.levels
        }

        fn read_region(&self, _level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(30));
            out.fill(region.start[0] as f32);
            Ok(())
        }
    }

    #[test]
    fn the_latest_request_wins_and_those_between_are_never_read() {
        let shape = [100, 4, 4];
        let info = VolumeInfo {
            path: "slow.mrc".into(),
            shape,
            spacing_angstrom: None,
            data_type: "float32".to_owned(),
            warnings: Vec::new(),
            facts: Vec::new(),
        };
        let slow = Arc::new(Slow { info, levels: vec![Level { shape, factor: [1.0; 3] }], reads: AtomicUsize::new(0) });
        let loader = SliceLoader::start(|| {}).unwrap();
        for depth in 0..100 {
            let request =
                SliceRequest { plane: Plane::Xy, depth, slab: 1, max_side: 64, level: 0, block: 1, low_pass_voxels: 0.0 };
            loader.request(0, Wanted { tomogram: TomogramId(1), source: slow.clone(), request });
        }
        let start = Instant::now();
        let mut latest = None;
        while start.elapsed() < Duration::from_secs(10) {
            if let Some(Loaded { slice: Ok(slice), .. }) = loader.take(0) {
                latest = Some(slice.request.depth);
                if latest == Some(99) {
                    assert_eq!(slice.values[0], 99.0);
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(latest, Some(99));
        assert!(slow.reads.load(Ordering::Relaxed) < 10, "requests that were overtaken were read");
    }
}
