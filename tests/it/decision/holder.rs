//! What the patient may, who acts for them and who keeps the record, with what is hidden from each. Source: F.4 (4 to 6).

use carnet::access::decide::Action;
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::consent::DelegateRole;
use carnet::domain::status::AvailabilityStatus;
use carnet::identity::caller::Caller;
use carnet::identity::session::PortalUser;

use super::world::{Facts, KNOWN, ask, closed, delegate, matrices, portal, unstated_portal};
use super::{compare, name_of, table};

#[test]
fn what_the_patient_may_and_who_acts_for_them_is_what_was_reviewed() {
    let users = users();
    let header = |first: &str| -> Vec<String> {
        std::iter::once(first).chain(users.iter().map(|user| user.name)).map(str::to_owned).collect()
    };
    let acts: Vec<_> =
        Action::ALL.iter().map(|&action| row(name_of(action), &users, |user| user.may(action))).collect();
    let shown: Vec<_> = documents()
        .map(|(name, status, label)| row(name, &users, |user| sign(user.sees(status, label)).to_owned()))
        .collect();
    let text = format!(
        "{HEAD}\n## What they may\n\n{}\n## Which documents of others they find\n\n{}",
        table(&header("Act"), &acts),
        table(&header("A document that is"), &shown)
    );
    compare("holder.md", &text);
}

/// Somebody before the portal, or the operator, and the record that they ask about.
struct User {
    name: &'static str,
    caller: Caller,
    facts: Facts,
}

impl User {
    fn may(&self, action: Action) -> String {
        let decided = ask(&matrices(), action, &self.caller, &self.facts.dossier());
        format!("{} {}", sign(decided.visibility.is_some()), decided.rule.code())
    }

    fn sees(&self, status: AvailabilityStatus, label: Option<VisibilityLabel>) -> bool {
        ask(&matrices(), Action::Consult, &self.caller, &self.facts.dossier()).shows(false, status, label, "10")
    }
}

fn users() -> Vec<User> {
    let adult = Facts::NOTHING;
    let minor = Facts { represented: true, ..adult };
    let to_portal = |user| portal(user);
    let by = |role, id| to_portal(PortalUser::Delegate(delegate(role, id)));
    let representative = || by(DelegateRole::LegalRepresentative, KNOWN);
    let user = |name, caller, facts| User { name, caller, facts };
    vec![
        user("portal, nobody stated", unstated_portal(), adult),
        user("patient", to_portal(PortalUser::Patient), adult),
        user("minor", to_portal(PortalUser::Patient), minor),
        user("legal representative", representative(), minor),
        user("aidant", by(DelegateRole::Aidant, KNOWN), adult),
        user("no delegation", by(DelegateRole::Aidant, "ens-unknown"), adult),
        user("operator", Caller::Operator, adult),
        user("patient, record closed", to_portal(PortalUser::Patient), Facts { state: closed(), ..adult }),
        user("operator, record closed", Caller::Operator, Facts { state: closed(), ..adult }),
    ]
}

fn documents() -> impl Iterator<Item = (&'static str, AvailabilityStatus, Option<VisibilityLabel>)> {
    use AvailabilityStatus::{Approved, Archived, Deleted, Deprecated};
    [
        ("in force", Approved, None),
        ("replaced", Deprecated, None),
        ("archived", Archived, None),
        ("deleted", Deleted, None),
        ("MASQUE_PS", Approved, Some(VisibilityLabel::MasquePs)),
        ("INVISIBLE_PATIENT", Approved, Some(VisibilityLabel::InvisiblePatient)),
        ("INVISIBLE_REPRESENTANTS_LEGAUX", Approved, Some(VisibilityLabel::InvisibleRepresentantsLegaux)),
    ]
    .into_iter()
}

fn row(name: &str, users: &[User], cell: impl Fn(&User) -> String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(users.iter().map(cell)).collect()
}

fn sign(is_so: bool) -> &'static str {
    if is_so { "●" } else { "-" }
}

const HEAD: &str = "# The patient, who acts for them, and the operator, as decided

●: permitted or shown, -: denied or hidden; then the rule that decided, as the journal has it. A minor is a patient who
has a legal representative. What one deposited oneself is found whatever its labels, until it is deleted.
";
