//! The program under test: started, asked over its REST API, killed.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const PASSWORD: &str = "crash-test-password";

fn magpie(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(folder).env("MAGPIE_DATA_DIR", folder.join("data"));
    for listener in ["HTTP", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
        command.env(format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0");
    }
    for limit in ["SENDS_PER_HOUR", "REQUESTS_PER_MINUTE", "LOGINS_PER_MINUTE"] {
        command.env(format!("MAGPIE_LIMITS__{limit}"), "1000000");
    }
    command.env("MAGPIE_LOG__LEVEL", "warn");
    command
}

/// The domain and accounts that the test uses.
pub(crate) fn create_accounts(folder: &Path) {
    let domain = magpie(folder).args(["domain", "add", "crash.test"]).output().unwrap();
    assert!(domain.status.success(), "{domain:?}");
    for user in ["alice", "bob"] {
        let address = format!("{user}@crash.test");
        let mut command = magpie(folder);
        command.args(["account", "add", &address, "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(child.wait().unwrap().success(), "could not add {address}");
    }
}

/// A running server.
pub(crate) struct Node {
    child: Child,
    web: String,
    /// `host:port` for mail from elsewhere.
    pub(crate) smtp: String,
}

impl Node {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same with this in its environment.
    pub(crate) fn start_with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = magpie(folder);
        command.envs(settings.iter().copied()).arg("serve");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (mut web, mut smtp) = (None, None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while web.is_none() || smtp.is_none() {
            let line = lines.next().expect("the server ended").unwrap();
            if let Some(url) = line.strip_prefix("web: ") {
                web = Some(url.trim().to_owned());
            }
            if let Some(address) = line.strip_prefix("smtp: ") {
                smtp = Some(address.trim().to_owned());
            }
        }
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, web: web.unwrap(), smtp: smtp.unwrap() }
    }

    /// Kill -9, at once.
    pub(crate) fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn login(&self, email: &str) -> Session {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, web) = (Client::new(), self.web.clone());
        let login =
            client.post(format!("{web}/v1/session")).json(&json!({"email": email, "password": PASSWORD}));
        let answer = answer(&runtime, login).expect("the server answers");
        let token = answer["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Session { runtime, client, web, token }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(runtime: &Runtime, request: RequestBuilder) -> Option<Value> {
    runtime.block_on(async { request.send().await.ok()?.json().await.ok() })
}

/// Somebody who is logged in.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
    web: String,
    token: String,
}

impl Session {
    fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.web)).bearer_auth(&self.token);
        answer(&self.runtime, request).expect("the server answers")
    }

    /// Sends a mail: whether it was taken, or `None` if the server is gone.
    pub(crate) fn send(&self, to: &str, subject: &str) -> Option<bool> {
        let mail = json!({"to": [{"email": to}], "subject": subject, "text": "text"});
        let request =
            self.client.post(format!("{}/v1/messages", self.web)).bearer_auth(&self.token).json(&mail);
        let status =
            self.runtime.block_on(async { request.send().await.ok().map(|answer| answer.status()) })?;
        Some(status == 201)
    }

    /// The subjects of everything in the folder of this role.
    pub(crate) fn subjects(&self, role: &str) -> Vec<String> {
        let folders = self.get("/v1/folders");
        let folders = folders["folders"].as_array().unwrap();
        let id =
            folders.iter().find(|folder| folder["role"] == role).unwrap()["id"].as_str().unwrap().to_owned();
        let (mut subjects, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/v1/folders/{id}/messages?limit=500{cursor}"));
            let messages = page["messages"].as_array().unwrap_or_else(|| panic!("{page}"));
            subjects.extend(messages.iter().map(|message| message["subject"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return subjects,
            }
        }
    }
}
