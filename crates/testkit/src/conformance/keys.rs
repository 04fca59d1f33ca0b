//! Idempotency keys.

use haat_catalog::Timestamp;
use haat_catalog::write::{Effect, IdempotencyKey, Receipt, WriteError, WriteRequest};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::{Subject, after_noon, create, delete, draft, key, patch, put};
use crate::clock::test_id;

fn keyed(request: WriteRequest, idempotency: Option<IdempotencyKey>) -> WriteRequest {
    WriteRequest { idempotency, ..request }
}

fn at(request: WriteRequest, now: Timestamp) -> WriteRequest {
    WriteRequest { now, ..request }
}

/// The second answer repeats the first and says so.
pub async fn the_same_request_twice_has_one_effect_and_one_answer(s: &Subject) {
    let first = s.done(keyed(create(draft("A", "a"), 1), key("k1", 1))).await;
    let second = s.done(keyed(create(draft("A", "a"), 2), key("k1", 1))).await;
    assert!(!first.replayed && second.replayed);
    assert_eq!(haat_catalog::write::Receipt { replayed: false, ..second }, first);
    assert_eq!(s.changes().await.len(), 1);
    let gone = s.done(keyed(delete("A"), key("k2", 2))).await;
    let again = s.done(keyed(delete("A"), key("k2", 2))).await;
    assert_eq!((again.effect, again.seq, again.document, again.replayed), (Effect::Deleted, gone.seq, None, true));
}

/// A replay does not tell how things are now, but what was answered.
pub async fn a_replay_tells_what_was_answered_then(s: &Subject) {
    let first = s.done(keyed(put(draft("A", "then"), 1), key("k", 1))).await;
    s.done(patch("A", json!({"name": "now"}))).await;
    let replay = s.done(keyed(put(draft("A", "then"), 1), key("k", 1))).await;
    assert_eq!((replay.version, &replay.document), (1, &first.document));
    assert_eq!(s.product("A").await.unwrap().name, "now");
}

/// Another request with a used key is refused, whatever it is.
pub async fn a_key_serves_one_request_only(s: &Subject) {
    s.done(keyed(create(draft("A", "a"), 1), key("k", 1))).await;
    let error = s.refused(keyed(create(draft("B", "b"), 2), key("k", 2))).await;
    assert!(matches!(error, WriteError::KeyReused), "{error}");
    assert!(s.product("B").await.is_none());
}

/// Two clients may draw the same key.
pub async fn keys_of_different_scopes_never_meet(s: &Subject) {
    let scoped = |scope: &str, key: &str| {
        Some(IdempotencyKey { scope: scope.into(), key: key.into(), request_hash: [scope.len() as u8; 16] })
    };
    s.done(keyed(create(draft("A", "a"), 1), scoped("one", "k"))).await;
    s.done(keyed(create(draft("B", "b"), 2), scoped("three", "k"))).await;
    // Nor may scope and key run into each other, nor differ by case alone.
    s.done(keyed(create(draft("C", "c"), 3), scoped("on", "ek"))).await;
    s.done(keyed(create(draft("D", "d"), 4), scoped("oneX", "K"))).await;
    s.done(keyed(create(draft("E", "e"), 5), scoped("onex", "k"))).await;
    assert_eq!(s.reader.count().await.unwrap(), 5);
}

/// A request that was refused may be corrected and sent again with its key.
pub async fn a_failed_request_frees_its_key(s: &Subject) {
    assert!(matches!(s.refused(keyed(delete("A"), key("k", 1))).await, WriteError::NotFound));
    s.done(create(draft("A", "a"), 1)).await;
    let error = s.refused(keyed(create(draft("A", "a"), 2), key("k", 2))).await;
    assert!(matches!(error, WriteError::SkuExists(_)), "{error}");
    assert!(!s.done(keyed(delete("A"), key("k", 1))).await.replayed);
}

/// While a request is being carried out, its twin is told so at once; afterwards it gets the answer.
pub async fn a_twin_in_flight_is_told_so(s: &Subject) {
    let twin = || keyed(put(draft("A", "a"), 1), key("k", 1));
    // The claim's own transaction passes first.
    s.gate.close();
    let first = tokio::spawn({
        let (writer, request) = (s.writer.clone(), twin());
        async move { writer.write(request).await }
    });
    s.gate.someone_waits().await;
    s.gate.let_one_pass().await;
    s.gate.someone_waits().await;
    let error = s.refused(twin()).await;
    assert!(matches!(error, WriteError::KeyInFlight), "{error}");
    let error = s.refused(keyed(put(draft("B", "b"), 2), key("k", 2))).await;
    assert!(matches!(error, WriteError::KeyReused), "{error}");
    s.gate.open();
    assert!(!first.await.unwrap().unwrap().replayed);
    assert!(s.done(twin()).await.replayed);
}

