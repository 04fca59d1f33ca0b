//! The promises of the store's ports, as functions that run against any implementation.
//!
//! Every function is one promise and takes a [`Subject`] over an empty store. [`store_conformance!`](crate::store_conformance!) makes a test of
//! each, so that an implementation cannot forget one:
//!
//! ```text
//! mod sqlite {
//!     async fn stage() -> Stage { Stage::new().await } // Stage derefs to Subject
//!     haat_testkit::store_conformance!(super::sqlite::stage);
//! }
//! ```

pub mod authorization;
pub mod batches;
pub mod compaction;
pub mod forgetting;
mod gates;
pub mod jobs;
pub mod keys;
pub mod log;
pub mod pages;
pub mod reading;
pub mod removals;
pub mod runs;
pub mod upstream;
pub mod writing;

use std::sync::Arc;

use haat_catalog::ports::{ChangeLog, ImportJobs, ProductReader, ProductWriter};
use haat_catalog::product::ProductKey;
use haat_catalog::write::{
    BatchOutcome, BatchRequest, Command, IdempotencyKey, Precondition, Receipt, WriteError, WriteRequest,
};
use haat_catalog::{Change, ChangePage, Draft, Product, ProductId, Seq, Sku, Timestamp};
use haat_oauth::ports::AuthStore;
use haat_sources::ports::SourceStore;
use serde_json::{Value, json};

pub use gates::{Gate, Queue};

use crate::clock::test_id;

