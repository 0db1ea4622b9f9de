//! The thread that owns the model, and the handle that a front end holds.
//!
//! Commands reach the thread on a bounded channel and events return on a bounded channel. A heatmap never travels in a
//! queue: the newest [`LiveView`] lies in a slot, and an older one that nobody took is dropped. The front end shares no
//! lock with the thread for longer than a pointer swap, and never touches a tensor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded};

use super::protocol::{Command, Event, LiveView};
use crate::causes::with_causes;

/// Commands that may wait; more mean that the thread hangs.
const COMMANDS: usize = 256;
/// Events that may wait; beyond that, progress is dropped and other events wait for the front end.
const EVENTS: usize = 1024;
/// How long an event that must not be lost waits for a front end that does not read.
const PATIENCE: Duration = Duration::from_secs(60);

type Slot = Arc<Mutex<Option<LiveView>>>;
type Wake = Arc<dyn Fn() + Send + Sync>;

/// Why a command did not reach the training thread.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The thread has ended.
    #[error("the training thread has ended; save the project and start the program again")]
    Ended,
    /// The queue is full.
    #[error("the training thread is too busy to take another request; wait a moment and try again")]
    Busy,
    /// The thread could not be started.
    #[error("the training thread could not be started")]
    Start(#[source] std::io::Error),
}

/// The thread's own ends of the channels.
pub struct SessionEnds {
    commands: Receiver<Command>,
    events: Sender<Event>,
    slot: Slot,
    wake: Wake,
}

impl SessionEnds {
    /// The next command; waits for one. `None` when the front end is gone.
    pub fn wait_command(&self) -> Option<Command> {
        self.commands.recv().ok()
    }

    /// The next command if one is there; `Err` when the front end is gone.
    ///
    /// # Errors
    /// [`SessionError::Ended`] when nobody can send any more, so that a run in progress can end.
    pub fn poll_command(&self) -> Result<Option<Command>, SessionError> {
        match self.commands.try_recv() {
            Ok(command) => Ok(Some(command)),
            Err(crossbeam_channel::TryRecvError::Empty) => Ok(None),
            Err(crossbeam_channel::TryRecvError::Disconnected) => Err(SessionError::Ended),
        }
    }

    /// Whether a command waits.
    pub fn has_command(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Sends an event and asks the front end to look. Progress is dropped when the front end lags; other events wait.
    pub fn emit(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(
                Event::Progress(_) | Event::LiveView | Event::Picking { .. } | Event::ChoosingThresholds { .. },
            )) => {}
            Err(TrySendError::Full(event)) => {
                (self.wake)();
                if let Err(SendTimeoutError::Timeout(event)) = self.events.send_timeout(event, PATIENCE) {
                    log::error!("an event was dropped because nobody reads them: {event:?}");
                }
            }
        }
        (self.wake)();
    }

    /// Puts a newer view into the slot and says so.
    pub fn publish(&self, view: LiveView) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
        self.emit(Event::LiveView);
    }
}

/// A front end's handle on the training thread. Dropping it ends a run in progress and joins the thread.
pub struct Session {
    commands: Option<Sender<Command>>,
    events: Receiver<Event>,
    slot: Slot,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts the training thread. `wake` is called from it after each event, to ask a window for a repaint.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> Result<Self, SessionError> {
        Self::start_with(wake, super::worker::Worker::default)
    }

