//! The decision as tables that a doctor can read, held against the reviewed copies in `tests/decision/`.
//!
//! `CARNET_DECISION=write cargo test --test it decision` writes them anew; the difference is what a review reads.

mod every;
mod holder;
mod list;
mod matrix;
mod phrases;
mod world;

use carnet::access::decide::Action;

use super::support::reviewed::{self, table};

fn compare(name: &str, made: &str) {
    reviewed::compare(&format!("decision/{name}"), made);
}

/// As the headings have it.
fn name_of(action: Action) -> &'static str {
    match action {
        Action::Existence => "TD0.2 existence",
        Action::Deposit => "TD2.1, TD2.2 deposit",
        Action::Consult => "TD3.1 search and metadata",
        Action::Retrieve => "TD3.2 documents",
        Action::DeclareAuthorisation => "TD0.3 declare authorised",
        Action::RemoveAuthorisation => "TD0.3 remove own authorisation",
        Action::LeaveAsMedecinTraitant => "TD0.3 remove self as MT",
        Action::ListAuthorisations => "TD1.6 list of professionals",
        Action::SetList => "change the list",
        Action::NameRepresentative => "name a legal representative",
        Action::NameAidant => "name an aidant",
        Action::Mask => "TD3.3a mask",
        Action::Unmask => "TD3.3a unmask",
        Action::ConcealFromPatient => "TD3.3b make invisible to the patient",
        Action::RevealToPatient => "TD3.3b make visible to the patient",
        Action::ConcealFromRepresentatives => "TD3.3b make invisible to legal representatives",
        Action::RevealToRepresentatives => "TD3.3b make visible to legal representatives",
        Action::ReadJournal => "read the journal",
    }
}
