//! Who hangs up while a change is being committed has made it all the same: the store finishes what it began. So does the
//! audit log.

use std::time::Duration;

use haat_oauth::admin::{ClientDraft, ClientPatch};
use haat_oauth::scope::Scopes;
use rstest::rstest;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt};

use crate::log::Log;
use crate::request::Request;
use crate::stage::Stage;

#[derive(Debug, Clone, Copy)]
enum Change {
    Create,
    Disable,
    Rotate,
    RevokeClient,
    RevokeToken,
    RotateKeys,
}

async fn carry_out(stage: &Stage, change: Change, token: &str) {
    let admin = &stage.admin;
    match change {
        Change::Create => {
            let draft = ClientDraft { name: "New".into(), scopes: Scopes::all(), ..ClientDraft::default() };
            drop(admin.create(draft, "somebody").await);
        }
        Change::Disable => {
            let disabled = ClientPatch { enabled: Some(false), ..ClientPatch::default() };
            drop(admin.change("other", disabled, "somebody").await);
        }
        Change::Rotate => drop(admin.rotate("other", None, "somebody").await),
        Change::RevokeClient => drop(admin.revoke("other", "somebody").await),
        Change::RevokeToken => {
            drop(stage.send(&Request::revoke(token).basic("other", stage.secret("other"))).await);
        }
        Change::RotateKeys => drop(admin.rotate_keys("somebody").await),
    }
}

#[rstest]
#[case(Change::Create, "client created")]
#[case(Change::Disable, "client changed")]
#[case(Change::Rotate, "client secret rotated")]
#[case(Change::RevokeClient, "client revoked")]
#[case(Change::RevokeToken, "token revoked")]
#[case(Change::RotateKeys, "signing key made")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_asker_hung_up_is_in_the_audit_log(#[case] change: Change, #[case] line: &str) {
    let stage = Stage::new().await;
    let token = stage.issue(&stage.asked_by("other")).await;
    let log = Log::default();
    let written = log.clone();
    let layer = fmt::layer().with_ansi(false).with_writer(move || written.clone());
    stage.gate.close();
    let asked = carry_out(&stage, change, &token).with_subscriber(Registry::default().with(layer));
    tokio::select! {
        () = asked => panic!("it was not held back"),
        () = stage.gate.someone_waits() => {}
    }
    assert!(!log.text().contains(line), "it has not happened yet: {}", log.text());
    stage.gate.open();
    let found = async {
        while !log.text().contains(line) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), found).await;
    assert!(found.is_ok(), "nobody answers for it: {}", log.text());
}
