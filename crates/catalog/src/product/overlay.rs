//! What somebody else says of a product, laid over what is known of it: the members that are named are replaced, the
//! others stay as they are.
//!
//! Unlike a merge patch ([`super::patch`]), an overlay replaces a member whole and so can take away what an object no longer
//! has: that is how an upstream that names all attributes loses one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Draft, Product, Sku};
use crate::invalid::{Invalid, Violation, pointer_token};

/// Members of a product and what they become.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay {
    /// Of which product. Never changes one's sku.
    pub sku: Sku,
    /// Members by name (`name`, `price`, `attributes`, …) with their new value as the product format has it; `null` takes
    /// a member away. `sku`, `id`, `version` and `updated_at` are not among them.
    pub members: BTreeMap<String, Value>,
    /// Single attributes by name, laid over `members`' `attributes` if they are there, else over the product's; `null` takes
    /// one away.
    pub attributes: BTreeMap<String, Value>,
}

/// Members that no overlay changes: what a product is called by, and what the server keeps.
const FIXED: [&str; 4] = ["sku", "id", "version", "updated_at"];

impl Overlay {
    /// An overlay that changes nothing yet.
    pub fn new(sku: Sku) -> Self {
        Self { sku, members: BTreeMap::new(), attributes: BTreeMap::new() }
    }

    /// The product that `existing` becomes, or a new one of the overlay alone.
    ///
    /// # Errors
    /// All violations of the result, at their places in the product format.
    pub fn over(&self, existing: Option<&Product>) -> Result<Draft, Invalid> {
        if let Some(fixed) = self.members.keys().find(|name| FIXED.contains(&name.as_str())) {
            let at = format!("/{}", pointer_token(fixed));
            return Err(Invalid(vec![Violation::new(at, format!("'{fixed}' cannot be laid over a product"))]));
        }
        let base = existing.map(serde_json::to_value).transpose().map_err(|e| Invalid::one("", e.to_string()))?;
        let mut target = match base {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        // Of a product that is there, the stored one counts.
        target.entry("sku").or_insert_with(|| Value::from(self.sku.as_str()));
        for (name, value) in &self.members {
            target.insert(name.clone(), value.clone());
        }
        if !self.attributes.is_empty() {
            let attributes = target.entry("attributes").or_insert(Value::Null);
            if attributes.is_null() {
                *attributes = Value::Object(Map::new());
            }
            if let Value::Object(attributes) = attributes {
                for (name, value) in &self.attributes {
                    match value {
                        Value::Null => drop(attributes.remove(name)),
                        value => drop(attributes.insert(name.clone(), value.clone())),
                    }
                }
            }
        }
        Draft::from_json(&Value::Object(target))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::product::ProductId;
    use crate::time::Timestamp;

    fn product(value: Value) -> Product {
        let at = Timestamp::from_millis(5);
        Draft::from_json(&value).unwrap().into_product(ProductId::from_bytes([7; 16]), 3, at, at)
    }

    fn overlay(members: Value, attributes: Value) -> Overlay {
        let map = |value| serde_json::from_value(value).unwrap();
        Overlay { sku: Sku::new("A").unwrap(), members: map(members), attributes: map(attributes) }
    }

    #[test]
    fn members_that_are_not_named_stay_and_those_that_are_become_what_is_said() {
        let old = product(json!({"sku": "A", "name": "Old", "price": {"amount": 1, "currency": "INR"}, "rating": 4.5,
            "brand": "B", "attributes": {"a": 1, "b": 2}}));
        let over = overlay(json!({"name": "New", "brand": null}), json!({"b": null, "c": true}));
        let new = over.over(Some(&old)).unwrap();
        assert_eq!((new.name.as_str(), new.rating, &new.brand), ("New", Some(4.5), &None));
        assert_eq!(serde_json::to_value(&new.attributes).unwrap(), json!({"a": 1, "c": true}));
        let whole = overlay(json!({"attributes": {"x": 1}}), json!({"y": 2})).over(Some(&old)).unwrap();
        assert_eq!(serde_json::to_value(&whole.attributes).unwrap(), json!({"x": 1, "y": 2}));
    }

    #[test]
    fn a_new_product_is_what_the_overlay_says_and_what_is_wrong_is_named() {
        let over = overlay(json!({"name": "New", "price": {"amount": 5, "currency": "EUR"}}), json!({}));
        assert_eq!(over.over(None).unwrap().sku.as_str(), "A");
        let Invalid(violations) = overlay(json!({"name": 7, "stock": "x"}), json!({})).over(None).unwrap_err();
        let at: Vec<&str> = violations.iter().map(|v| v.pointer.as_str()).collect();
        assert!(at.contains(&"/name") && at.contains(&"/stock") && at.contains(&"/price"), "{at:?}");
        assert_eq!(overlay(json!({"id": "x"}), json!({})).over(None).unwrap_err().0[0].pointer, "/id");
    }
}
