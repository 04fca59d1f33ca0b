//! Import and export.

use crate::program::{Desk, product};

#[tokio::test]
async fn standard_input_is_imported_and_again_changes_nothing() {
    let desk = Desk::new();
    let lines = product("A", "Apple") + &product("B", "Bread");
    let first = desk.run_with(&["--json", "import", "-"], &lines).await.exits(0).json();
    assert_eq!(first["counts"]["created"], 2, "{first}");
    let again = desk.run_with(&["--json", "import", "-"], &lines).await.exits(0).json();
    assert_eq!((&again["counts"]["unchanged"], &again["counts"]["created"]), (&2.into(), &0.into()), "{again}");
    let text = desk.run_with(&["import", "-"], &lines).await.exits(0);
    assert!(text.stdout.contains("2 records") && text.stdout.contains("2 unchanged"), "{text:#?}");
}

#[tokio::test]
async fn good_records_are_kept_and_bad_ones_are_told_by_line() {
    let desk = Desk::new();
    let lines = format!("{}{{\"sku\":\"B\"}}\n{}nonsense\n", product("A", "Apple"), product("C", "Corn"));
    let ran = desk.run_with(&["import", "-"], &lines).await.exits(65);
    assert!(ran.stderr.contains("line 2: ") && ran.stderr.contains("line 4: "), "{ran:#?}");
    assert_eq!(desk.run(&["export"]).await.exits(0).stdout.lines().count(), 2);

    let stopped = desk.run_with(&["--json", "import", "-", "--max-errors", "0"], &lines).await.exits(65).json();
    assert!(stopped["stopped"].is_string(), "{stopped}");
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let desk = Desk::new();
    let ran = desk.run_with(&["--json", "import", "-", "--dry-run"], product("A", "Apple")).await.exits(0).json();
    assert_eq!((&ran["counts"]["created"], &ran["dry_run"]), (&1.into(), &true.into()), "{ran}");
    assert_eq!(desk.run(&["export"]).await.exits(0).stdout, "");
}

#[tokio::test]
async fn a_csv_is_read_by_rules_from_the_command_line_and_from_a_file() {
    let desk = Desk::new();
    desk.file("shop.csv", "code,title,cost\nA,Apple,1.25\nB,Bread,3\n");
    desk.file("rules.toml", "[fields]\nsku = \"code\"\nname = \"title\"\nprice = \"cost:EUR\"\n");
    let rules = ["--map", "sku=code", "--map", "name=title", "--map", "price=cost:EUR"];
    desk.run(&[&["import", "shop.csv"][..], &rules].concat()).await.exits(0);
    let exported = desk.run(&["export"]).await.exits(0).stdout;
    assert!(exported.contains("\"amount\":125"), "{exported}");
    let again = desk.run(&["--json", "import", "shop.csv", "--mapping", "rules.toml"]).await.exits(0).json();
    assert_eq!(again["counts"]["unchanged"], 2, "{again}");

    let wrong = desk.run(&["import", "shop.csv", "--map", "sku=code", "--map", "nmae=title"]).await.exits(2);
    assert!(wrong.stderr.contains("nmae"), "{wrong:#?}");
    let missing =
        desk.run(&["import", "shop.csv", "--map", "sku=kode", "--map", "name=title", "--map", "price=cost:EUR"]).await;
    let missing = missing.exits(65);
    assert!(missing.stderr.contains("'code'"), "{missing:#?}");
    desk.run(&["import", "nowhere.csv"]).await.exits(65);
}

#[tokio::test]
async fn what_is_exported_comes_back_the_same() {
    let desk = Desk::new();
    let lines: String = (0..2_500).map(|n| product(&format!("P{n}"), &format!("Product {n}"))).collect();
    desk.run_with(&["import", "-"], lines).await.exits(0);
    let exported = desk.run(&["export"]).await.exits(0).stdout;
    assert_eq!(exported.lines().count(), 2_500);
    for (file, args) in [("all.ndjson", &[][..]), ("all.csv.gz", &[]), ("all", &["--format", "csv", "--gzip"])] {
        let report = desk.run(&[&["--json", "export", "--output", file], args].concat()).await.exits(0).json();
        assert_eq!(report["products"], 2_500, "{report}");
    }
    assert_eq!(std::fs::read_to_string(desk.path("all.ndjson")).unwrap(), exported);
    assert_eq!(std::fs::read(desk.path("all")).unwrap()[..2], [0x1f, 0x8b], "gzip");
    for file in ["all.ndjson", "all.csv.gz"] {
        let other = Desk::new();
        let path = desk.path(file);
        let report = other.run(&["--json", "import", path.to_str().unwrap()]).await.exits(0).json();
        assert_eq!(report["counts"]["created"], 2_500, "{report}");
        let ids = |text: &str| -> Vec<(String, String)> {
            let ids = |line: &str| {
                let product: serde_json::Value = serde_json::from_str(line).unwrap();
                (product["id"].to_string(), product["name"].to_string())
            };
            text.lines().map(ids).collect()
        };
        assert_eq!(ids(&other.run(&["export"]).await.exits(0).stdout), ids(&exported), "{file}");
    }
    let left = std::fs::read_dir(desk.path("."))
        .unwrap()
        .filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().ends_with(".partial")));
    assert_eq!(left.count(), 0);
    desk.run(&["--json", "export"]).await.exits(2);
}

#[tokio::test]
async fn an_export_from_the_wrong_folder_replaces_no_backup_by_nothing() {
    let desk = Desk::new();
    desk.file("backup.ndjson", product("A", "Apple"));
    for command in [&["export", "-o", "backup.ndjson"][..], &["index", "verify"]] {
        let refused = desk.run(command).await.exits(65);
        assert!(refused.stderr.contains("no database at") && refused.stderr.contains("--data-dir"), "{refused:#?}");
    }
    assert_eq!(std::fs::read_to_string(desk.path("backup.ndjson")).unwrap(), product("A", "Apple"));
    assert!(!desk.path("data").exists(), "to look is not to make");
}

#[tokio::test]
async fn an_export_writes_through_links_and_into_pipes_instead_of_replacing_them() {
    let desk = Desk::new();
    desk.run_with(&["import", "-"], product("A", "Apple")).await.exits(0);
    let exported = desk.run(&["export"]).await.exits(0).stdout;
    desk.file("real.ndjson", "old");
    std::os::unix::fs::symlink(desk.path("real.ndjson"), desk.path("link.ndjson")).unwrap();
    desk.run(&["export", "-o", "link.ndjson"]).await.exits(0);
    assert_eq!(std::fs::read_to_string(desk.path("real.ndjson")).unwrap(), exported);
    assert!(desk.path("link.ndjson").is_symlink());

    let pipe = desk.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reading = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe).unwrap());
    desk.run(&["export", "--format", "ndjson", "-o", "pipe"]).await.exits(0);
    assert_eq!(reading.await.unwrap(), exported);
}