/// Makes a test of every promise. `$stage` is a path to an async function that gives something that derefs to
/// [`Subject`].
#[macro_export]
macro_rules! store_conformance {
    ($stage:path) => {
        $crate::store_conformance!(@modules $stage;
            reading [
                an_empty_store_has_nothing, a_product_is_found_by_id_and_by_sku, skus_are_compared_byte_by_byte,
                scanning_gives_every_product_once_in_order_of_id, the_count_follows_every_write,
            ]
            writing [
                a_created_product_is_stored_as_answered, a_second_create_of_a_sku_is_refused,
                of_concurrent_creates_exactly_one_wins, an_id_of_another_product_is_refused,
                put_creates_then_replaces, putting_the_same_again_changes_nothing, patch_changes_what_it_names,
                a_patch_that_makes_no_valid_product_writes_nothing, delete_removes_and_a_second_delete_finds_nothing,
                an_id_brought_back_never_repeats_an_entity_tag,
                an_id_brought_back_after_it_was_forgotten_has_another_entity_tag,
                if_match_admits_the_current_version_alone, if_none_match_admits_only_new_products,
                of_concurrent_updates_from_one_version_exactly_one_wins, no_concurrent_update_is_lost,
                a_document_too_long_for_the_database_is_refused,
            ]
            keys [
                the_same_request_twice_has_one_effect_and_one_answer, a_replay_tells_what_was_answered_then,
                a_key_serves_one_request_only, keys_of_different_scopes_never_meet, a_failed_request_frees_its_key,
                a_twin_in_flight_is_told_so, a_claim_of_a_dead_server_runs_out,
                whose_claim_was_taken_over_has_no_effect,
                of_many_twins_at_once_one_has_an_effect, a_no_op_keeps_its_receipt, old_keys_are_forgotten,
            ]
            batches [
                a_batch_creates_updates_and_leaves_alone, the_same_batch_twice_changes_nothing,
                a_dry_run_tells_and_writes_nothing, ids_that_are_taken_are_refused_and_the_rest_is_written,
                a_sku_twice_in_a_batch_is_refused_once, a_batch_keeps_ids_and_creation_times_of_an_export,
                a_large_batch_of_awkward_size_is_written_whole, batches_and_single_writes_agree_on_what_is_the_same,
                concurrent_batches_over_the_same_skus_all_succeed, an_empty_batch_is_nothing,
            ]
            log [
                every_write_has_one_row_in_order, a_refused_write_has_no_row, reading_resumes_anywhere,
                documents_are_as_of_now, the_head_is_the_last_change, deleted_and_made_again_is_told_in_order,
                concurrent_writers_leave_no_gap_and_no_repeat, a_page_of_large_products_is_cut_and_resumed, the_origin_stays_what_it_is,
            ]
            compaction [
                the_newest_change_of_every_product_stays, the_newest_places_are_left_alone,
                compaction_stays_behind_followers, followers_not_heard_of_are_not_waited_for,
                old_deletions_go_and_raise_the_floor, a_place_ahead_of_the_log_is_refused,
                compacting_twice_does_nothing_more,
                a_product_changed_often_costs_one_row, compaction_and_writers_do_not_disturb_each_other,
            ]
            jobs [
                a_job_is_kept_as_it_was_given, a_saved_job_moves, a_batch_moves_its_job_in_the_same_transaction,
                a_batch_of_a_job_is_written_once_however_often_it_is_sent,
                a_cancelled_job_writes_nothing_more_and_stays_cancelled, jobs_of_a_replica_that_is_gone_fail,
                a_dry_run_moves_its_job_too, a_batch_of_an_unknown_job_writes_nothing,
                unfinished_jobs_are_given_oldest_first, finished_jobs_are_forgotten,
            ]
            authorization [
                clients_come_back_as_they_were_written, an_id_is_one_client_s, ids_of_clients_are_compared_byte_by_byte,
                a_client_is_written_over_the_version_it_was_made_from, a_removed_client_is_gone,
                of_concurrent_changes_of_a_client_exactly_one_is_made, a_change_is_counted_with_its_own_kind,
                what_changes_nothing_is_not_counted, a_change_and_its_count_are_seen_together,
                the_latest_use_of_a_secret_is_kept, old_uses_of_secrets_are_forgotten,
                keys_are_given_in_the_order_in_which_they_sign, a_key_is_added_after_the_newest_alone,
                of_keys_added_at_the_same_time_exactly_one_is, a_token_is_revoked_once,
                concurrent_revocations_leave_no_gap, of_many_uses_at_once_exactly_one_is_the_first,
                uses_that_come_while_others_are_noted_share_a_transaction,
                what_has_ended_is_forgotten,
            ]
            runs [
                a_source_that_never_ran_is_not_there, a_run_is_kept_as_it_was_saved, a_source_has_one_run_at_a_time,
                a_run_whose_holder_is_gone_goes_on_from_where_it_stood,
                a_run_that_began_under_other_settings_does_not_go_on,
                whoever_takes_a_run_over_has_all_that_was_written_for_it, of_two_holders_only_the_newer_writes,
                a_run_that_has_ended_is_written_no_more,
                a_full_run_takes_the_place_of_one_of_changes_that_nobody_holds,
                a_run_that_is_cancelled_is_written_no_more,
                a_run_that_waits_for_a_confirmation_goes_on_with_one_alone, an_end_is_kept_where_it_belongs,
                what_was_seen_is_kept_until_the_run_has_ended, an_order_to_a_breaker_is_kept,
                reports_of_breakers_are_given_until_they_are_old,
            ]
            pages [
                a_page_creates_updates_and_leaves_alone, a_page_is_seen_as_a_whole, the_same_page_again_changes_nothing,
                an_older_item_changes_nothing_and_says_so, a_product_of_another_source_is_refused,
                a_product_of_nobody_is_adopted, items_that_make_no_product_are_refused_and_the_rest_is_written,
                what_was_done_by_hand_is_undone, an_item_that_gets_another_sku_leaves_the_old_product_to_vanish,
                items_may_exchange_their_skus, of_two_items_with_one_sku_on_different_pages_one_keeps_it,
                items_are_given_once_in_order_of_key,
                a_large_page_of_awkward_size_is_written_whole, sources_that_want_the_same_products_share_them_out,
                pages_imports_and_single_writes_of_the_same_products_all_succeed,
            ]
            removals [
                a_removed_product_leaves_a_change_and_never_repeats_a_version,
                what_is_not_as_it_was_when_it_vanished_stays, what_two_runs_in_a_row_have_missed_is_told,
                a_product_that_was_deleted_by_hand_is_not_removed_again,
                a_large_removal_beside_other_writers_is_done_whole,
            ]
            forgetting [
                orders_are_forgotten_step_by_step_in_order_of_key, products_of_a_source_that_is_forgotten_are_nobody_s,
                products_of_a_source_that_is_forgotten_are_its_heir_s,
                what_the_heir_was_about_to_do_ends_where_products_come_to_it,
                a_source_is_not_forgotten_in_the_middle_of_a_run,
            ]
        );
    };
    (@modules $stage:path; $($module:ident [$($promise:ident),* $(,)?])*) => {
        $(
            mod $module {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $promise() {
                        let stage = $stage().await;
                        $crate::conformance::$module::$promise(&stage).await;
                    }
                )*
            }
        )*
    };
}

/// An implementation under test.
#[derive(Clone)]
pub struct Subject {
    /// It as a reader.
    pub reader: Arc<dyn ProductReader>,
    /// It as a writer.
    pub writer: Arc<dyn ProductWriter>,
    /// Its change log.
    pub log: Arc<dyn ChangeLog>,
    /// Its import jobs.
    pub jobs: Arc<dyn ImportJobs>,
    /// Its clients, signing keys and revocations.
    pub auth: Arc<dyn AuthStore>,
    /// Its sources.
    pub sources: Arc<dyn SourceStore>,
    /// Stands between the last statement of every writing transaction and its commit.
    pub gate: Gate,
    /// Stands between a request's claim on its idempotency key and its effect.
    pub claimed: Queue,
}

