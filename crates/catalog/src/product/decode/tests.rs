//! What is taken and what is refused, and how it is told.

use super::*;
use serde_json::json;

fn violations(value: Value) -> Vec<String> {
    match Draft::from_json(&value) {
        Ok(_) => Vec::new(),
        Err(Invalid(found)) => found.into_iter().map(|v| format!("{} {}", v.pointer, v.detail)).collect(),
    }
}

fn least() -> Value {
    json!({"sku": "A1", "name": "Apple", "price": {"amount": 100, "currency": "INR"}})
}

#[test]
fn the_least_product_has_defaults() {
    let draft = Draft::from_json(&least()).unwrap();
    assert_eq!(draft.status, Status::Active);
    assert!(draft.tags.is_empty() && draft.brand.is_none());
}

#[test]
fn every_violation_is_named_at_its_pointer() {
    let found = violations(json!({"sku": " A", "nmae": "x", "price": {"amount": 1.5, "currency": "inr"}, "stock": "7",
        "rating": 9, "variants": [{"name": "x"}], "attributes": {"a b": 1}, "images": ["ftp://x"], "status": "gone"}));
    for expected in [
        "/nmae unknown member; did you mean 'name'?",
        "/name 'name' is required",
        "/sku the sku has white space",
        "/price/amount must be an integer",
        "/price/currency 'inr' is not an ISO 4217",
        "/status must be one of active, draft, archived",
        "/stock must be an integer",
        "/rating must be from 0 to 5",
        "/variants/0/sku 'sku' is required",
        "/attributes/a b an attribute's name",
        "/images/0 must be an address",
    ] {
        assert!(found.iter().any(|v| v.starts_with(expected)), "{expected} in {found:#?}");
    }
}

#[test]
fn a_category_level_that_would_not_come_back_from_a_path_is_refused() {
    for level in [">", "> Rice", "Rice >", "Rice > Basmati"] {
        let mut value = least();
        value["category"] = json!(["Food", level]);
        let found = violations(value);
        assert!(found.iter().any(|v| v.starts_with("/category/1 has ' > '")), "{level}: {found:?}");
    }
    for level in [">5 kg", "A>B", "Rice>", "->"] {
        let mut value = least();
        value["category"] = json!(["Food", level]);
        assert_eq!(violations(value), [""; 0], "{level}");
    }
}

#[test]
fn a_flood_of_unknown_members_is_refused_in_a_short_answer_and_at_once() {
    let mut value = least();
    for n in 0..100_000 {
        value[format!("unknown_{n}_{}", "x".repeat(1_000 * usize::from(n % 1_000 == 0)))] = json!(1);
    }
    let began = std::time::Instant::now();
    let found = violations(value);
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(found.len(), MAX_VIOLATIONS + 1);
    assert!(found.last().unwrap().contains("more is wrong"), "{:?}", found.last());
    let longest = found.iter().map(String::len).max().unwrap();
    assert!(longest < 500, "{longest} bytes");
}

#[test]
fn an_unknown_member_is_named_by_its_first_64_characters() {
    let mut value = least();
    value["a/é".repeat(100)] = json!(1);
    let Err(Invalid(found)) = Draft::from_json(&value) else { panic!("it was taken") };
    let [only] = &found[..] else { panic!("{found:?}") };
    let name = "a/é".repeat(100).chars().take(64).collect::<String>();
    assert_eq!(only.pointer, format!("/{}…", pointer_token(&name)));
}

#[test]
fn huge_and_odd_numbers_are_refused_not_rounded() {
    for amount in ["1e400", "9007199254740992", "-1", "0.5", "123456789012345678901234567890"] {
        let text = format!(r#"{{"sku":"A","name":"n","price":{{"amount":{amount},"currency":"INR"}}}}"#);
        // serde_json itself refuses what no double can hold.
        if let Ok(value) = serde_json::from_str(&text) {
            assert!(Draft::from_json(&value).is_err(), "{amount}");
        }
    }
}

#[test]
fn what_was_read_can_be_sent_back() {
    let mut value = least();
    value["id"] = json!("019aa000-0000-7000-8000-000000000001");
    value["version"] = json!(3);
    value["updated_at"] = json!("2026-01-02T03:04:05Z");
    value["brand"] = Value::Null;
    assert!(Draft::from_json(&value).is_ok());
}

#[test]
fn equal_content_has_an_equal_hash_whatever_the_order_of_members() {
    let a: Value = serde_json::from_str(
        r#"{"sku":"A","name":"n","price":{"amount":1,"currency":"INR"},"attributes":{"x":1,"y":2}}"#,
    )
    .unwrap();
    let b: Value = serde_json::from_str(
        r#"{"attributes":{"y":2,"x":1},"price":{"currency":"INR","amount":1},"name":"n","sku":"A","tags":[]}"#,
    )
    .unwrap();
    let (a, b) = (Draft::from_json(&a).unwrap(), Draft::from_json(&b).unwrap());
    assert_eq!(a.content_hash(), b.content_hash());
}
