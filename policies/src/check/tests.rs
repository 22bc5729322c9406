//! Whole checks.
