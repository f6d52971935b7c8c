//! Work that gives way: mail that comes in, and whoever waits for an answer, are more urgent than the index.

use std::{io, thread};

/// Added to what a thread is nice by: beside one of the others that has work, too, it gets a tenth of a processor, and all
/// of one that is free.
const NICE: i32 = 10;

/// What the work gives, from a thread of its own that gives way, as do all those that the work starts.
pub(crate) fn at_leisure<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let run = move || {
            if let Err(error) = give_way() {
                tracing::debug!(%error, "the priority of a thread cannot be lowered");
            }
            work()
        };
        let thread = thread::Builder::new().name("index".to_owned()).spawn_scoped(scope, run)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Linux knows how nice each thread is, others only whole processes.
#[cfg(target_os = "linux")]
fn give_way() -> io::Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};

    Ok(setpriority_process(None, getpriority_process(None)?.saturating_add(NICE))?)
}

#[cfg(not(target_os = "linux"))]
fn give_way() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn only_the_work_and_what_it_starts_gives_way() {
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        let (own, started) = at_leisure(|| (nice(), thread::spawn(nice).join().unwrap())).unwrap();
        assert_eq!((own, started, nice()), ((before + NICE).min(19), (before + NICE).min(19), before));
    }

    #[test]
    fn a_panic_is_the_callers() {
        let failed = std::panic::catch_unwind(|| at_leisure(|| panic!("at work")));
        assert_eq!(failed.err().and_then(|why| why.downcast::<&str>().ok()).as_deref(), Some(&"at work"));
    }
}
