//! The fields of a product that a CSV can name.

use haat_catalog::invalid::{nearest, pointer_token};
use haat_catalog::product::decode::is_attribute_name;

/// What a field holds, which decides what its source may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A short text without white space at its ends.
    Word,
    /// A text of one line.
    Line,
    /// A text.
    Text,
    /// A number.
    Number,
    /// A moment in time.
    Moment,
    /// A currency code.
    Currency,
    /// An amount with its currency.
    Money,
    /// A category path.
    Path,
    /// A list of short texts.
    List,
    /// A place on Earth.
    Place,
    /// One attribute.
    Attribute,
    /// JSON as it is in the product format.
    Json,
}

/// The fields, in the order of the columns that an export writes.
const FIELDS: &[(&str, Kind)] = &[
    ("id", Kind::Word),
    ("sku", Kind::Word),
    ("name", Kind::Line),
    ("description", Kind::Text),
    ("brand", Kind::Line),
    ("category", Kind::Path),
    ("tags", Kind::List),
    ("price", Kind::Money),
    ("price.amount", Kind::Number),
    ("price.currency", Kind::Currency),
    ("list_price", Kind::Money),
    ("list_price.amount", Kind::Number),
    ("list_price.currency", Kind::Currency),
    ("stock", Kind::Number),
    ("unit", Kind::Line),
    ("rating", Kind::Number),
    ("seller", Kind::Line),
    ("location", Kind::Place),
    ("location.lat", Kind::Number),
    ("location.lon", Kind::Number),
    ("attributes", Kind::Json),
    ("images", Kind::List),
    ("variants", Kind::Json),
    ("status", Kind::Word),
    ("created_at", Kind::Moment),
];

/// Columns that an export writes and an import only checks: they are the server's own.
const READ_ONLY: &[(&str, Kind)] = &[("updated_at", Kind::Moment), ("version", Kind::Number)];

/// The columns of an export: the fields that one cell can hold.
pub(crate) fn flat_columns() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().chain(READ_ONLY).filter(|(_, kind)| !matches!(kind, Kind::Money | Kind::Place)).map(|(name, _)| *name)
}

/// Where a value goes: a member of the product, or a member of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) member: String,
    pub(crate) part: Option<String>,
    pub(crate) kind: Kind,
}

impl Target {
    /// The field of that name in a mapping.
    pub(crate) fn of_rule(name: &str) -> Result<Self, String> {
        if READ_ONLY.iter().any(|(n, _)| *n == name) {
            return Err(format!("'{name}' is kept by the server and cannot be imported; leave the rule out"));
        }
        Self::find(name, FIELDS.iter()).ok_or_else(|| unknown(name, "field", FIELDS.iter().map(|(n, _)| *n)))?
    }

    /// The field of that name in the header of a CSV in the flat form.
    pub(crate) fn of_column(name: &str) -> Result<Self, String> {
        let flat = FIELDS.iter().chain(READ_ONLY).filter(|(n, _)| flat_columns().any(|c| c == *n));
        Self::find(name, flat).ok_or_else(|| unknown(name, "column", flat_columns()))?
    }

    fn find<'a>(name: &str, known: impl Iterator<Item = &'a (&'a str, Kind)>) -> Option<Result<Self, String>> {
        if let Some(attribute) = name.strip_prefix("attributes.") {
            if !is_attribute_name(attribute) {
                let detail =
                    format!("'{attribute}' cannot name an attribute: 1 to 64 letters, digits, '_', '-' or '.'");
                return Some(Err(detail));
            }
            let (member, part) = ("attributes".to_owned(), Some(attribute.to_owned()));
            return Some(Ok(Self { member, part, kind: Kind::Attribute }));
        }
        let (name, kind) = known.into_iter().find(|(n, _)| *n == name)?;
        let (member, part) = match name.split_once('.') {
            Some((member, part)) => (member, Some(part.to_owned())),
            None => (*name, None),
        };
        Some(Ok(Self { member: member.to_owned(), part, kind: *kind }))
    }

    /// The field's name in a mapping.
    pub(crate) fn name(&self) -> String {
        match &self.part {
            Some(part) => format!("{}.{part}", self.member),
            None => self.member.clone(),
        }
    }

    /// Where the field is in the product's JSON.
    pub(crate) fn pointer(&self) -> String {
        match &self.part {
            Some(part) => format!("/{}/{}", self.member, pointer_token(part)),
            None => format!("/{}", self.member),
        }
    }

    /// Whether two rules would write the same thing. An attribute may come on top of a column of attributes.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.member == other.member
            && match (&self.part, &other.part) {
                (Some(a), Some(b)) => a == b,
                (None, None) => true,
                _ => self.member != "attributes",
            }
    }
}

fn unknown<'a>(name: &str, what: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("there is no {what} '{name}'; did you mean '{near}'?"),
        None => format!("there is no {what} '{name}'; known are {} and attributes.NAME", known.join(", ")),
    }
}
