//! The files of `deploy/` can be read, and name only keys, roles, ports, services and files that there are.

use std::{collections::BTreeSet, fs, path::PathBuf};

use figment::{Figment, providers::Serialized};
use server::roles::Roles;
use yaml_rust2::{Yaml, YamlLoader};

/// Sections that listen, by their ports' names in Kubernetes.
const LISTENERS: [&str; 4] = ["http", "smtp", "submission", "submissions"];

fn folder() -> PathBuf {
    PathBuf::from("../deploy")
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
fn yaml(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below `deploy/`, by its path there.
fn files() -> Vec<String> {
    let mut folders = vec![folder()];
    let mut files = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

fn cluster() -> Figment {
    toml(&read("magpie.toml"))
}

/// The ports that the example of a cluster listens on, by section.
fn ports() -> Vec<(&'static str, u16)> {
    let port = |section: &'static str| {
        let listen: String = cluster().extract_inner(&format!("{section}.listen")).unwrap();
        (section, listen.rsplit_once(':').unwrap().1.parse().unwrap())
    };
    LISTENERS.into_iter().map(port).collect()
}

fn toml(text: &str) -> Figment {
    Figment::from(Serialized::defaults(toml::from_str::<figment::value::Dict>(text).unwrap()))
}

fn strings(yaml: &Yaml) -> Vec<&str> {
    yaml.as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect()
}

/// `["serve", "--roles", "web"]`
fn check_roles(arguments: &[&str]) {
    let [serve, roles, names] = arguments else { panic!("{arguments:?} are not three words") };
    assert_eq!((*serve, *roles), ("serve", "--roles"));
    names.parse::<Roles>().unwrap();
}

#[test]
fn variables_and_keys_are_those_of_the_configuration() {
    let known = toml(include_str!("../../config.default.toml"));
    let is_known = |key: &str| known.find_value(key).is_ok();
    for file in files() {
        let text = read(&file);
        for (at, _) in text.match_indices("MAGPIE_") {
            let rest = &text[at + "MAGPIE_".len()..];
            let name = rest
                .split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
                .next()
                .unwrap();
            let key = name.to_lowercase().replace("__", ".");
            assert!(key == "config" || is_known(&key), "{file}: MAGPIE_{name} is no key");
        }
    }
    let example: figment::value::Dict = cluster().extract().unwrap();
    for (section, value) in example {
        let keys = value.as_dict().map(|keys| keys.keys().map(|key| format!("{section}.{key}")).collect());
        for key in keys.unwrap_or_else(|| vec![section]) {
            assert!(is_known(&key), "magpie.toml: there is no key {key}");
        }
    }
}

#[test]
fn compose_starts_roles_that_there_are() {
    let compose = yaml("compose.yaml");
    let services = compose[0]["services"].as_hash().unwrap();
    let mut nodes = 0;
    for (_, service) in services {
        // What stands behind `<<` is merged by compose, not by this parser.
        if service["<<"]["image"].as_str() == Some("magpie:latest") {
            check_roles(&strings(&service["command"]));
            nodes += 1;
        }
    }
    assert_eq!(nodes, 6);
}

#[test]
fn haproxy_sends_to_services_and_ports_that_there_are() {
    let compose = yaml("compose.yaml");
    let services: BTreeSet<_> =
        compose[0]["services"].as_hash().unwrap().keys().filter_map(Yaml::as_str).collect();
    let ports = ports();
    let (mut backend, mut servers) = (String::new(), 0);
    for line in read("haproxy/haproxy.cfg").lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["backend", name, ..] => (*name).clone_into(&mut backend),
            ["server", _, to, rest @ ..] => {
                let (host, port) = to.split_once(':').unwrap();
                assert!(services.contains(host), "{line}");
                let section = if ["web", "realtime"].contains(&&*backend) { "http" } else { &*backend };
                let wanted = ports.iter().find(|(name, _)| *name == section).unwrap().1;
                assert_eq!(port, wanted.to_string(), "{line}");
                // SMTP listeners are told of the client, and asked for their health over HTTP.
                if section != "http" {
                    assert_eq!(rest, ["send-proxy-v2", "check", "port", &*ports[0].1.to_string()], "{line}");
                }
                servers += 1;
            }
            _ => {}
        }
    }
    assert_eq!(servers, 10);
    let told: Vec<String> = cluster().extract_inner("proxy_protocol.listeners").unwrap();
    assert_eq!(told, &LISTENERS[1..], "those that HAProxy sends the PROXY protocol to");
}

