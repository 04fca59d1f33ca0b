//! JSON merge patch (RFC 7396) on a product.

use serde_json::{Map, Value};

use super::{Draft, Product};
use crate::invalid::{Invalid, Violation};

/// Applies a merge patch to a product: `null` removes a member, an object merges, anything else replaces.
///
/// # Errors
/// The violations of the patched product; a patch that changes `sku`, `id` or removes what is required is one.
pub fn merge_patch(product: &Product, patch: &Value) -> Result<Draft, Invalid> {
    let Value::Object(members) = patch else {
        return Err(Invalid::one("", "a merge patch for a product is a JSON object"));
    };
    let mut target = serde_json::to_value(product).map_err(|e| Invalid::one("", e.to_string()))?;
    for fixed in ["sku", "id"] {
        if let Some(value) = members.get(fixed)
            && target.get(fixed) != Some(value)
        {
            return Err(Invalid(vec![Violation::new(
                format!("/{fixed}"),
                format!("'{fixed}' of a product never changes"),
            )]));
        }
    }
    merge(&mut target, patch);
    Draft::from_json(&target)
}

/// RFC 7396 §2, the function MergePatch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// The examples of RFC 7396, appendix A.
    #[rstest]
    #[case(json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"}))]
    #[case(json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"}))]
    #[case(json!({"a":"b"}), json!({"a":null}), json!({}))]
    #[case(json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"}))]
    #[case(json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"}))]
    #[case(json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]}))]
    #[case(json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}}))]
    #[case(json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]}))]
    #[case(json!(["a","b"]), json!(["c","d"]), json!(["c","d"]))]
    #[case(json!({"a":"b"}), json!(["c"]), json!(["c"]))]
    #[case(json!({"a":"foo"}), json!(null), json!(null))]
    #[case(json!({"a":"foo"}), json!("bar"), json!("bar"))]
    #[case(json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1}))]
    #[case(json!([1,2]), json!({"a":"b","c":null}), json!({"a":"b"}))]
    #[case(json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}}))]
    fn merges_as_the_rfc_says(#[case] mut target: Value, #[case] patch: Value, #[case] expected: Value) {
        merge(&mut target, &patch);
        assert_eq!(target, expected);
    }
}
