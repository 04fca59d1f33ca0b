//! The most items a product may have of each kind, and the longest texts (in characters).

/// Bytes of a product's JSON. Far above what the API lets in by default, below every limit of the databases: MySQL's
/// MEDIUMTEXT (16 MiB) and its smallest usual `max_allowed_packet`.
pub const DOCUMENT_BYTES: usize = 4 << 20;
/// Characters of a name.
pub const NAME: usize = 500;
/// Characters of a description.
pub const DESCRIPTION: usize = 20_000;
/// Characters of a brand, a seller, a tag, a unit, a category level, an image address (times ten).
pub const LABEL: usize = 200;
/// Levels of a category path.
pub const CATEGORY_LEVELS: usize = 10;
/// Tags, images.
pub const LIST: usize = 100;
/// Attributes of a product or a variant.
pub const ATTRIBUTES: usize = 200;
/// Characters of an attribute's name.
pub const ATTRIBUTE_NAME: usize = 64;
/// Characters of an attribute's text value.
pub const ATTRIBUTE_TEXT: usize = 1_000;
/// Variants.
pub const VARIANTS: usize = 250;
