//! The text of a rule: `FIELD=SOURCE` or `FIELD:=VALUE`.

use haat_catalog::Draft;
use haat_catalog::money::MoneyError;
use serde_json::{Map, Value, json};

use crate::mapping::cell::Read;
use crate::mapping::field::{Kind, Target};
use crate::mapping::plan::put;
use crate::mapping::source::{CurrencyFrom, Part, Source};

/// Reads a rule; an error says what to write instead.
pub(crate) fn rule(text: &str) -> Result<(Target, Source<String>), String> {
    let Some((left, right)) = text.split_once('=') else {
        return Err("a rule is FIELD=COLUMN, for example name=product, or FIELD:=VALUE for a constant".to_owned());
    };
    let constant = left.ends_with(':');
    let target = Target::of_rule(left.strip_suffix(':').unwrap_or(left).trim())?;
    if constant {
        let value = constant_value(&target, right.trim())?;
        return Ok((target, Source::Constant(value)));
    }
    let name = target.name();
    let source = right.trim_start();
    if source.is_empty() {
        return Err(format!("write which column it is: {name}=COLUMN"));
    }
    let quoted = source.starts_with('"');
    if !quoted && source.contains('{') {
        let source = template(&target, source)?;
        return Ok((target, source));
    }
    let source = Pieces::read(source)?.into_source(&target)?;
    Ok((target, source))
}

