//! Hashes as arrays.

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(digest(&SHA256, bytes).as_ref())
}

/// A hash of 32 bytes as an array; the library gives them as slices.
pub(crate) fn array(hash: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(hash);
    array
}
