//! SQL texts as data: every statement a backend issues is declared once, in its `statements.rs`, with samples of
//! what is bound to it. So a test can ask both databases for the plan of each of them.

use std::sync::OnceLock;

/// What kind of value a placeholder takes, so that a plan can be asked for with likely ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A product's id or another key of 16 bytes.
    Id,
    /// A product's sku.
    Sku,
    /// A content or request hash.
    Hash,
    /// A place in the change log.
    Seq,
    /// A moment in milliseconds.
    Millis,
    /// Any other number.
    Number,
    /// A number of rows.
    Limit,
    /// Any text.
    Text,
}

/// A statement with a fixed text.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// Its name in the source.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
    /// What its placeholders take, in order, repeated as often as there are placeholders.
    pub samples: &'static [Sample],
}

/// Declares constants of SQL text and `FIXED`, the list of them all.
macro_rules! statements {
    ($( $(#[$doc:meta])* $name:ident [$($sample:ident),*] $sql:literal; )*) => {
        $( $(#[$doc])* pub(crate) const $name: &str = $sql; )*

        /// All statements with a fixed text.
        pub(crate) const FIXED: &[$crate::statement::Statement] = &[
            $( $crate::statement::Statement {
                name: stringify!($name),
                sql: $sql,
                samples: &[$($crate::statement::Sample::$sample),*],
            } ),*
        ];
    };
}
pub(crate) use statements;

/// How many rows a [`Shaped`] statement may have. Few sizes, so that a connection prepares each of them once,
/// whatever the number of rows; the largest stays clear of the thresholds at which MariaDB and MySQL plan long
/// `IN` lists another way (1,000 and the memory of the range optimizer).
pub(crate) const SIZES: [usize; 4] = [256, 32, 4, 1];

/// The most bytes of documents in one statement: far below the smallest usual `max_allowed_packet` (16 MiB).
const STATEMENT_BYTES: usize = 1 << 20;

/// A statement over several rows: `head`, then `row` once per row with commas between, then `tail`.
#[derive(Debug)]
pub(crate) struct Shaped {
    name: &'static str,
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    samples: &'static [Sample],
    texts: OnceLock<[String; SIZES.len()]>,
}

impl Shaped {
    /// Declares one.
    pub(crate) const fn new(
        name: &'static str,
        (head, row, tail): (&'static str, &'static str, &'static str),
        samples: &'static [Sample],
    ) -> Self {
        Self { name, head, row, tail, samples, texts: OnceLock::new() }
    }

    /// The text for so many rows, which is one of [`SIZES`] (as [`split`] and [`padded`] give them).
    pub(crate) fn text(&'static self, rows: usize) -> &'static str {
        let texts = self.texts.get_or_init(|| SIZES.map(|size| self.build(size)));
        let at = SIZES.iter().position(|size| *size == rows).unwrap_or(SIZES.len() - 1);
        texts.get(at).map_or("", String::as_str)
    }

    fn build(&self, rows: usize) -> String {
        format!("{}{}{}", self.head, vec![self.row; rows].join(", "), self.tail)
    }

    /// Its statements of every size.
    pub(crate) fn statements(&'static self) -> impl Iterator<Item = Statement> {
        SIZES.into_iter().map(|rows| Statement { name: self.name, sql: self.text(rows), samples: self.samples })
    }
}

/// Cuts rows into runs whose lengths are among [`SIZES`] and whose weights stay below what one statement may carry.
pub(crate) fn split<T>(rows: &[T], weight: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let fits = |size: &&usize| {
            **size == 1
                || rest.get(..**size).is_some_and(|run| run.iter().map(&weight).sum::<usize>() <= STATEMENT_BYTES)
        };
        let size = SIZES.iter().find(fits).copied().unwrap_or(1);
        let (run, after) = rest.split_at(size);
        runs.push(run);
        rest = after;
    }
    runs
}

/// Cuts keys of an `IN` list into runs whose lengths are among [`SIZES`]; the last key fills up the last run.
pub(crate) fn padded<T: Clone>(keys: &[T]) -> Vec<Vec<T>> {
    keys.chunks(SIZES[0])
        .map(|chunk| {
            let size = SIZES.into_iter().filter(|size| *size >= chunk.len()).min().unwrap_or(chunk.len());
            let mut run = chunk.to_vec();
            if let Some(last) = chunk.last() {
                run.resize(size, last.clone());
            }
            run
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_known_sizes_and_lose_nothing() {
        for len in [0, 1, 3, 4, 5, 33, 255, 256, 257, 1000] {
            let rows: Vec<usize> = (0..len).collect();
            let runs = split(&rows, |_| 1);
            assert!(runs.iter().all(|run| SIZES.contains(&run.len())));
            assert_eq!(runs.concat(), rows);
            let keys = padded(&rows);
            assert!(keys.iter().all(|run| SIZES.contains(&run.len())));
            let mut distinct = keys.concat();
            distinct.dedup();
            assert_eq!(distinct, rows);
        }
    }

    #[test]
    fn heavy_rows_travel_alone() {
        let rows = [10, STATEMENT_BYTES * 2, 10, 10];
        let runs = split(&rows, |weight| *weight);
        assert!(runs.iter().all(|run| run.len() == 1));
        assert_eq!(split(&[STATEMENT_BYTES / 5; 4], |weight| *weight).len(), 1);
    }

    #[test]
    fn texts_repeat_the_row() {
        static IDS: Shaped = Shaped::new("IDS", ("SELECT 1 WHERE x IN (", "?", ")"), &[Sample::Id]);
        assert_eq!(IDS.text(4), "SELECT 1 WHERE x IN (?, ?, ?, ?)");
        assert_eq!(IDS.text(1), "SELECT 1 WHERE x IN (?)");
    }
}
