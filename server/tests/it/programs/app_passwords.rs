//! Mail programs that log in by a password of their own.

use reqwest::StatusCode;
use serde_json::json;

use super::{run, succeeded};
use crate::support::{self, PASSWORD, Plane, Server, json_of};

pub(crate) async fn app_passwords_let_one_program_in_each(plane: &Plane<'_>) {
    let keys =
        [("MAGPIE_LIMITS__APP_PASSWORDS_PER_ACCOUNT", "2"), ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "1000")];
    let server = Server::start_with(plane, &keys).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    assert_eq!(alice.read("/v1/app-passwords").await, json!({"app_passwords": []}));
    let wrong = alice.post("/v1/app-passwords", &json!({"name": "phone", "password": "wrong"})).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_of(wrong).await["field"], "password");
    let made = alice.post("/v1/app-passwords", &json!({"name": "전화기", "password": PASSWORD})).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made = json_of(made).await;
    let (id, password) = (made["id"].as_str().unwrap(), made["password"].as_str().unwrap());
    let listed = alice.read("/v1/app-passwords").await["app_passwords"].clone();
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&json!(id), &json!("전화기")));
    assert!(!listed.to_string().contains(password), "told once");
    assert_eq!(bob.read("/v1/app-passwords").await, json!({"app_passwords": []}));
    let theirs = bob.delete(&format!("/v1/app-passwords/{id}")).await;
    assert_eq!(theirs.status(), StatusCode::NOT_FOUND, "somebody else's");
    assert!(server.login_with("alice", password).await.is_none(), "not to the API");

    let folder = tempfile::tempdir().unwrap();
    let (ready, removed) = (folder.path().join("ready"), folder.path().join("removed"));
    let addresses = &server.node.addresses;
    let script = format!(
        "IMAPS, POP3S, SUBMISSIONS, APP, OWN, READY, REMOVED = {}, {}, {}, '{password}', '{PASSWORD}', '{}', '{}'\n{}",
        addresses.imaps.unwrap().port(),
        addresses.pop3s.unwrap().port(),
        addresses.submissions.unwrap().port(),
        ready.display(),
        removed.display(),
        include_str!("app_passwords.py")
    );
    let remove = async {
        support::eventually("the programs", async || ready.exists().then_some(())).await;
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_magpie"));
        command.args(["account", "app-password", "remove", "alice@demo.test", id]);
        assert!(command.envs(server.variables(plane)).status().await.unwrap().success());
        std::fs::write(&removed, "").unwrap();
    };
    let programs = run("python3", &["-"], &script);
    tokio::pin!(programs);
    let output = tokio::select! {
        output = &mut programs => output,
        () = remove => programs.await,
    };
    if let Some(output) = output {
        succeeded(&output);
        assert_eq!(alice.read("/v1/app-passwords").await, json!({"app_passwords": []}));
    }
    for name in ["one", "two"] {
        let made = alice.post("/v1/app-passwords", &json!({"name": name, "password": PASSWORD})).await;
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    let full = alice.post("/v1/app-passwords", &json!({"name": "three", "password": PASSWORD})).await;
    assert_eq!(full.status(), StatusCode::CONFLICT);
    server.stop().await;
}
