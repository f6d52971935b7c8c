//! Builds the binary `magpie` with the site inside, and starts it.

use std::path::PathBuf;

use crate::{
    command::{self, cargo},
    site::{self, Quality},
    workspace::Workspace,
};

/// How much the compiler works on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    pub(crate) fn new(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Site and server; the binary needs no other file.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> anyhow::Result<PathBuf> {
    let quality = match profile {
        Profile::Dev => Quality::Draft,
        Profile::Release => Quality::Release,
    };
    let site = site::build(workspace, quality)?;
    let mut build = cargo();
    build.current_dir(&workspace.root).args(["build", "--package", "magpie"]).env(site::FOLDER, site);
    if profile == Profile::Release {
        build.arg("--release");
    }
    command::run(&mut build)?;
    Ok(binary(workspace, profile))
}

/// Where cargo leaves the binary.
pub(crate) fn binary(workspace: &Workspace, profile: Profile) -> PathBuf {
    workspace.target.join(profile.folder()).join(format!("magpie{}", std::env::consts::EXE_SUFFIX))
}

/// Builds, and becomes `magpie serve --demo`.
pub(crate) fn run(workspace: &Workspace, profile: Profile, args: &[String]) -> anyhow::Result<()> {
    let binary = build(workspace, profile)?;
    let mut serve = std::process::Command::new(binary);
    serve.args(["serve", "--demo"]).args(args);
    replace(serve)
}

#[cfg(unix)]
fn replace(mut command: std::process::Command) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn replace(mut command: std::process::Command) -> anyhow::Result<()> {
    command::run(&mut command)
}
