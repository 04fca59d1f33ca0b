//! Configurations that are wrong are refused before anything starts, and say everything that is wrong.

use crate::program::Desk;

const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

#[tokio::test]
async fn every_mistake_is_named_with_its_place_before_anything_starts() {
    let desk = Desk::new().with("HAAT_HTTP__MAX_BODDY", "1MiB").with("DB_PORT", "harbour");
    desk.file("haat.toml", "[http]\nprot = 3000\nbind = 'nowhere'\n");
    for command in [&["serve"][..], &["import", "-"], &["config", "check"]] {
        let ran = desk.run(command).await.exits(78);
        for says in
            ["haat.toml:2", "http.port", "haat.toml:3", "nowhere", "HAAT_HTTP__MAX_BODY", "DB_PORT", "4 problems"]
        {
            assert!(ran.stderr.contains(says), "{says} in {ran:#?}");
        }
        assert!(!desk.path("data").exists());
    }
    let ran = desk.run(&["--json", "config", "check"]).await.exits(78);
    assert_eq!(ran.json()["error"]["problems"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn the_file_is_the_one_that_is_named() {
    let desk = Desk::new().with("HAAT_CONFIG", "other.toml");
    desk.file("haat.toml", "[http]\nmax_headers = 20\n");
    desk.file("other.toml", "[http]\nmax_headers = 30\n");
    desk.file("third.toml", "[http]\nmax_headers = 40\n");
    let value = |ran: crate::program::Ran| ran.json()["http.max_headers"]["value"].clone();
    assert_eq!(value(desk.run(&["--json", "config", "show"]).await.exits(0)), 30);
    assert_eq!(value(desk.run(&["--json", "config", "show", "--config", "third.toml"]).await.exits(0)), 40);
    desk.run(&["config", "show", "--config", "fourth.toml"]).await.exits(78);
}

#[tokio::test]
async fn a_setting_tells_where_it_was_said_and_secrets_are_never_shown() {
    let desk = Desk::new().with("HAAT_AUTH__ENCRYPTION_KEY", SECRET).with("REDIS_URL", "redis://:hush@localhost");
    desk.file(".env", "RUST_LOG=warn\n");
    let ran = desk.run(&["--json", "config", "show", "--data-dir", "elsewhere"]).await.exits(0);
    let shown = ran.json();
    assert_eq!(shown["http.port"]["source"], "environment variable PORT");
    assert_eq!(shown["log.filter"]["source"], ".env:1");
    assert_eq!(shown["data_dir"]["source"], "flag --data-dir");
    assert_eq!(shown["http.max_body"]["source"], "default");
    let text = desk.run(&["config", "show"]).await.exits(0);
    for hidden in [SECRET, "hush"] {
        assert!(!format!("{ran:?}{text:?}").contains(hidden), "{text:#?}");
    }
}

#[tokio::test]
async fn what_came_from_a_variable_is_not_shown_wherever_it_stands() {
    let desk = Desk::new().with("SHOP_KEY", "pssst");
    let source = "[[sources]]\nname = 'shop'\nkind = 'rest'\nbase_url = 'https://shop.example/${SHOP_KEY}/v1'\n\
                  list = { path = '' }\nfields = { key = '/id', sku = '/sku' }\n";
    desk.file("haat.toml", source);
    for words in [&["config", "show"][..], &["config", "show", "--json"]] {
        let shown = desk.run(words).await.exits(0).stdout;
        assert!(shown.contains("shop") && shown.contains("(hidden)") && !shown.contains("pssst"), "{shown}");
    }
}

#[tokio::test]
async fn an_encryption_key_that_is_none_is_refused_before_anything_starts() {
    let short = Desk::new().with("HAAT_AUTH__ENCRYPTION_KEY", "c2hvcnQ=");
    let ran = short.run(&["serve"]).await.exits(78);
    assert!(ran.stderr.contains("HAAT_AUTH__ENCRYPTION_KEY") && ran.stderr.contains("32 bytes"), "{ran:#?}");
    assert!(!ran.stderr.contains("c2hvcnQ="), "{ran:#?}");
    assert!(!short.path("data").exists());
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_refused_with_2() {
    let desk = Desk::new();
    for args in [&["serv"][..], &["serve", "--prot", "1"], &["import"], &["import", "-", "--format", "xml"], &[]] {
        desk.run(args).await.exits(2);
    }
    desk.run(&["--help"]).await.exits(0);
    assert!(desk.run(&["--version"]).await.exits(0).stdout.starts_with("haat "));
}

#[tokio::test]
async fn the_openapi_document_needs_no_configuration() {
    let desk = Desk::new().with("HAAT_NONSENSE", "x");
    let document = desk.run(&["openapi"]).await.exits(0).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"]["/v1/products"].is_object());
}
