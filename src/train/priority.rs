//! Lower priority for the threads that compute, so that the window stays fluid on few cores.

/// How far the priority of a computing thread is lowered, in steps of `nice`.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Makes the calling thread give way to the window's. Only Linux knows priorities of single threads in this form; elsewhere nothing
/// happens. Without effect on speed while nobody else wants the processor.
pub(super) fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        log::debug!("the priority of a computing thread stays as it is: {error}");
    }
}

/// Starts the threads that the network computes with at a lower priority than the caller's. To be called once, before anything is
/// computed; later calls, or a pool that exists already, change nothing.
pub fn compute_in_background() {
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|index| format!("compute-{index}")).start_handler(|_| give_way());
    if let Err(error) = pool.build_global() {
        log::debug!("the computing threads keep their priority: {error}");
    }
}