/// A server that died while it held a key does not keep it for ever.
pub async fn a_claim_of_a_dead_server_runs_out(s: &Subject) {
    let request = |seconds| at(keyed(put(draft("A", "a"), 1), key("k", 1)), after_noon(seconds));
    // The first comes no further than its claim, as if its server had died.
    s.claimed.close();
    let dead = spawn(s, request(0));
    s.claimed.have_come(1).await;
    s.claimed.open();
    assert!(matches!(s.refused(request(59)).await, WriteError::KeyInFlight));
    let receipt = s.done(request(60)).await;
    assert_eq!((receipt.effect, receipt.replayed), (Effect::Created, false));
    assert!(s.done(request(61)).await.replayed);
    s.claimed.let_first_go();
    assert!(matches!(dead.await.unwrap(), Err(WriteError::KeyInFlight)), "it was not dead after all");
    assert_eq!(s.changes().await.len(), 1);
}

/// A server that hung for longer than its claim holds must notice: another carries the request out.
pub async fn whose_claim_was_taken_over_has_no_effect(s: &Subject) {
    let request = |seconds, id| at(keyed(put(draft("A", "a"), id), key("k", 1)), after_noon(seconds));
    s.claimed.close();
    let first = spawn(s, request(0, 1));
    s.claimed.have_come(1).await;
    let late = spawn(s, request(61, 2));
    s.claimed.have_come(2).await;
    // The key is the second's now, which has not begun yet.
    s.claimed.let_first_go();
    assert!(matches!(first.await.unwrap(), Err(WriteError::KeyInFlight)));
    assert_eq!((s.reader.count().await.unwrap(), s.changes().await.len()), (0, 0));
    s.claimed.let_first_go();
    let receipt = late.await.unwrap().unwrap();
    assert_eq!((receipt.id, receipt.replayed), (test_id(2), false));
    assert_eq!((s.reader.count().await.unwrap(), s.changes().await.len()), (1, 1));
}

fn spawn(s: &Subject, request: WriteRequest) -> JoinHandle<Result<Receipt, WriteError>> {
    let writer = s.writer.clone();
    tokio::spawn(async move { writer.write(request).await })
}

/// A client that sends a request many times at once gets it carried out once.
pub async fn of_many_twins_at_once_one_has_an_effect(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    for round in 0..5_i64 {
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let request = keyed(patch("A", json!({"stock": round + 1})), key(&format!("k{round}"), 1));
            let writer = s.writer.clone();
            tasks.spawn(async move { writer.write(request).await });
        }
        let results = tasks.join_all().await;
        let fresh = results.iter().filter(|r| r.as_ref().is_ok_and(|receipt| !receipt.replayed)).count();
        assert_eq!(fresh, 1, "{results:?}");
        let fine = |r: &Result<_, _>| matches!(r, Ok(_) | Err(WriteError::KeyInFlight));
        assert!(results.iter().all(fine), "{results:?}");
    }
    assert_eq!(s.product("A").await.unwrap().version, 6);
    assert_eq!(s.changes().await.len(), 6);
}

/// A keyed request that changes nothing is still answered the same way twice.
pub async fn a_no_op_keeps_its_receipt(s: &Subject) {
    let made = s.done(put(draft("A", "a"), 1)).await;
    let noop = || keyed(put(draft("A", "a"), 2), key("k", 1));
    let first = s.done(noop()).await;
    assert_eq!((first.effect, first.seq, first.replayed), (Effect::Unchanged, made.seq, false));
    s.done(patch("A", json!({"stock": 1}))).await;
    let second = s.done(noop()).await;
    assert_eq!((second.effect, second.version, second.replayed), (Effect::Unchanged, 1, true));
}

/// Keys used before a moment are forgotten, later ones are not.
pub async fn old_keys_are_forgotten(s: &Subject) {
    for n in 0..5_i64 {
        let request = keyed(put(draft(&format!("A{n}"), "a"), n as u64 + 1), key(&format!("k{n}"), 1));
        s.done(at(request, after_noon(n * 100))).await;
    }
    assert_eq!(s.writer.prune_keys(after_noon(200)).await.unwrap(), 2);
    assert_eq!(s.writer.prune_keys(after_noon(200)).await.unwrap(), 0);
    let again = at(keyed(put(draft("A1", "a"), 9), key("k1", 1)), after_noon(500));
    assert!(!s.done(again).await.replayed, "forgotten");
    let again = at(keyed(put(draft("A2", "a"), 9), key("k2", 1)), after_noon(500));
    assert!(s.done(again).await.replayed, "kept");
}
