//! Builds the site: WebAssembly and its loader, styles and public files, under names that change with their
//! content, each with its compressed forms beside it.
//!
//! The server's build script embeds the folder that comes out. Where no input changed since the last time,
//! nothing is done.

mod bundle;
mod styles;
mod wasm;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::workspace::Workspace;
use bundle::Bundle;

/// The variable that tells the server's build script where the site lies.
pub(crate) const FOLDER: &str = "MAGPIE_SITE";

/// What loader and WebAssembly may weigh together, brotli-compressed: what a first visit waits for.
const BUDGET: u64 = 600 * 1024;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    /// Fast, for the developer's own browser.
    Draft,
    /// As small as can be, held against the budget.
    Release,
}

/// Builds what is out of date, and gives the folder.
pub(crate) fn build(workspace: &Workspace, quality: Quality) -> anyhow::Result<PathBuf> {
    let site = workspace.site();
    let raw = wasm::compile(workspace)?;
    let optimiser = wasm::Optimiser::find(workspace, quality);
    let key = key(workspace, &raw, quality, optimiser.is_some())?;
    let stamp = workspace.target.join("site.key");
    let built = fs::read_to_string(&stamp).is_ok_and(|built| built == key) && site.is_dir();
    if !built {
        let _ = fs::remove_file(&stamp);
        let module = wasm::bind(&raw, optimiser.as_ref())?;
        assemble(workspace, &module, quality)?.write(&site)?;
        fs::write(&stamp, &key)?;
    }
    report(&site, quality)?;
    Ok(site)
}

fn assemble(workspace: &Workspace, module: &wasm::Module, quality: Quality) -> anyhow::Result<Bundle> {
    let mut bundle = Bundle::new(quality);
    let css = styles::compile(&workspace.root.join("style"))?;
    bundle.hashed("magpie.css", css.as_bytes());
    let wasm = bundle.hashed("magpie.wasm", &module.wasm);
    bundle.hashed("magpie.js", module.loader(&wasm).as_bytes());
    for (path, text) in &module.snippets {
        bundle.plain(&format!("assets/snippets/{path}"), text.as_bytes());
    }
    let public = workspace.root.join("public");
    for file in files_under(&public)? {
        let name = file.strip_prefix(&public)?.to_string_lossy().replace('\\', "/");
        bundle.plain(&name, &fs::read(&file).with_context(|| file.display().to_string())?);
    }
    Ok(bundle)
}

/// A hash of everything that the site is made from, this program included.
fn key(workspace: &Workspace, wasm: &Path, quality: Quality, optimised: bool) -> anyhow::Result<String> {
    let mut hash = blake3::Hasher::new();
    hash.update(format!("{quality:?} {optimised}").as_bytes());
    let mut inputs = vec![wasm.to_owned(), std::env::current_exe()?];
    for folder in ["style", "public"] {
        inputs.extend(files_under(&workspace.root.join(folder))?);
    }
    for input in inputs {
        hash.update(input.as_os_str().as_encoded_bytes());
        hash.update(blake3::hash(&fs::read(&input)?).as_bytes());
    }
    Ok(hash.finalize().to_hex().to_string())
}

/// Prints what a visitor loads, and refuses what is over the budget.
fn report(site: &Path, quality: Quality) -> anyhow::Result<()> {
    let mut total = 0;
    for file in files_under(&site.join("assets"))? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(plain) = name.strip_suffix(".br") else { continue };
        let size = fs::metadata(&file)?.len();
        let full = fs::metadata(file.with_file_name(plain))?.len();
        eprintln!("   {plain}: {} KB, {} KB brotli", full.div_ceil(1024), size.div_ceil(1024));
        if plain.ends_with(".js") || plain.ends_with(".wasm") {
            total += size;
        }
    }
    eprintln!("   loader and WebAssembly: {} of {} KB brotli", total.div_ceil(1024), BUDGET / 1024);
    anyhow::ensure!(
        quality == Quality::Draft || total <= BUDGET,
        "loader and WebAssembly are over their budget of {} KB brotli",
        BUDGET / 1024
    );
    Ok(())
}

/// Every file below a folder, in order; none where there is no such folder.
pub(crate) fn files_under(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}
