//! `haat doctor`.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use haat_demo_upstream::{DemoUpstream, Fault, Kind, Options};

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

/// What is found about sources.
fn of_sources(report: &serde_json::Value) -> Vec<(&str, String)> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == "sources");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .map(|f| (f["verdict"].as_str().unwrap(), format!("{} → {}", text(&f["detail"]), text(&f["advice"]))))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_asked_for_a_token_and_its_first_page_and_for_nothing_else() {
    let upstream = DemoUpstream::start(Options { products: 30, ..Options::default() }).await.unwrap();
    let section = upstream.sources_section("market");
    let desk = Desk::new();
    let look = async |toml: &str| {
        desk.file("haat.toml", toml);
        let (code, report) = examine(&desk).await;
        let found = of_sources(&report);
        assert_eq!(found.len(), 1, "{report:#}");
        let (verdict, told) = found.into_iter().next().unwrap();
        (code, verdict.to_owned(), told)
    };
    let (code, verdict, told) = look(&section).await;
    assert_eq!((code, &*verdict), (Some(0), "ok"), "{told}");
    assert!(told.contains("market: 30 items on its first page"), "{told}");
    let seen: Vec<_> = upstream.stats().routes.keys().map(ToString::to_string).collect();
    assert_eq!(seen, ["GET /products", "POST /oauth/token"]);
    assert!(!desk.path("data").exists(), "it changes nothing here either");

    for (right, wrong, verdict, says) in [
        (
            "client_secret = \"open-air-market\"",
            "client_secret = \"another\"",
            "fail",
            "invalid_client → check the token endpoint",
        ),
        ("allow_networks = [\"127.0.0.0/8\"]", "", "fail", "allow_networks"),
        ("items = \"/results\"", "items = \"/items\"", "fail", "compare list.items"),
        ("path = \"products\"", "path = \"goods\"", "fail", "404"),
        ("name = \"/title\"", "name = \"/titel\"", "fail", "of which 30 cannot be understood"),
    ] {
        assert!(section.contains(right), "{right}");
        let (code, found, told) = look(&section.replacen(right, wrong, 1)).await;
        assert_eq!((code, &*found), (Some(1), verdict), "{wrong}: {told}");
        assert!(told.contains(says) && !told.contains("open-air-market"), "{wrong}: {told}");
    }
    // What passes by itself is no failure of the deployment, and is not waited for.
    for (fault, says) in [(Kind::Down, "it answers 503"), (Kind::Hang, "no answer within")] {
        upstream.fault(Fault::from(fault).of_products(), None);
        let asked = Instant::now();
        let (code, verdict, told) = look(&section).await;
        assert_eq!((code, &*verdict), (Some(0), "warn"), "{told}");
        assert!(told.contains(says), "{told}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sources_wait_for_and_what_is_left_of_former_ones_is_told() {
    let upstream = DemoUpstream::start(Options { products: 60, ..Options::default() }).await.unwrap();
    let section = upstream.sources_section("market").replace("full_schedule", "give_up_after = \"1s\"\nfull_schedule");
    let desk = Desk::new();
    desk.file("haat.toml", &section);
    desk.run(&["sync", "market", "--full"]).await.exits(0);
    let told = async || {
        let (code, report) = examine(&desk).await;
        assert_eq!(code, Some(0), "{report:#}");
        of_sources(&report).into_iter().map(|(verdict, told)| format!("{verdict} {told}")).collect::<Vec<_>>()
    };
    let all_is_well = told().await;
    assert!(all_is_well.len() == 1 && all_is_well[0].starts_with("ok market: "), "{all_is_well:?}");

    desk.run(&["sources", "breaker", "market", "open"]).await.exits(0);
    assert!(told().await.iter().any(|t| t.contains("`haat sources breaker market auto`")), "{:?}", told().await);
    desk.run(&["sources", "breaker", "market", "auto"]).await.exits(0);

    let ids: Vec<_> = upstream.products().iter().map(|product| product.id.clone()).collect();
    ids.iter().skip(20).for_each(|id| assert!(upstream.delete(id)));
    desk.run(&["sync", "market", "--full"]).await.exits(1);
    assert!(told().await.iter().any(|t| t.contains("`haat sync market --confirm-removals`")), "{:?}", told().await);

    upstream.fault(Fault::from(Kind::Down).of_products(), None);
    desk.run(&["sync", "market", "--full"]).await.exits(1);
    upstream.fault(Kind::Ok, None);
    let failing = told().await;
    assert!(failing.iter().any(|t| t.contains("the last 1 runs have failed") && t.contains("503")), "{failing:?}");

    desk.file("haat.toml", section.replace("name = \"market\"", "name = \"shop\""));
    let former = told().await;
    assert!(former.iter().any(|t| t.contains("market: is not declared any more") && t.contains("(60)")), "{former:?}");
}
