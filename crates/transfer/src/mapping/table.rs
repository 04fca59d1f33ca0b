//! A mapping as TOML: a `[fields]` table of the same rules.

use haat_catalog::invalid::nearest;
use serde_json::Value;

use crate::mapping::MappingError;

/// The rules of a mapping file as `FIELD=SOURCE`.
pub(crate) fn rules(text: &str) -> Result<Vec<String>, MappingError> {
    let file: toml::Table = toml::from_str(text)
        .map_err(|e| MappingError::whole(format!("the mapping file is not TOML: {}", e.to_string().trim_end())))?;
    let mut rules = Vec::new();
    for (key, value) in file {
        match (key.as_str(), value) {
            ("fields", toml::Value::Table(fields)) => flatten("", &fields, &mut rules)?,
            (other, _) => {
                let hint = nearest(other, ["fields"]).map(|n| format!("; did you mean [{n}]?")).unwrap_or_default();
                let detail = format!("the mapping file has '{other}'; it may only have a table [fields]{hint}");
                return Err(MappingError::whole(detail));
            }
        }
    }
    Ok(rules)
}

fn flatten(prefix: &str, table: &toml::Table, rules: &mut Vec<String>) -> Result<(), MappingError> {
    for (key, value) in table {
        // TOML reads the key `price.amount` as a table in a table.
        let field = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::String(source) => rules.push(format!("{field}={source}")),
            toml::Value::Table(inner) => match inner.get("value").filter(|_| inner.len() == 1 && field != "attributes")
            {
                Some(value) => rules.push(format!("{field}:={}", constant(&field, value)?)),
                None => flatten(&field, inner, rules)?,
            },
            _ => {
                let detail = "write a source in quotes, or { value = … } for a constant";
                return Err(MappingError::rule(&field, true, detail));
            }
        }
    }
    Ok(())
}

/// A constant as a rule writes it.
fn constant(field: &str, value: &toml::Value) -> Result<String, MappingError> {
    match value {
        toml::Value::String(_) | toml::Value::Integer(_) | toml::Value::Boolean(_) | toml::Value::Array(_) => {}
        toml::Value::Float(f) if f.is_finite() => {}
        _ => {
            let detail = "a constant is a string, a number, a boolean or an array of these";
            return Err(MappingError::rule(field, true, detail));
        }
    }
    let json: Value = serde_json::to_value(value).map_err(|e| MappingError::rule(field, true, e.to_string()))?;
    Ok(json.to_string())
}