#[test]
fn kubernetes_names_files_roles_and_ports_that_there_are() {
    let of = |name: &str| yaml(&format!("kubernetes/{name}"));
    let kustomization = of("kustomization.yaml");
    let mut named: BTreeSet<_> =
        strings(&kustomization[0]["resources"]).into_iter().map(str::to_owned).collect();
    named.insert("kustomization.yaml".to_owned());
    let there: BTreeSet<_> =
        files().iter().filter_map(|file| Some(file.strip_prefix("kubernetes/")?.to_owned())).collect();
    assert_eq!(named, there);

    let config = of("config.yaml");
    for (section, port) in ports() {
        let listen = &config[0]["data"][&*format!("MAGPIE_{}__LISTEN", section.to_uppercase())];
        assert_eq!(listen.as_str().unwrap(), format!("[::]:{port}"));
    }
    for role in ["web", "realtime", "smtp", "worker"] {
        let documents = of(&format!("{role}.yaml"));
        let container = &documents[0]["spec"]["template"]["spec"]["containers"][0];
        check_roles(&strings(&container["args"]));
        for port in container["ports"].as_vec().unwrap() {
            let port = (
                port["name"].as_str().unwrap(),
                u16::try_from(port["containerPort"].as_i64().unwrap()).unwrap(),
            );
            assert!(ports().contains(&port), "{role}: {port:?}");
        }
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let path = container[probe]["httpGet"]["path"].as_str().unwrap();
            assert!(["/healthz", "/readyz"].contains(&path), "{role}: {probe}");
        }
    }
}

#[test]
fn the_image_and_the_unit_are_about_this_program() {
    let image = read("Containerfile");
    for (section, port) in ports() {
        let variable = format!("MAGPIE_{}__LISTEN=0.0.0.0:{port}", section.to_uppercase());
        assert!(image.contains(&variable), "{variable}");
    }
    let rust = format!("FROM docker.io/library/rust:{}-bookworm", env!("CARGO_PKG_RUST_VERSION"));
    assert!(image.contains(&rust), "the image is built with {rust}");
    let unit = read("systemd/magpie.service");
    let roles = unit.lines().find_map(|line| line.strip_prefix("Environment=ROLES=")).unwrap();
    check_roles(&["serve", "--roles", roles]);
}

#[test]
fn the_example_of_a_cluster_is_a_configuration() {
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_magpie"));
    // As deploy/ has them: secrets come by the environment.
    check.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    let output = check.args(["check-config", "--config"]).arg(folder().join("magpie.toml")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn operators_are_told_of_metrics_and_keys_that_there_are() {
    let text = fs::read_to_string(folder().join("../docs/operations.md")).unwrap();
    let sources = sources();
    for (at, _) in text.match_indices("magpie_") {
        let name = text[at..].split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
        assert!(
            sources.iter().any(|source| source.contains(&format!("\"{name}\""))),
            "there is no metric {name}"
        );
    }
    let known = toml(include_str!("../../config.default.toml"));
    let sections: figment::value::Dict = known.extract().unwrap();
    for word in text.split('`').skip(1).step_by(2) {
        let key = word.split([' ', '=', ':']).next().unwrap_or_default();
        if key.split_once('.').is_some_and(|(section, _)| sections.contains_key(section)) {
            assert!(known.find_value(key).is_ok(), "there is no key {key}");
        }
    }
}

/// The text of every source file of the service.
fn sources() -> Vec<String> {
    let top = folder().join("..");
    let mut folders = vec![top.join("server/src"), top.join("crates")];
    let mut texts = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}
