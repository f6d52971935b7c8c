//! Makes the table of the site's files that `src/site.rs` embeds.
//!
//! `cargo xtask` builds the site and names its folder in `MAGPIE_SITE`. Without that variable, as in a plain
//! `cargo check`, the table is empty and the server is complete but for the browser's files.

use std::{
    collections::BTreeSet,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=MAGPIE_SITE");
    println!("cargo::rerun-if-changed=build.rs");
    let mut table = String::from("&[\n");
    if let Some(site) = env::var_os("MAGPIE_SITE").filter(|site| !site.is_empty()).map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", site.display());
        let files = files(&site)?;
        for path in files.iter().filter(|path| !is_compressed_form(path, &files)) {
            table.push_str(&entry(&site, path, &files)?);
        }
    }
    table.push(']');
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("site.rs"), table)
}

fn entry(site: &Path, path: &str, files: &BTreeSet<String>) -> io::Result<String> {
    let mut hash = DefaultHasher::new();
    fs::read(site.join(path))?.hash(&mut hash);
    let include = |path: &str| format!("include_bytes!({:?})", site.join(path));
    let packed = |extension: &str| {
        let path = format!("{path}.{extension}");
        files.get(&path).map_or_else(|| "None".to_owned(), |path| format!("Some({})", include(path)))
    };
    Ok(format!(
        "File {{ path: \"/{path}\", hash: \"{:016x}\", plain: {}, br: {}, gz: {} }},\n",
        hash.finish(),
        include(path),
        packed("br"),
        packed("gz"),
    ))
}

fn is_compressed_form(path: &str, files: &BTreeSet<String>) -> bool {
    [".br", ".gz"].iter().any(|end| path.strip_suffix(end).is_some_and(|plain| files.contains(plain)))
}

/// Every file below the site's folder, but its own list of names, as paths with `/`.
fn files(site: &Path) -> io::Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![site.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(site) {
                files.insert(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    files.remove("manifest.json");
    Ok(files)
}
