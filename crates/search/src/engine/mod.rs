//! The engine: answers a query from one unchanging state of the index.
//!
//! It works on tantivy's structures (term dictionaries, postings, columns, the document store) but not with its
//! collectors: exact keyset pages in both directions, multi-select facets and a plan per query need more control.
//! A query goes through [`filters`] (what to test), [`plan`] (how to find the page), [`walk`] or [`docset`] and
//! [`topk`] (finding it), [`facets`], and ends in [`page`].

pub mod bits;
pub mod columns;
pub mod counts;
pub mod dense;
pub mod docset;
pub mod facets;
pub mod filters;
pub mod keys;
pub mod ordinals;
pub mod page;
pub mod plan;
pub mod topk;
pub mod view;
pub mod walk;

#[cfg(test)]
mod tests;
