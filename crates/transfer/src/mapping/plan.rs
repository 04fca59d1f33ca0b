//! A mapping that knows the header: from the cells of a row to a product.

use haat_catalog::Draft;
use haat_catalog::invalid::{Invalid, Violation, nearest};
use serde_json::{Map, Value};

use crate::mapping::CsvMapping;
use crate::mapping::field::Target;
use crate::mapping::source::Source;
use crate::mapping::syntax::flat;
use crate::spec::{ImportError, MissingColumn, shown};

/// No table that anybody made has more; looking for what was meant by a million names would take minutes.
const MAX_COLUMNS: usize = 10_000;

/// What to do with each row.
pub(crate) struct Plan {
    header: Vec<String>,
    rules: Vec<(Target, Source<usize>)>,
}

impl Plan {
    /// Matches a mapping with a header; without one the header names the fields itself.
    pub(crate) fn new(header: &[&str], mapping: Option<&CsvMapping>) -> Result<Self, ImportError> {
        if header.len() > MAX_COLUMNS {
            let detail = format!("it has {} columns, more than {MAX_COLUMNS}", header.len());
            return Err(ImportError::Header(detail));
        }
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        let rules = match mapping {
            Some(mapping) => bind(&header, mapping)?,
            None => read_flat(&header)?,
        };
        Ok(Self { header, rules })
    }

    /// How many cells a row has.
    pub(crate) fn columns(&self) -> usize {
        self.header.len()
    }

    /// The name of a column.
    pub(crate) fn column(&self, number: usize) -> Option<String> {
        self.header.get(number).cloned()
    }

    /// The column behind a JSON Pointer, or the pointer where it comes from no column.
    pub(crate) fn place(&self, pointer: &str) -> String {
        let rule = self.rule_of(pointer);
        let columns: Vec<String> =
            rule.map(|(_, source)| source.columns()).into_iter().flatten().filter_map(|c| self.column(*c)).collect();
        if columns.is_empty() { pointer.to_owned() } else { columns.join(", ") }
    }

