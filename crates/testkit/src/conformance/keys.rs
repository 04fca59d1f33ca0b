//! Idempotency keys.

use haat_catalog::Timestamp;
use haat_catalog::write::{Effect, IdempotencyKey, WriteError, WriteRequest};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Subject, after_noon, create, delete, draft, key, patch, put};

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
    let request = |now| at(keyed(put(draft("A", "a"), 1), key("k", 1)), now);
    s.gate.close();
    let first = tokio::spawn({
        let (writer, request) = (s.writer.clone(), request(after_noon(0)));
        async move { writer.write(request).await }
    });
    s.gate.someone_waits().await;
    s.gate.let_one_pass().await;
    s.gate.someone_waits().await;
    // The first is held before its commit, as if its server hung. Its claim runs out after a minute.
    let late = tokio::spawn({
        let (writer, request) = (s.writer.clone(), request(after_noon(61)));
        async move { writer.write(request).await }
    });
    s.gate.open();
    let (first, late) = (first.await.unwrap(), late.await.unwrap());
    // Whoever comes first, there is one effect, and nobody is told a lie.
    assert!(first.is_ok() || matches!(first, Err(WriteError::KeyInFlight)), "{first:?}");
    assert!(late.is_ok() || matches!(late, Err(WriteError::KeyInFlight)), "{late:?}");
    assert!(first.is_ok() || late.is_ok());
    assert_eq!(s.changes().await.len(), 1);
    assert!(s.done(request(after_noon(62))).await.replayed);
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
