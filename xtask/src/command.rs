//! Running other programs: in plain sight, and with an error that names what failed.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Context;

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Shows the command, runs it, and fails when it does.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = show(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| line.clone())?;
    anyhow::ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Runs it like [`run`], and gives every line that it prints to `on_line` too; true where it succeeded.
pub(crate) fn watch(command: &mut Command, mut on_line: impl FnMut(&str)) -> anyhow::Result<bool> {
    let line = show(command);
    eprintln!("$ {line}");
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer).stdin(Stdio::null());
    let mut child = command.spawn().with_context(|| line.clone())?;
    // The command holds the writing ends; the pipe must close when the child does.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        writeln!(out, "{text}")?;
        on_line(&text);
    }
    Ok(child.wait()?.success())
}

/// What a command prints, where it succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where the shell would find `name`, or a folder of system programs has it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs one step and says how long it took.
pub(crate) fn timed<T>(name: &str, step: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("== {name}");
    let begin = Instant::now();
    let result = step();
    eprintln!("== {name}: {:.1} s", begin.elapsed().as_secs_f64());
    result
}

fn show(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