    /// The rule that writes what a pointer points to: the one with the longest matching target.
    fn rule_of(&self, pointer: &str) -> Option<&(Target, Source<usize>)> {
        let matches = |target: &Target| {
            pointer.strip_prefix(target.pointer().as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let best = self.rules.iter().filter(|(target, _)| matches(target)).max_by_key(|(t, _)| t.pointer().len());
        // `/price` is missing when `price.amount` is.
        best.or_else(|| self.rules.iter().find(|(target, _)| target.pointer().starts_with(&format!("{pointer}/"))))
    }

    /// The product in a row, or everything wrong with it, named by column.
    pub(crate) fn product(&self, row: &[&str]) -> Result<Draft, Vec<Violation>> {
        let mut object = Map::new();
        let mut found = Vec::new();
        let mut failed: Vec<&str> = Vec::new();
        for (target, source) in &self.rules {
            match source.value(row) {
                Ok(Some(value)) => put(&mut object, target, value),
                Ok(None) => {}
                Err((column, detail)) => {
                    failed.push(&target.member);
                    found.push(Violation::new(self.column(column).unwrap_or_default(), detail));
                }
            }
        }
        for money in ["price", "list_price"] {
            // A currency alone, as from a constant, is no price.
            if object.get(money).is_some_and(|m| m.get("amount").is_none()) {
                object.remove(money);
            }
        }
        match Draft::from_json(&Value::Object(object)) {
            Ok(draft) if found.is_empty() => Ok(draft),
            Ok(_) => Err(found),
            Err(Invalid(more)) => {
                let known = |v: &Violation| v.pointer.split('/').nth(1).is_some_and(|member| failed.contains(&member));
                found.extend(more.into_iter().filter(|v| !known(v)).map(|v| self.rename(v, row)));
                Err(found)
            }
        }
    }

    fn rename(&self, violation: Violation, row: &[&str]) -> Violation {
        let empty = self.rule_of(&violation.pointer).is_some_and(|(_, source)| {
            let columns = source.columns();
            !columns.is_empty() && columns.iter().any(|c| row.get(**c).is_some_and(|cell| cell.trim().is_empty()))
        });
        let detail = match empty {
            true if violation.detail.ends_with("is required") => format!("{}, and the cell is empty", violation.detail),
            _ => violation.detail,
        };
        Violation { pointer: self.place(&violation.pointer), detail, allowed: violation.allowed }
    }
}

/// Puts a value where it goes.
pub(crate) fn put(object: &mut Map<String, Value>, target: &Target, value: Value) {
    let Some(part) = &target.part else {
        return match (object.get_mut(&target.member), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
            (_, value) => drop(object.insert(target.member.clone(), value)),
        };
    };
    let inner = object.entry(target.member.clone()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        inner.insert(part.clone(), value);
    }
}

fn bind(header: &[String], mapping: &CsvMapping) -> Result<Vec<(Target, Source<usize>)>, ImportError> {
    let mut rules = Vec::new();
    let mut missing: Vec<MissingColumn> = Vec::new();
    let mut twice = None;
    for rule in mapping.parsed() {
        let mut find = |column: &String| {
            let mut places = header.iter().enumerate().filter(|(_, name)| *name == column).map(|(i, _)| i);
            let first = places.next();
            if places.next().is_some() {
                twice = Some(column.clone());
            }
            first
        };
        match rule.source.rename(&mut find) {
            Some(source) => rules.push((rule.target.clone(), source)),
            None => missing.extend(rule.source.columns().into_iter().filter(|c| !header.contains(c)).map(|column| {
                MissingColumn { column: column.clone(), field: rule.target.name(), nearest: near(column, header) }
            })),
        }
    }
    if !missing.is_empty() {
        return Err(ImportError::MissingColumns { missing, header: header.to_vec() });
    }
    if let Some(column) = twice {
        return Err(ImportError::Header(format!("the column '{column}' is there twice; rename one of them")));
    }
    Ok(rules)
}

fn near(column: &str, header: &[String]) -> Option<String> {
    let lower: Vec<String> = header.iter().map(|name| name.to_lowercase()).collect();
    let name = nearest(column, lower.iter().map(String::as_str).filter(|name| !name.is_empty()))?;
    header.iter().find(|original| original.to_lowercase() == name).cloned()
}

/// The rules of a header that names the fields itself.
fn read_flat(header: &[String]) -> Result<Vec<(Target, Source<usize>)>, ImportError> {
    let mut rules: Vec<(Target, Source<usize>)> = Vec::new();
    let mut unknown = Vec::new();
    for (i, name) in header.iter().enumerate() {
        match Target::of_column(name) {
            Ok(target) if rules.iter().any(|(t, _)| *t == target) => {
                return Err(ImportError::Header(format!("the column '{name}' is there twice")));
            }
            Ok(target) => {
                let read = flat(target.kind);
                rules.push((target, Source::Cell(i, read)));
            }
            Err(detail) if unknown.len() < 5 => unknown.push(detail),
            Err(_) => {}
        }
    }
    let advice = "name the columns as an export does, or say which column is which field with a mapping \
                  (sku=COLUMN, name=COLUMN, price=COLUMN:INR, …)";
    if let Some(first) = unknown.first() {
        let detail = if rules.is_empty() {
            format!("none of its columns ({}) is a field of a product; {advice}", shown(header))
        } else {
            format!("{}; {advice}", if unknown.len() == 1 { first.clone() } else { unknown.join("; ") })
        };
        return Err(ImportError::Header(detail));
    }
    let lacks: Vec<&str> = ["sku", "name", "price.amount", "price.currency"]
        .into_iter()
        .filter(|required| !rules.iter().any(|(target, _)| target.name() == *required))
        .collect();
    if !lacks.is_empty() {
        return Err(ImportError::Header(format!("it has no column {}; {advice}", lacks.join(", "))));
    }
    Ok(rules)
}
