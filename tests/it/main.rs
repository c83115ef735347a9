//! One test program: the real gateway on a real TLS port, one behaviour a test.

mod access;
mod corpus;
mod crash;
mod deposit;
mod layering;
mod read;
mod support;
