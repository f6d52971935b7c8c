//! A secret that sings when an error repeats it: every key, and every kind of mistake that people make.

use std::fs;

use super::load;

const CANARY: &str = "kanarienvogel";

/// What people configure, each with the canary where a secret stands.
fn secrets() -> Vec<String> {
    [
        "postgres://m:CANARY@h:5432/d",
        "postgres://h/d?user=m&password=CANARY",
        "postgres:CANARY@h",
        "mysql://m:CANARY@h/d",
        "CANARY:6379",
        "u:CANARY@h:6379",
        ":CANARY@h",
        "CANARY@h:6379",
        "redis://:CANARY@h:99999/0",
        "redis://:CANARY@h:1?x=CANARY",
        "redis:u:CANARY@h",
        "meilisearch://h:7700?CANARY",
        "meilisearch://h:7700?api_key=CANARY",
        "meilisearch://h:7700?key=CANARY%zz",
        "meilisearch://u:CANARY@h",
        "s3://bucket?CANARY",
        "s3://bucket?CANARY=1",
        "s3://bucket?secret_access_key=CANARY",
        "s3://id:CANARY@bucket",
        "s3://CANARY/SECRET",
        "CANARY",
    ]
    .map(|text| text.replace("CANARY", CANARY))
    .to_vec()
}

/// The secrets to try in a key: all where secrets are at home, some elsewhere.
fn for_key(key: &str) -> Vec<String> {
    let is_home = key.ends_with("url") || key.ends_with("urls") || key.starts_with("cache");
    secrets().into_iter().step_by(if is_home { 1 } else { 11 }).collect()
}

/// Every key there is, and some that are none.
fn keys() -> Vec<String> {
    let text = load(None, &[]).unwrap().to_string();
    let mut keys = vec!["cache.ulr".to_owned(), "cache".to_owned(), "shards.urls.more".to_owned()];
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((name, _)) = line.split_once(" = ") {
            keys.push(format!("{section}{name}"));
        }
    }
    assert!(keys.len() > 50, "{keys:?}");
    keys
}

/// The text as people get it wrong in a file, below the section's header.
fn mistakes(name: &str, secret: &str) -> Vec<String> {
    vec![
        format!("{name} = \"{secret}\""),
        format!("{name} = \"{secret}"),
        format!("{name} = {secret}"),
        format!("{name} = '{secret}"),
        format!("{name} = \"{secret}\" \"{secret}\""),
        format!("{name} = [\"{secret}\"]"),
        format!("{name} = [\"{secret}\", 5]"),
        format!("{name} = [\"{secret}\", \"{secret}\"]"),
        format!("{name} = [\"{secret}\""),
        format!("{name} = [[\"{secret}\"]]"),
        format!("{name} = {{ url = \"{secret}\" }}"),
        format!("{name} = {{ \"{secret}\" = 1 }}"),
        format!("{name} = [{{ url = \"{secret}\" }}]"),
        format!("{name} = \"{secret}\"\n{name} = \"{secret}\""),
        format!("{name} \"{secret}\""),
        format!("{name}: {secret}"),
        format!("{name} = \"{secret}\\x\""),
        format!("\"{secret}\" = 1"),
        format!("\"{secret}\" = 1\n\"{secret}\" = 1"),
        format!("'{secret}"),
        secret.to_owned(),
        format!("{name} = \"\"\"{secret}"),
        format!("[{secret}]"),
        format!("[\"{secret}\"]\n[\"{secret}\"]"),
    ]
}

/// What `load` says, or what is shown of the configuration.
fn said(file: Option<&str>, environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(&path, file.unwrap_or_default()).unwrap();
    let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    match load(Some(&path), &environment) {
        Ok(_) => "fine".to_owned(),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains('\n'), "it is one line: {said}");
            if !environment.is_empty() {
                return said;
            }
            let line = said.strip_prefix(&*path.to_string_lossy()).and_then(|rest| rest.strip_prefix(':'));
            let has_place = line.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            // What does not go with the defaults may have its place there, and a whole text may have none.
            assert!(has_place || !said.starts_with(&*path.to_string_lossy()), "{file:?}: {said}");
            said
        }
    }
}

fn quiet(file: Option<&str>, environment: &[(&str, &str)]) {
    let said = said(file, environment);
    assert!(!said.contains(CANARY), "{file:?} {environment:?} says {said}");
}

#[test]
fn no_mistake_in_a_file_shows_a_secret() {
    for key in keys() {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        for secret in for_key(&key) {
            for mistake in mistakes(name, &secret) {
                quiet(Some(&format!("{header}{mistake}\n")), &[]);
            }
        }
    }
}

#[test]
fn no_mistake_in_the_environment_shows_a_secret() {
    for key in keys() {
        let variable = format!("MAGPIE_{}", key.replace('.', "__").to_uppercase());
        for secret in for_key(&key) {
            for value in [
                secret.clone(),
                format!("\"{secret}"),
                format!("[\"{secret}\""),
                format!("[\"{secret}\", \"{secret}\"]"),
                format!("[{secret}, 5]"),
                format!("{{url=\"{secret}\"}}"),
                format!("{{\"{secret}\"=1}}"),
                format!("[\"postgres://m:{CANARY}@h/0\", \"{secret}\"]"),
                format!("{secret},{secret}"),
            ] {
                quiet(None, &[(&variable, &value)]);
                quiet(None, &[(&variable, &value), ("AWS_SECRET_ACCESS_KEY", CANARY)]);
            }
        }
    }
}
