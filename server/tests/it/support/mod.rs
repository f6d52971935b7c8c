//! A real server on free ports with a folder of its own, and a client that is logged in to it.

pub(crate) mod door;

use std::{net::SocketAddr, time::Duration};

use mail::{Access, Incoming};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use server::{
    config,
    node::{Node, Options},
};
use tempfile::TempDir;
use testkit::Services;
use types::{EmailAddress, Secret};

/// What every account's password is.
pub(crate) const PASSWORD: &str = "correct horse";

/// What a server stands on.
pub(crate) enum Plane<'a> {
    /// Everything in its own folder.
    Embedded,
    /// A service of this name of PostgreSQL, Redis and S3. Without a MeiliSearch to try, its index is in its folder.
    Cluster(&'a Services, String),
}

/// Tests that take a [`Plane`], each on the embedded one, and one after another on the cluster's.
macro_rules! on_both_planes {
    ($($test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Plane::Embedded).await;
            })*
        }

        #[tokio::test]
        async fn the_same_on_the_cluster_plane() {
            let services = testkit::Services::start(1).await.unwrap();
            let mut services = (1..).map(|number| (&services, format!("service{number}")));
            $(
                eprintln!("{}", stringify!($test));
                let (engines, service) = services.next().unwrap();
                engines.create(&service).await.unwrap();
                $test(&Plane::Cluster(engines, service)).await;
            )*
        }
    };
}
pub(crate) use on_both_planes;

impl Plane<'_> {
    /// The variables that choose its parts.
    fn variables(&self) -> Vec<(String, String)> {
        let Self::Cluster(services, service) = self else { return Vec::new() };
        let mut variables = services.variables(service);
        if variables.contains(&("MAGPIE_SEARCH__URL".to_owned(), "none:".to_owned())) {
            variables.push(("MAGPIE_SEARCH__URL".to_owned(), "tantivy:search".to_owned()));
            variables.push(("MAGPIE_NODE__ALONE".to_owned(), "true".to_owned()));
        }
        variables
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) node: Node,
    pub(crate) web: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// With the accounts alice and bob at demo.test.
    pub(crate) async fn start(plane: &Plane<'_>) -> Self {
        Self::start_with(plane, &[]).await
    }

    /// With these keys set, each as its variable of the environment.
    pub(crate) async fn start_with(plane: &Plane<'_>, keys: &[(&str, &str)]) -> Self {
        let server = Self::join(plane, keys).await;
        let admin = server.node.mail.admin();
        admin.add_domain("demo.test").await.unwrap();
        for name in ["alice", "bob"] {
            let address = format!("{name}@demo.test").parse().unwrap();
            admin.add_account(&address, name, Secret::new(PASSWORD.into()), None).await.unwrap();
        }
        server
    }

    /// Another node of the service, where the plane has several.
    pub(crate) async fn join(plane: &Plane<'_>, keys: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut variables = vec![("MAGPIE_DATA_DIR".to_owned(), data.display().to_string())];
        for listener in ["HTTP", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
            variables.push((format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0".to_owned()));
        }
        variables.extend(plane.variables());
        variables.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = config::load(None, &variables).unwrap().config;
        let node = Node::start(config, Options::default()).await.unwrap();
        Self { web: node.addresses.web.unwrap(), node, folder }
    }

    /// The variables with which commands work beside it.
    pub(crate) fn variables(&self, plane: &Plane<'_>) -> Vec<(String, String)> {
        let data = self.folder.path().join("data").display().to_string();
        plane.variables().into_iter().chain([("MAGPIE_DATA_DIR".to_owned(), data)]).collect()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.web)
    }

    /// A client without a session.
    pub(crate) fn nobody(&self) -> Client {
        Client { base: self.url(""), token: None, http: http() }
    }

    /// A client with a bearer token.
    pub(crate) async fn login(&self, name: &str) -> Client {
        self.login_with(name, PASSWORD).await.expect("the password is right")
    }

    /// The same; `None` if the password is wrong.
    pub(crate) async fn login_with(&self, name: &str, password: &str) -> Option<Client> {
        let mut client = self.nobody();
        let body = json!({ "email": format!("{name}@demo.test"), "password": password });
        let answer = client.post("/v1/session", &body).await;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return None;
        }
        assert_eq!(answer.status(), StatusCode::OK);
        client.token = Some(json_of(answer).await["token"].as_str().unwrap().to_owned());
        Some(client)
    }

    pub(crate) async fn access(&self, name: &str) -> Access {
        let address: EmailAddress = format!("{name}@demo.test").parse().unwrap();
        self.node.mail.admin().open(&address).await.unwrap()
    }

    /// Has a mail come in from outside.
    pub(crate) async fn deliver(&self, to: &str, raw: &str) -> String {
        let address: EmailAddress = format!("{to}@demo.test").parse().unwrap();
        let account = self.access(to).await.id();
        let id = self.node.mail.new_id();
        let incoming = Incoming {
            id,
            return_path: Some("carol@elsewhere.example".parse().unwrap()),
            recipients: vec![(address, account).into()],
            terms: types::Terms::default(),
            raw: raw.replace('\n', "\r\n").into(),
        };
        self.node.mail.deliver(incoming).await.unwrap();
        id.to_string()
    }

    pub(crate) async fn stop(self) {
        self.node.stop(Duration::from_secs(10)).await;
    }
}

/// A mail with this subject.
pub(crate) fn mail(subject: &str) -> String {
    format!(
        "From: Carol <carol@elsewhere.example>\nTo: alice@demo.test\nSubject: {subject}\nMessage-ID: <{}@x.example>\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0000\n\nHello, this is {subject}.\n",
        subject.replace(' ', ".")
    )
}

/// Somebody who calls the API.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    pub(crate) token: Option<String>,
    http: reqwest::Client,
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

impl Client {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The JSON of a 200.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        json_of(answer).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Response {
        self.send(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        let request = self.request(method, path).header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }

    /// The id of the folder with this role.
    pub(crate) async fn folder(&self, role: &str) -> String {
        let folders = self.read("/v1/folders").await;
        let folders = folders["folders"].as_array().unwrap();
        let folder = folders.iter().find(|folder| folder["role"] == role).unwrap();
        folder["id"].as_str().unwrap().to_owned()
    }

    /// The messages of the folder with this role.
    pub(crate) async fn messages(&self, role: &str) -> Vec<Value> {
        let folder = self.folder(role).await;
        let page = self.read(&format!("/v1/folders/{folder}/messages")).await;
        page["messages"].as_array().unwrap().clone()
    }
}

pub(crate) async fn json_of(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Asks again until there is an answer; what happens in the background takes a moment.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