/// Milliseconds of the moment at which the promises play.
pub const NOON: i64 = 1_767_268_800_000;

/// A moment so many seconds after [`NOON`].
pub fn after_noon(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOON + seconds * 1000)
}

/// A draft with that sku and name, and `more` members.
pub fn draft_with(sku: &str, name: &str, more: Value) -> Draft {
    let mut value = json!({"sku": sku, "name": name, "price": {"amount": 12_900, "currency": "INR"}});
    if let (Value::Object(all), Value::Object(more)) = (&mut value, more) {
        all.extend(more);
    }
    Draft::from_json(&value).unwrap()
}

/// A draft with that sku and name.
pub fn draft(sku: &str, name: &str) -> Draft {
    draft_with(sku, name, json!({}))
}

/// The sku of that text.
pub fn sku(text: &str) -> Sku {
    Sku::new(text).unwrap()
}

/// A command at noon, without conditions. `id` becomes the product's should it be new.
pub fn request(command: Command, id: u64) -> WriteRequest {
    WriteRequest {
        command,
        precondition: Precondition::None,
        idempotency: None,
        now: after_noon(0),
        new_id: test_id(id),
    }
}

/// A create of that draft.
pub fn create(draft: Draft, id: u64) -> WriteRequest {
    request(Command::Create(Box::new(draft)), id)
}

/// A put of that draft.
pub fn put(draft: Draft, id: u64) -> WriteRequest {
    request(Command::Put(Box::new(draft)), id)
}

/// A merge patch of the product with that sku.
pub fn patch(to: &str, patch: Value) -> WriteRequest {
    request(Command::Patch { key: ProductKey::Sku(sku(to)), patch }, 0)
}

/// A deletion of the product with that sku.
pub fn delete(what: &str) -> WriteRequest {
    request(Command::Delete { key: ProductKey::Sku(sku(what)) }, 0)
}

/// An idempotency key with a request hash made of one byte.
pub fn key(text: &str, hash: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { scope: "tester".into(), key: text.into(), request_hash: [hash; 16] })
}

/// A batch at noon; ids are drawn from `first_id` on.
pub fn batch(drafts: Vec<Draft>, first_id: u64) -> BatchRequest {
    let new_ids = (first_id..).take(drafts.len()).map(test_id).collect();
    BatchRequest { drafts, new_ids, now: after_noon(0), dry_run: false, checkpoint: None }
}

impl Subject {
    /// Carries out a command that must succeed.
    pub async fn done(&self, request: WriteRequest) -> Receipt {
        self.writer.write(request).await.unwrap()
    }

    /// Carries out a command that must be refused.
    pub async fn refused(&self, request: WriteRequest) -> WriteError {
        self.writer.write(request).await.unwrap_err()
    }

    /// Carries out a batch that must succeed.
    pub async fn batch(&self, request: BatchRequest) -> Vec<BatchOutcome> {
        self.writer.write_batch(request).await.unwrap()
    }

    /// The product with that sku.
    pub async fn product(&self, by: &str) -> Option<Product> {
        let stored = self.reader.product(&ProductKey::Sku(sku(by))).await.unwrap()?;
        let product = Product::from_json(&stored.document).unwrap();
        assert_eq!((stored.id, &stored.sku, stored.version), (product.id, &product.sku, product.version));
        Some(product)
    }

    /// A page of the log that must be readable.
    pub async fn page(&self, after: u64, limit: u32) -> ChangePage {
        self.log.read(Seq(after).into(), limit).await.unwrap()
    }

    /// The whole log, of up to 10,000 changes. In one page: places below the floor are no places to go on from.
    pub async fn changes(&self) -> Vec<Change> {
        let page = self.page(0, 10_000).await;
        assert!(page.changes.len() < 10_000);
        page.changes
    }

    /// All products in order of id.
    pub async fn products(&self) -> Vec<Product> {
        let mut products: Vec<Product> = Vec::new();
        loop {
            let after = products.last().map(|product| product.id);
            let page = self.reader.scan(after, 500).await.unwrap();
            if page.is_empty() {
                return products;
            }
            products.extend(page.iter().map(|stored| Product::from_json(&stored.document).unwrap()));
        }
    }
}

/// The ids of changes, in order.
pub fn ids(changes: &[Change]) -> Vec<ProductId> {
    changes.iter().map(|change| change.id).collect()
}
