//! The files of the site: names that carry a hash of the content, compressed forms, one list of it all.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use anyhow::Context;

use super::Quality;

/// What no compression makes smaller.
const PACKED: &[&str] = &["png", "jpg", "jpeg", "webp", "avif", "woff2", "ico", "gz", "br"];

pub(super) struct Bundle {
    quality: Quality,
    files: BTreeMap<String, Vec<u8>>,
    /// Logical name to path, for `manifest.json`.
    names: BTreeMap<String, String>,
}

impl Bundle {
    pub(super) fn new(quality: Quality) -> Self {
        Self { quality, files: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// Takes a file under a name that changes with its content, so that browsers keep it for ever; gives its file name.
    pub(super) fn hashed(&mut self, name: &str, content: &[u8]) -> String {
        let hash = blake3::hash(content).to_hex();
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let file = format!("{stem}.{}.{extension}", hash.get(..12).unwrap_or_default());
        let path = format!("assets/{file}");
        self.names.insert(name.to_owned(), path.clone());
        self.files.insert(path, content.to_owned());
        file
    }

    /// Takes a file under its own path.
    pub(super) fn plain(&mut self, path: &str, content: &[u8]) {
        self.names.insert(path.to_owned(), path.to_owned());
        self.files.insert(path.to_owned(), content.to_owned());
    }

    /// Writes all of it to a fresh folder, which then takes the place of `site`.
    pub(super) fn write(&self, site: &Path) -> anyhow::Result<()> {
        let fresh = site.with_extension("new");
        remove(&fresh)?;
        for (path, content) in &self.files {
            let file = fresh.join(path);
            fs::create_dir_all(file.parent().context("a file has a folder")?)?;
            fs::write(&file, content)?;
            if compressible(path) {
                let forms = [("br", brotli(content, self.quality)?), ("gz", gzip(content, self.quality)?)];
                for (extension, packed) in forms.iter().filter(|(_, packed)| packed.len() < content.len()) {
                    fs::write(fresh.join(format!("{path}.{extension}")), packed)?;
                }
            }
        }
        fs::write(fresh.join("manifest.json"), serde_json::to_vec_pretty(&self.names)?)?;
        remove(site)?;
        fs::rename(&fresh, site).with_context(|| site.display().to_string())
    }
}

fn compressible(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    !PACKED.contains(&extension)
}

fn brotli(content: &[u8], quality: Quality) -> anyhow::Result<Vec<u8>> {
    let level = match quality {
        Quality::Draft => 5,
        Quality::Release => 11,
    };
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: level,
        lgwin: 22,
        size_hint: content.len(),
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &*content, &mut packed, &params)?;
    Ok(packed)
}

fn gzip(content: &[u8], quality: Quality) -> anyhow::Result<Vec<u8>> {
    let level = match quality {
        Quality::Draft => flate2::Compression::fast(),
        Quality::Release => flate2::Compression::best(),
    };
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), level);
    packed.write_all(content)?;
    Ok(packed.finish()?)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_name_changes_with_the_content() {
        let mut bundle = Bundle::new(Quality::Draft);
        let first = bundle.hashed("magpie.css", b"a{}");
        assert_eq!(first, bundle.hashed("magpie.css", b"a{}"));
        assert_ne!(first, bundle.hashed("magpie.css", b"b{}"));
        assert!(first.starts_with("magpie.") && first.ends_with(".css"), "{first}");
    }

    #[test]
    fn compressed_forms_hold_the_same_bytes() {
        let content = "a{color:red}".repeat(200).into_bytes();
        for quality in [Quality::Draft, Quality::Release] {
            let mut plain = Vec::new();
            brotli::BrotliDecompress(&mut &*brotli(&content, quality).unwrap(), &mut plain).unwrap();
            assert_eq!(plain, content);
            plain.clear();
            flate2::read::GzDecoder::new(&*gzip(&content, quality).unwrap()).read_to_end(&mut plain).unwrap();
            assert_eq!(plain, content);
        }
    }

    #[test]
    fn pictures_are_left_as_they_are() {
        assert!(compressible("assets/magpie.wasm") && compressible("icon.svg"));
        assert!(!compressible("icons/192.png"));
    }
}