/// `TEXT{COLUMN}TEXT`; `{{` and `}}` are braces themselves.
fn template(target: &Target, text: &str) -> Result<Source<String>, String> {
    let textual = matches!(target.kind, Kind::Word | Kind::Line | Kind::Text | Kind::Attribute);
    if !textual {
        return Err(format!(
            "'{}' is not a text, so it cannot be put together with {{…}}; a column whose name has a brace is written in double quotes",
            target.name()
        ));
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            literal.push_str(from.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let column = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((column, after)) = column else {
            return Err("a brace is not closed; write {COLUMN}, or {{ for a brace itself".to_owned());
        };
        if column.trim().is_empty() {
            return Err("the braces are empty; write the name of a column between them".to_owned());
        }
        parts.push(Part::Text(std::mem::take(&mut literal)));
        parts.push(Part::Column(column.trim().to_owned()));
        rest = after;
    }
    literal.push_str(rest);
    parts.push(Part::Text(literal));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    if !parts.iter().any(|part| matches!(part, Part::Column(_))) {
        return Err(format!("there is no column in it; write {}:=VALUE for a constant", target.name()));
    }
    // Half a key would make products of the same sku out of different ones.
    Ok(Source::Template { parts, strict: target.kind == Kind::Word })
}

/// `VALUE` of a constant: what a cell of the flat form would hold, or a JSON string.
fn constant_value(target: &Target, text: &str) -> Result<Value, String> {
    let name = target.name();
    let unquoted: Option<String> = match text.starts_with('"') {
        true => Some(serde_json::from_str(text).map_err(|_| "the double quotes are not closed".to_owned())?),
        false => None,
    };
    let cell = unquoted.as_deref().unwrap_or(text);
    let read = match (target.kind, &unquoted) {
        (Kind::Money, _) => {
            return Err(format!("give a constant price as {name}.amount:=12900 and {name}.currency:=INR"));
        }
        (Kind::Place, _) => {
            return Err(format!("give a constant place as {name}.lat:=18.52 and {name}.lon:=73.86"));
        }
        (Kind::Attribute, Some(_)) => Read::Verbatim,
        (kind, _) => flat(kind),
    };
    let value = read.value(cell)?.ok_or_else(|| format!("write a value: {name}:=VALUE"))?;
    check_constant(target, &value)?;
    Ok(value)
}

/// Tells now what would otherwise be wrong with every single row.
fn check_constant(target: &Target, value: &Value) -> Result<(), String> {
    let mut probe = Map::new();
    for (member, sample) in
        [("sku", json!("A")), ("name", json!("A")), ("price", json!({"amount": 1, "currency": "INR"}))]
    {
        probe.insert(member.to_owned(), sample);
    }
    if target.member == "list_price" {
        probe.insert("list_price".to_owned(), json!({"amount": 1, "currency": "INR"}));
    }
    if target.member == "location" {
        probe.insert("location".to_owned(), json!({"lat": 0, "lon": 0}));
    }
    put(&mut probe, target, value.clone());
    match Draft::from_json(&Value::Object(probe)) {
        Ok(_) => Ok(()),
        Err(found) => Err(found.0.into_iter().map(|v| v.detail).collect::<Vec<_>>().join("; ")),
    }
}

/// How a cell of a field is read in the flat form.
pub(crate) fn flat(kind: Kind) -> Read {
    match kind {
        Kind::Word => Read::Trimmed,
        Kind::Line | Kind::Text | Kind::Money | Kind::Place => Read::Verbatim,
        Kind::Number => Read::Number,
        Kind::Moment => Read::Moment,
        Kind::Currency => Read::Currency,
        Kind::Path => Read::FLAT_PATH,
        Kind::List => Read::FLAT_LIST,
        Kind::Attribute => Read::Guess,
        Kind::Json => Read::Json,
    }
}

/// A source cut at its signs: columns with `>` or `,` between them, then `|SEPARATOR` or `:SUFFIX`.
#[derive(Default)]
struct Pieces {
    columns: Vec<String>,
    join: Option<char>,
    split: Option<String>,
    suffix: Option<String>,
}

impl Pieces {
    fn read(text: &str) -> Result<Self, String> {
        let mut pieces = Self::default();
        let mut rest = text;
        loop {
            let (column, after) = column(rest)?;
            pieces.columns.push(column);
            let Some(sign) = after.chars().next() else { return Ok(pieces) };
            let after = after.get(sign.len_utf8()..).unwrap_or_default();
            match sign {
                '|' if after.is_empty() => {
                    return Err("write the separator after the '|', for example tags=labels|;".to_owned());
                }
                '|' => {
                    // A separator may be white space, but need not have any around it: items are trimmed.
                    let trimmed = after.trim();
                    pieces.split = Some(if trimmed.is_empty() { after } else { trimmed }.to_owned());
                    return Ok(pieces);
                }
                ':' => {
                    pieces.suffix = Some(after.trim().to_owned());
                    return Ok(pieces);
                }
                _ if pieces.join.is_some_and(|join| join != sign) => {
                    return Err("'>' and ',' are mixed; use one of them".to_owned());
                }
                _ => {
                    pieces.join = Some(sign);
                    rest = after;
                }
            }
        }
    }

    fn into_source(self, target: &Target) -> Result<Source<String>, String> {
        let name = target.name();
        match target.kind {
            Kind::Path | Kind::List => return self.into_list(target),
            Kind::Place => return self.into_place(&name),
            _ => {}
        }
        let (Some(column), None) = (self.columns.first().cloned(), self.join) else {
            return Err(format!("'{name}' is read from one column; {QUOTE_IT}"));
        };
        match (target.kind, self.split, self.suffix) {
            (Kind::Money, None, Some(suffix)) => Ok(Source::Money(column, currency(&suffix)?)),
            (Kind::Money, None, None) => Err(format!(
                "a price needs its currency: {name}={column}:INR, or {name}={column}:@COLUMN with the column that names \
                 it; for integers in minor units use {name}.amount and {name}.currency"
            )),
            (Kind::Attribute, Some(separator), None) => Ok(Source::Cell(column, Read::Split(separator))),
            (Kind::Attribute, None, suffix) => Ok(Source::Cell(column, attribute(suffix.as_deref())?)),
            (kind, None, None) => Ok(Source::Cell(column, mapped(kind))),
            (_, Some(_), _) => Err(format!("'{name}' is not a list, so it cannot be split at a '|'; {QUOTE_IT}")),
            (_, _, Some(suffix)) => Err(format!("'{name}' takes no ':{suffix}'; {QUOTE_IT}")),
        }
    }

    fn into_list(self, target: &Target) -> Result<Source<String>, String> {
        let name = target.name();
        if let Some(suffix) = self.suffix {
            return Err(format!("'{name}' takes no ':{suffix}'; {QUOTE_IT}"));
        }
        match (self.join, self.split, <[String; 1]>::try_from(self.columns)) {
            (_, Some(separator), Ok([column])) => Ok(Source::Cell(column, Read::Split(separator))),
            (_, None, Ok([column])) => Ok(Source::Cell(column, Read::Single)),
            (Some(','), _, _) if target.kind == Kind::Path => {
                Err(format!("write '>' between the columns of {name}, outermost level first"))
            }
            (Some('>'), _, _) if target.kind == Kind::List => Err(format!("write ',' between the columns of {name}")),
            (_, None, Err(columns)) => Ok(Source::Several(columns)),
            (_, Some(_), Err(_)) => Err("give several columns, or one column with a separator, not both".to_owned()),
        }
    }

    fn into_place(self, name: &str) -> Result<Source<String>, String> {
        match (self.join, self.split, self.suffix, <[String; 2]>::try_from(self.columns)) {
            (Some(','), None, None, Ok([lat, lon])) => Ok(Source::Place(lat, lon)),
            _ => Err(format!("a place is two columns of degrees, latitude first: {name}=LAT,LON")),
        }
    }
}

const QUOTE_IT: &str = "a column whose name has that sign in it is written in double quotes";

/// The column at the start, and what follows it.
fn column(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    let (column, after) = match text.strip_prefix('"') {
        Some(inner) => quoted(inner)?,
        None => {
            let (name, after) = text.split_at(text.find(['>', ',', '|', ':']).unwrap_or(text.len()));
            (name.trim().to_owned(), after)
        }
    };
    if column.is_empty() {
        return Err("the name of a column is missing".to_owned());
    }
    Ok((column, after))
}

/// A name in double quotes, of which the first is gone; a double quote in it is written twice.
fn quoted(mut rest: &str) -> Result<(String, &str), String> {
    let mut name = String::new();
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err("the double quotes are not closed".to_owned());
        };
        name.push_str(before);
        if let Some(more) = after.strip_prefix('"') {
            name.push('"');
            rest = more;
            continue;
        }
        let after = after.trim_start();
        if !after.is_empty() && !after.starts_with(['>', ',', '|', ':']) {
            return Err("there is text after the closing double quote".to_owned());
        }
        return Ok((name, after));
    }
}

fn currency(suffix: &str) -> Result<CurrencyFrom<String>, String> {
    if let Some(from) = suffix.strip_prefix('@') {
        return match column(from)? {
            (name, "") => Ok(CurrencyFrom::Column(name)),
            _ => Err(format!("write one column after the '@'; {QUOTE_IT}")),
        };
    }
    suffix
        .parse()
        .map(CurrencyFrom::Fixed)
        .map_err(|e: MoneyError| format!("{e}; for the column that names the currency write ':@COLUMN'"))
}

fn attribute(suffix: Option<&str>) -> Result<Read, String> {
    match suffix {
        None | Some("text") => Ok(Read::Trimmed),
        Some("number") => Ok(Read::Number),
        Some("bool") => Ok(Read::Flag),
        Some(other) => Err(format!("'{other}' is not a type of attribute; known are text, number and bool")),
    }
}

/// How a cell of a field is read by a mapping.
fn mapped(kind: Kind) -> Read {
    match kind {
        Kind::Line => Read::OneLine,
        Kind::Text => Read::Trimmed,
        other => flat(other),
    }
}
