//! Everything that a sender can get wrong, and what they are told: [`super::support::Desk`] checks each refusal.

mod consent;
mod document;
mod ins;
mod json;
mod metadata;
mod mutation;
mod published;
mod submission;
mod transport;
mod xml;
