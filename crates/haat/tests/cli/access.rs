//! `haat clients` and `haat keys` without a server.

use rstest::rstest;

use crate::program::Desk;

#[rstest]
#[case(&["clients", "list"])]
#[case(&["clients", "show", "shop"])]
#[case(&["clients", "rotate", "shop"])]
#[case(&["clients", "disable", "shop"])]
#[case(&["clients", "revoke", "shop"])]
#[case(&["keys", "list"])]
#[case(&["keys", "rotate"])]
#[tokio::test]
async fn where_there_is_nothing_nothing_is_made(#[case] args: &[&str]) {
    let desk = Desk::new();
    let ran = desk.run(args).await.exits(65);
    assert!(ran.stderr.contains("--data-dir"), "{ran:#?}");
    assert!(!desk.path("data").exists());
}

#[tokio::test]
async fn without_the_encryption_key_it_is_asked_for_and_not_made_anew() {
    let desk = Desk::new();
    desk.run(&["clients", "create", "--name", "Shop", "--scope", "imports"]).await.exits(0);
    std::fs::remove_file(desk.path("data/encryption.key")).unwrap();
    let ran = desk.run(&["clients", "list"]).await.exits(65);
    assert!(ran.stderr.contains("HAAT_AUTH__ENCRYPTION_KEY"), "{ran:#?}");
    assert!(!desk.path("data/encryption.key").exists());
}

#[tokio::test]
async fn a_client_may_be_made_before_the_first_start_and_is_shown_as_the_api_shows_it() {
    let desk = Desk::new();
    let create = ["--json", "clients", "create", "--id", "shop", "--name", "Shop", "--scope", "imports"];
    let made = desk.run(&create).await.exits(0).json();
    assert!(made["client_secret"].as_str().unwrap().len() > 20);
    let signing = [
        "clients",
        "create",
        "--id",
        "signer",
        "--name",
        "S",
        "--scope",
        "imports",
        "--auth-method",
        "private_key_jwt",
    ];
    desk.run(&[&signing[..], &["--jwks-uri", "https://partner.example/keys"]].concat()).await.exits(0);

    let mut listed = desk.run(&["--json", "clients", "list"]).await.exits(0).json();
    let [shop, signer] = listed["clients"].as_array_mut().unwrap().as_mut_slice() else { panic!("{listed:#}") };
    assert_eq!(signer["jwks_uri"], "https://partner.example/keys");
    assert_eq!(shop["secrets"][0]["last_used_at"], serde_json::Value::Null);
    assert_eq!(shop["version"], 1);
    let mut made = made;
    made.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(*shop, made);
    let shown = desk.run(&["--json", "clients", "show", "shop"]).await.exits(0).json();
    assert_eq!(shown, made);

    // There are clients: the first start has none to introduce.
    let server = desk.serve(&["--json"]).await;
    assert!(!server.said.contains("administrator"), "{}", server.said);
}
