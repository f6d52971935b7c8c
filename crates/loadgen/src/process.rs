//! What the system knows of a process: CPU time, memory, calls that wait for the disk.

use std::{
    collections::HashMap,
    fs,
    process::{Child, Command, Stdio},
};

use anyhow::Context;

/// Clock ticks per second of `/proc/PID/stat`; Linux gives programs 100 on every machine of today.
const TICKS: f64 = 100.0;

/// CPU seconds of the process so far, in its own code and in the system.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks = |index| after_name.split_whitespace().nth(index).and_then(|field| field.parse::<u32>().ok());
    let (user, system) = (ticks(11).context("utime")?, ticks(12).context("stime")?);
    Ok((f64::from(user) + f64::from(system)) / TICKS)
}

/// Megabytes of memory: all that is resident, and the process's fair share of it.
pub(crate) fn memory_mb(pid: u32) -> anyhow::Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let fields: HashMap<_, _> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let mb = |name: &str| {
        let kb = fields.get(name).and_then(|value| value.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kb.map(|kb| crate::stats::round(kb / 1024.0)).with_context(|| format!("no {name}"))
    };
    Ok((mb("Rss")?, mb("Pss")?))
}

/// Counts the calls that wait until something is on disk, by `strace`. It slows the process: never time one meanwhile.
pub(crate) struct Syncs(Child);

impl Syncs {
    /// None where there is no `strace`, or it may not look.
    pub(crate) fn count(pid: u32) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-p", &pid.to_string()]);
        let mut child = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let attached =
            || fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| traced(&status));
        while !attached() {
            if child.try_wait().ok()?.is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        Some(Self(child))
    }

    /// How many there were.
    pub(crate) fn finish(self) -> anyhow::Result<u64> {
        // strace prints its table when it is interrupted, and lets the process go on.
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status()?;
        let table = self.0.wait_with_output()?.stderr;
        Ok(String::from_utf8_lossy(&table).lines().filter_map(calls).sum())
    }
}

/// The fourth column of `100.00    0.001   4   250   fsync`.
fn calls(line: &str) -> Option<u64> {
    let words: Vec<_> = line.split_whitespace().collect();
    let name = words.last()?;
    (*name == "fsync" || *name == "fdatasync").then(|| words.get(3)?.parse().ok()).flatten()
}

fn traced(status: &str) -> bool {
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                      60.10    0.000321           3        96           fdatasync\n\
                      39.90    0.000213           4        50         2 fsync\n\
                     100.00    0.000534           3       146         2 total\n";
        assert_eq!(table.lines().filter_map(calls).sum::<u64>(), 146);
    }

    #[test]
    fn a_traced_process_says_so() {
        assert!(traced("Name:\tx\nTracerPid:\t12\n"));
        assert!(!traced("Name:\tx\nTracerPid:\t0\n"));
    }
}
