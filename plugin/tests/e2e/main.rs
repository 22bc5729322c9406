//! bootstrap on a real control plane.
