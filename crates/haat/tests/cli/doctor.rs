//! `haat doctor`.

use std::os::unix::fs::PermissionsExt as _;

use crate::program::{Desk, Ran};

/// The verdict of a check.
fn verdict<'a>(report: &'a serde_json::Value, check: &str) -> &'a str {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|f| f["check"] == check).unwrap_or_else(|| panic!("{check} in {report:#}"));
    finding["verdict"].as_str().unwrap()
}

async fn examine(desk: &Desk) -> (Option<i32>, serde_json::Value) {
    let ran: Ran = desk.run(&["--json", "doctor"]).await;
    (ran.code, ran.json())
}

#[tokio::test]
async fn it_changes_nothing_and_says_what_is_not_there_yet() {
    let desk = Desk::new();
    let (code, report) = examine(&desk).await;
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((verdict(&report, "data folder"), verdict(&report, "database")), ("warn", "warn"));
    assert!(!desk.path("data").exists());
    let text = desk.run(&["doctor"]).await.exits(0);
    assert!(text.stdout.contains("warn  database") && text.stdout.contains("→"), "{text:#?}");
}

#[tokio::test]
async fn all_is_well_beside_a_server_and_an_open_folder_is_noticed() {
    let desk = Desk::new();
    let server = desk.serve_ready(&["--demo"]).await;
    let (code, report) = examine(&desk).await;
    assert_eq!(code, Some(0), "{report:#}");
    for check in ["configuration", "data folder", "database", "tables", "products", "port"] {
        assert_eq!(verdict(&report, check), "ok", "{check}: {report:#}");
    }
    server.stop().await;
    std::fs::set_permissions(desk.path("data"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(verdict(&examine(&desk).await.1, "data folder"), "warn");
}

#[tokio::test]
async fn what_does_not_work_is_a_failure_with_advice() {
    let broken = Desk::new().with("HAAT_HTTP__PROT", "1");
    let (code, report) = examine(&broken).await;
    assert_eq!((code, verdict(&report, "configuration")), (Some(1), "fail"), "{report:#}");

    let desk = Desk::new();
    std::fs::create_dir(desk.path("data")).unwrap();
    desk.file("data/haat.db", "this is no database, and never was one\n".repeat(100));
    let (code, report) = examine(&desk).await;
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(verdict(&report, "database"), "fail", "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|f| f["verdict"] == "ok" || !f["advice"].as_str().unwrap().is_empty()), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_is_examined_without_being_touched() {
    let server = haat_testkit::servers::MariaDb::shared();
    let database = server.create_database();
    let desk = Desk::new()
        .with("DB_HOST", database.host())
        .with("DB_PORT", &database.port().to_string())
        .with("DB_USER", database.user())
        .with("DB_PASS", database.password())
        .with("DB_NAME", database.name());
    for _ in 0..2 {
        let (code, report) = examine(&desk).await;
        assert_eq!((code, verdict(&report, "tables")), (Some(0), "warn"), "{report:#}");
    }
    desk.run(&["migrate"]).await.exits(0);
    let (code, report) = examine(&desk).await;
    assert_eq!(code, Some(0), "{report:#}");
    for check in ["database", "tables", "products", "encryption"] {
        assert_eq!(verdict(&report, check), "ok", "{check}: {report:#}");
    }
    // The server of the tests does not wait for its disk, which a deployment should be told.
    assert_eq!(verdict(&report, "server"), "warn", "{report:#}");
    assert!(report.to_string().contains("innodb_flush_log_at_trx_commit"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_named_at_once_and_not_waited_out() {
    let server = haat_testkit::servers::MariaDb::shared();
    let database = server.create_database();
    let desk = Desk::new()
        .with("DB_HOST", database.host())
        .with("DB_PORT", &database.port().to_string())
        .with("DB_USER", "nobody")
        .with("DB_PASS", "wrong")
        .with("DB_NAME", database.name());
    let (code, report) = examine(&desk).await;
    assert_eq!((code, verdict(&report, "database")), (Some(1), "fail"), "{report:#}");
    // database.startup_wait is a minute: for a server that is not up yet, not for one that says no.
    let refused = desk.run(&["serve"]).await.exits(69);
    assert!(refused.stderr.contains("Access denied for user 'nobody'"), "{refused:#?}");
    assert!(!refused.stderr.contains("trying again"), "{refused:#?}");
}

#[tokio::test]
async fn a_client_whose_policy_is_gone_is_noticed() {
    let desk = Desk::new();
    let policies = r#"[limits]
        policies = [{ name = "partner", quota = 10, window = "1s", assigned = true }]"#;
    desk.file("haat.toml", policies);
    let create = ["clients", "create", "--id", "shop", "--name", "Shop", "--scope", "imports", "--policy", "partner"];
    desk.run(&create).await.exits(0);
    assert!(!examine(&desk).await.1.to_string().contains("'partner'"));
    desk.file("haat.toml", "");
    let (_, report) = examine(&desk).await;
    assert_eq!(verdict(&report, "access"), "warn", "{report:#}");
    assert!(report.to_string().contains("the client 'shop' has the rate-limit policy 'partner'"), "{report:#}");
}
