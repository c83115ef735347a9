//! Composes a statement of fixed pieces and numbered placeholders. Values never enter the text.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::error::Error;
use super::executor::{Param, Row, Tx};
use crate::access::visibility::{Others, Reach, Readable, ReadableKinds, Shown, Visibility};
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::ids::DossierId;
use crate::domain::status::AvailabilityStatus;
use crate::identity::caller::CallerId;

pub(super) struct Composer {
    text: String,
    params: Vec<Param>,
}

impl Composer {
    pub(super) fn new(start: &'static str) -> Self {
        Self { text: start.to_owned(), params: Vec::new() }
    }

    pub(super) fn push(&mut self, piece: &'static str) {
        self.text.push_str(piece);
    }

    /// Adds a placeholder for `param`.
    pub(super) fn push_param(&mut self, param: Param) {
        self.params.push(param);
        self.text.push('$');
        self.text.push_str(&self.params.len().to_string());
    }

    /// Adds placeholders separated by commas.
    pub(super) fn push_list(&mut self, params: impl Iterator<Item = Param>) {
        for (index, param) in params.enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.push_param(param);
        }
    }

    /// Adds `($1, $2), ($3, $4)...`: the rows of one INSERT.
    pub(super) fn push_rows(&mut self, rows: impl Iterator<Item = Vec<Param>>) {
        for (index, row) in rows.enumerate() {
            self.push(if index > 0 { ", (" } else { "(" });
            self.push_list(row.into_iter());
            self.push(")");
        }
    }

    /// Adds the condition that `alias` (a `document_entry`) is visible: the one place where
    /// [`Visibility`] becomes SQL, shared by search, counts, single reads and associations.
    pub(super) fn push_visibility(&mut self, alias: &'static str, visibility: &Visibility) {
        if !visibility.shows_deleted() {
            self.push(" AND ");
            self.push_status_is_not(alias, AvailabilityStatus::Deleted);
        }
        match &visibility.others {
            Others::Nothing => {
                self.push(" AND ");
                self.push_own(alias, &visibility.holder);
            }
            Others::Shown(shown) if hides(shown) => {
                self.push(" AND ((");
                self.push_shown(alias, shown, visibility.at);
                self.push(") OR ");
                self.push_own(alias, &visibility.holder);
                self.push(")");
            }
            Others::Shown(_) => {}
        }
    }

    /// Adds the entries of `dossier` as `e`, each with `replaced_us`: when something that `visibility` shows replaced
    /// it. What a hidden entry replaced is in force for whoever may not see that one: its status would tell of it.
    pub(super) fn push_entries(&mut self, dossier: DossierId, visibility: &Visibility) {
        self.push("(SELECT d.*, CASE WHEN d.status = 'deprecated' THEN (");
        self.push("SELECT MAX(r.registered_us) FROM association x ");
        self.push("JOIN document_entry r ON r.logical_id = x.source_logical_id ");
        self.push("WHERE x.kind = 'replaces' AND x.target_logical_id = d.logical_id");
        self.push_visibility("r", visibility);
        self.push(") END AS replaced_us FROM document_entry d WHERE d.dossier_id = ");
        self.push_param(dossier.to_string().into());
        self.push(") e");
    }

    /// Adds what `shown` wants of the entries of others, at least one condition.
    fn push_shown(&mut self, alias: &'static str, shown: &Shown, at: Timestamp) {
        let mut and = "";
        for status in hidden_statuses(shown) {
            self.push(and);
            self.push_status_is_not(alias, status);
            and = " AND ";
        }
        if !shown.hidden_by.is_empty() {
            self.push(and);
            self.push_no_label_hides(alias, shown, at);
            and = " AND ";
        }
        if let Readable::Kinds(kinds) = &shown.readable {
            self.push(and);
            self.push("((");
            self.push_kinds(alias, kinds, Reach::Read);
            self.push(")");
            if !shown.specialties.is_empty() {
                self.push(" OR ((");
                self.push_kinds(alias, kinds, Reach::OwnSpecialty);
                self.push(
                    ") AND EXISTS (SELECT 1 FROM document_entry_author s WHERE s.part = 'author' AND s.entry_id = ",
                );
                self.push(alias);
                self.push(".entry_id AND s.specialty_code IN (");
                self.push_list(shown.specialties.iter().map(|specialty| specialty.as_str().into()));
                self.push(")))");
            }
            self.push(")");
        }
    }

    /// Adds that no label hides the entry, nor what replaced it: where the new version is hidden, the old one must not
    /// come forth as the current one. What is invisible to the patient leaves them what they knew before.
    fn push_no_label_hides(&mut self, alias: &'static str, shown: &Shown, at: Timestamp) {
        self.push("NOT EXISTS (SELECT 1 FROM document_entry_label l WHERE l.entry_id = ");
        self.push(alias);
        self.push(".entry_id");
        self.push_hiding_labels(&shown.hidden_by, at);
        self.push(")");
        let mut lasting = shown.hidden_by.clone();
        lasting.remove(&VisibilityLabel::InvisiblePatient);
        if lasting.is_empty() {
            return;
        }
        self.push(" AND (");
        self.push_status_is_not(alias, AvailabilityStatus::Deprecated);
        self.push(" OR NOT EXISTS (WITH RECURSIVE newer (id) AS (SELECT v.source_logical_id FROM association v");
        self.push(" WHERE v.kind = 'replaces' AND v.target_logical_id = ");
        self.push(alias);
        self.push(".logical_id UNION SELECT v.source_logical_id FROM association v JOIN newer n");
        self.push(" ON v.target_logical_id = n.id WHERE v.kind = 'replaces') SELECT 1 FROM newer n");
        self.push(
            " JOIN document_entry y ON y.logical_id = n.id JOIN document_entry_label l ON l.entry_id = y.entry_id",
        );
        self.push_hiding_labels(&lasting, at);
        self.push("))");
    }

    fn push_hiding_labels(&mut self, labels: &BTreeSet<VisibilityLabel>, at: Timestamp) {
        self.push(" AND l.label IN (");
        self.push_list(labels.iter().map(|label| label.code().into()));
        self.push(")");
        self.push_in_force(at);
    }

    /// Adds that the habilitation says `reach` of the entry: its type does, or its class while its type says nothing.
    fn push_kinds(&mut self, alias: &'static str, kinds: &ReadableKinds, reach: Reach) {
        let of = |cells: &BTreeMap<String, Reach>| -> Vec<Param> {
            cells.iter().filter(|(_, cell)| **cell == reach).map(|(code, _)| code.as_str().into()).collect()
        };
        self.push_in(alias, ".class_code IN (", of(&kinds.classes));
        if !kinds.types.is_empty() {
            self.push(" AND ");
            self.push_in(alias, ".type_code NOT IN (", kinds.types.keys().map(|code| code.as_str().into()).collect());
            self.push(" OR ");
            self.push_in(alias, ".type_code IN (", of(&kinds.types));
        }
    }

    /// Of no code at all, none is one: both databases want something between the parentheses.
    fn push_in(&mut self, alias: &'static str, condition: &'static str, mut codes: Vec<Param>) {
        if codes.is_empty() {
            codes.push(Param::Null);
        }
        self.push(alias);
        self.push(condition);
        self.push_list(codes.into_iter());
        self.push(")");
    }

    /// Adds that the label `l` has not ended at that instant.
    pub(super) fn push_in_force(&mut self, at: Timestamp) {
        self.push(" AND (l.until_us IS NULL OR l.until_us > ");
        self.push_param(at.into());
        self.push(")");
    }

    fn push_status_is_not(&mut self, alias: &'static str, status: AvailabilityStatus) {
        self.push(alias);
        self.push(".status <> '");
        self.push(status.word());
        self.push("'");
    }

    /// The holder deposited the entry, or one of its authors bears the holder's national identifier.
    fn push_own(&mut self, alias: &'static str, holder: &CallerId) {
        self.push("((");
        self.push(alias);
        self.push(".depositor_kind = ");
        self.push_param(holder.kind().into());
        self.push(" AND ");
        self.push(alias);
        self.push(".depositor = ");
        self.push_param(holder.number().into());
        self.push(") OR EXISTS (SELECT 1 FROM document_entry_author o WHERE o.part = 'author' AND o.entry_id = ");
        self.push(alias);
        let column = match holder {
            CallerId::Professional(_) => ".entry_id AND o.person_id = ",
            CallerId::Structure(_) | CallerId::Operator => ".entry_id AND o.institution_id = ",
        };
        self.push(column);
        self.push_param(holder.number().into());
        self.push("))");
    }

    /// The statement as far as it is composed.
    pub(super) fn finish(self) -> (String, Vec<Param>) {
        (self.text, self.params)
    }

    pub(super) async fn fetch_all(self, tx: &mut Tx<'_>) -> Result<Vec<Row>, Error> {
        tx.fetch_composed(self.text, self.params).await
    }
}

/// Deleted entries have a condition of their own, for they are hidden from their holder, too.
fn hidden_statuses(shown: &Shown) -> impl Iterator<Item = AvailabilityStatus> {
    let kept = |status: &AvailabilityStatus| *status != AvailabilityStatus::Deleted;
    AvailabilityStatus::ALL.into_iter().filter(kept).filter(|status| !shown.statuses.contains(status))
}

fn hides(shown: &Shown) -> bool {
    !shown.hidden_by.is_empty() || shown.readable != Readable::Every || hidden_statuses(shown).next().is_some()
}

#[cfg(test)]
mod tests;
