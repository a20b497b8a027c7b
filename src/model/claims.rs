//! Lossless account claims.