    /// Starts a session whose thread runs the given service instead of the real one; for tests of front ends.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start_with<S: Service>(
        wake: impl Fn() + Send + Sync + 'static,
        service: impl Fn() -> S + Send + 'static,
    ) -> Result<Self, SessionError> {
        let (command_sender, command_receiver) = bounded(COMMANDS);
        let (event_sender, event_receiver) = bounded(EVENTS);
        let slot = Slot::default();
        let ends = SessionEnds { commands: command_receiver, events: event_sender, slot: slot.clone(), wake: Arc::new(wake) };
        let thread = std::thread::Builder::new()
            .name("training".to_owned())
            .stack_size(16 << 20)
            .spawn(move || serve(&ends, service))
            .map_err(SessionError::Start)?;
        Ok(Self { commands: Some(command_sender), events: event_receiver, slot, thread: Some(thread) })
    }

    /// Sends a command; never waits.
    ///
    /// # Errors
    /// When the thread has ended or its queue is full.
    pub fn send(&self, command: Command) -> Result<(), SessionError> {
        let sender = self.commands.as_ref().ok_or(SessionError::Ended)?;
        sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => SessionError::Busy,
            TrySendError::Disconnected(_) => SessionError::Ended,
        })
    }

    /// The events that have arrived; never waits.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.try_iter()
    }

    /// The next event, waiting up to `timeout`.
    ///
    /// # Errors
    /// [`SessionError::Ended`] when the thread is gone; `Ok(None)` when nothing came in time.
    pub fn wait_event(&self, timeout: Duration) -> Result<Option<Event>, SessionError> {
        match self.events.recv_timeout(timeout) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(SessionError::Ended),
        }
    }

    /// The newest live view, if there is one that has not been taken yet.
    pub fn take_live_view(&self) -> Option<LiveView> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.commands = None;
        // Unblocks a thread that waits with an event for a reader.
        let (_, never) = bounded(0);
        self.events = never;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the training thread panicked while ending");
        }
    }
}

/// What runs on the training thread: handles commands one by one, and may look for further ones while it works.
pub trait Service {
    /// Handles a command. Long work polls [`SessionEnds::poll_command`] and handles what arrives.
    ///
    /// # Errors
    /// A message for people, sent as [`Event::Failed`].
    fn handle(&mut self, command: Command, ends: &SessionEnds) -> anyhow::Result<()>;
}

fn serve<S: Service>(ends: &SessionEnds, make: impl Fn() -> S) {
    let mut service = make();
    while let Some(command) = ends.wait_command() {
        match catch_unwind(AssertUnwindSafe(|| service.handle(command, ends))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ends.emit(Event::Failed(with_causes(error.as_ref(), ": "))),
            Err(panic) => {
                // The state may be half changed: start again from nothing. Labels live with the front end.
                service = make();
                ends.emit(Event::Failed(panic_message(panic.as_ref())));
            }
        }
    }
}

/// What a panic on the training thread means to the user. Running out of memory arrives here from the compute libraries.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no further message");
    let lower = text.to_lowercase();
    if lower.contains("out of memory") || lower.contains("outofmemory") || lower.contains("alloc") {
        format!("training ran out of memory: choose a smaller crop or batch, or the compact network ({text}). Labels are safe")
    } else {
        format!("training failed by a fault in the program: {text}. Labels are safe; the model in memory is lost")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Moody;

    impl Service for Moody {
        fn handle(&mut self, command: Command, ends: &SessionEnds) -> anyhow::Result<()> {
            match command {
                Command::Pause => panic!("deliberate"),
                Command::Resume => anyhow::bail!("refused"),
                Command::Stop => {
                    (0..5 * EVENTS).for_each(|_| ends.emit(Event::Resumed));
                    Ok(())
                }
                _ => {
                    ends.emit(Event::Paused);
                    Ok(())
                }
            }
        }
    }

    fn next(session: &Session) -> Event {
        session.wait_event(Duration::from_secs(10)).expect("alive").expect("in time")
    }

    #[test]
    fn a_panic_becomes_an_event_and_the_thread_goes_on() {
        let session = Session::start_with(|| {}, || Moody).unwrap();
        session.send(Command::Pause).unwrap();
        assert!(matches!(next(&session), Event::Failed(text) if text.contains("deliberate")));
        session.send(Command::SaveModel("x".into())).unwrap();
        assert!(matches!(next(&session), Event::Paused));
        session.send(Command::Resume).unwrap();
        assert!(matches!(next(&session), Event::Failed(text) if text == "refused"));
    }

    #[test]
    fn dropping_the_handle_ends_a_thread_that_waits_with_events() {
        let session = Session::start_with(|| {}, || Moody).unwrap();
        session.send(Command::Stop).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let start = std::time::Instant::now();
        drop(session);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn out_of_memory_says_what_to_do() {
        let panic: Box<dyn std::any::Any + Send> = Box::new("memory allocation failed".to_owned());
        assert!(panic_message(panic.as_ref()).contains("smaller crop"));
    }
}
