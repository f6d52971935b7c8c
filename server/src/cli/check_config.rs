//! `magpie check-config`.

use crate::config::Loaded;

pub(super) fn run(loaded: &Loaded) -> anyhow::Result<()> {
    match &loaded.file {
        Some(file) => println!("# {} and the environment, over the defaults", file.display()),
        None => println!("# The environment over the defaults; there is no file"),
    }
    print!("{loaded}");
    Ok(())
}
