//! `carnet record`: accounts and the patient's list, for operators and tests. Source: G, F.2.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Database, Ending, Settings, print_json, runtime, say, say_refusals};
use crate::config::{Config, InsDomain};
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::consent::{Consent, ConsentKind, Delegate, DelegateId, DelegateRole, Grantee};
use crate::domain::dossier::{Dossier, DossierState};
use crate::domain::ids::LogicalId;
use crate::domain::ins::{Ins, InsAuthority, InsError};
use crate::domain::mail_address::MailAddress;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::identity::caller::Caller;
use crate::operation::account::{AccountMove, Opening};
use crate::operation::contact::ContactOf;
use crate::operation::gateway::Gateway;
use crate::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};
use crate::refusal::{Failure, Refusal, Rule};

/// Open, show, close and reopen a patient's record; keep the patient's list at their written demand; note contacts
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    settings: Settings,
    /// Print the outcome as JSON
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLE: &str = "Examples:
  carnet record open --ins '1.2.250.1.213.1.4.8|279035121518989'
  carnet record block --ins 279035121518989 --ps 801234567897
  carnet record mask --ins 279035121518989 --document 019a0c5e-2d7b-7f3a-8c1d-2e3f4a5b6c7d
  carnet record contact --ps 801234567897 --mail claire.martin@medecin.mssante.fr";

#[derive(Args)]
struct Patient {
    /// `OID|matricule`, or the matricule alone for the NIR authority of the first configured domain
    #[arg(long)]
    ins: String,
}

#[derive(Args)]
struct OfProfessional {
    #[command(flatten)]
    patient: Patient,
    /// `PS_IdNat` of the professional
    #[arg(long)]
    ps: PsIdNat,
}

#[derive(Args)]
struct OfDocument {
    #[command(flatten)]
    patient: Patient,
    /// Id of the DocumentReference
    #[arg(long)]
    document: LogicalId,
}

#[derive(Subcommand)]
enum Action {
    /// Open a record: it takes deposits from now on
    Open(Patient),
    /// Show state and list of a record
    Show(Patient),
    /// Close a record: nothing goes in or out
    Close(Patient),
    /// Reopen a closed record
    Reopen(Patient),
    /// Let a professional consult the record
    Authorise {
        #[command(flatten)]
        of: OfProfessional,
        #[command(flatten)]
        period: Period,
    },
    /// Let the professionals of a structure consult the record
    AuthoriseStructure {
        #[command(flatten)]
        patient: Patient,
        /// `Struct_IdNat` of the structure
        #[arg(long)]
        structure: StructIdNat,
        #[command(flatten)]
        period: Period,
    },
    /// End the authorisation of a professional
    Revoke(OfProfessional),
    /// End the authorisation of a structure
    RevokeStructure {
        #[command(flatten)]
        patient: Patient,
        /// `Struct_IdNat` of the structure
        #[arg(long)]
        structure: StructIdNat,
    },
    /// Block a professional: they consult nothing, whatever else holds; they may still deposit
    Block(OfProfessional),
    /// End a block; the authorisation does not come back by itself
    Unblock(OfProfessional),
    /// Name the médecin traitant: they also see masked documents
    MedecinTraitant(OfProfessional),
    /// End that
    EndMedecinTraitant(OfProfessional),
    /// Mask a document to professionals (MASQUE_PS)
    Mask(OfDocument),
    /// Unmask a document
    Unmask(OfDocument),
    /// Hide a document from the patient, who has not seen it (for a month), or from the legal representatives of a minor
    Conceal {
        #[command(flatten)]
        of: OfDocument,
        #[arg(long)]
        from: Concealed,
    },
    /// Show it to them again
    Reveal {
        #[command(flatten)]
        of: OfDocument,
        #[arg(long)]
        to: Concealed,
    },
    /// Mask each document to professionals as it comes
    MaskByDefault(Patient),
    /// Leave documents as they come
    EndMaskByDefault(Patient),
    /// Oppose consultation by bris de glace
    OpposeBrisDeGlace(Patient),
    /// End that opposition
    AcceptBrisDeGlace(Patient),
    /// Oppose consultation by the emergency regulation centre
    OpposeCentre15(Patient),
    /// End that opposition
    AcceptCentre15(Patient),
    /// Let emergencies see masked documents, too
    ShowMaskedInEmergencies(Patient),
    /// Keep masked documents from emergencies, as they are without this line
    HideMaskedInEmergencies(Patient),
    /// Let somebody act for the patient through the portal
    Delegate {
        #[command(flatten)]
        to: Delegation,
        #[command(flatten)]
        period: Period,
    },
    /// End that
    EndDelegation(Delegation),
    /// Where a patient, or a professional as médecin traitant, is told of emergency accesses
    Contact(Contact),
}

#[derive(Args)]
#[command(group = ArgGroup::new("whose").required(true), group = ArgGroup::new("what").required(true))]
struct Contact {
    /// The patient: `OID|matricule`, or the matricule alone
    #[arg(long, group = "whose")]
    ins: Option<String>,
    /// The professional: `PS_IdNat`
    #[arg(long, group = "whose")]
    ps: Option<PsIdNat>,
    /// Mail address from now on; what waited for one is sent
    #[arg(long, group = "what")]
    mail: Option<MailAddress>,
    /// Forget the address: notices wait
    #[arg(long, group = "what")]
    remove: bool,
}

#[derive(Args)]
struct Period {
    /// In force from this instant on (`2026-03-01T00:00:00Z`); now, unless said
    #[arg(long)]
    since: Option<Timestamp>,
    /// And until this one; without end, unless said
    #[arg(long)]
    until: Option<Timestamp>,
}

#[derive(Args)]
struct Delegation {
    #[command(flatten)]
    patient: Patient,
    /// As what they act; an aidant needs `--until`
    #[arg(long)]
    role: Role,
    /// Under which id the portal knows them
    #[arg(long)]
    id: DelegateId,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    LegalRepresentative,
    Aidant,
}

#[derive(Clone, Copy, ValueEnum)]
enum Concealed {
    Patient,
    LegalRepresentatives,
}

impl Concealed {
    fn label(self) -> VisibilityLabel {
        match self {
            Self::Patient => VisibilityLabel::InvisiblePatient,
            Self::LegalRepresentatives => VisibilityLabel::InvisibleRepresentantsLegaux,
        }
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Ending> {
    let Arguments { action, settings, json } = arguments;
    let database = if matches!(action, Action::Open(_)) { Database::Make } else { Database::MustExist };
    runtime()?.block_on(async {
        let gateway = settings.open(database).await?;
        match act(&gateway, action).await {
            Ok(answer) => {
                print(json, &answer);
                Ok(Ending::Done)
            }
            Err(failure) => say_refusals(failure, json),
        }
    })
}

fn print(json: bool, answer: &Value) {
    if json {
        return print_json(answer);
    }
    for (key, value) in answer.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Array(lines) => lines.iter().for_each(|line| say(&format!("{key}: {}", plain(line)))),
            other => say(&format!("{key}: {}", plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

async fn act(gateway: &Gateway, action: Action) -> Result<Value, Failure> {
    use ConsentState::{Active, Inactive};
    let config = &gateway.config;
    let list = |patient: Patient, kind, state| Change::always(patient, ConsentProvision::List(kind), state);
    let labelled = |of: OfDocument, label, state| {
        Change::always(of.patient, ConsentProvision::Label { document: of.document, label }, state)
    };
    let authorisation = |ps| ConsentKind::Authorisation(Grantee::Professional(ps));
    let of_structure = |structure| ConsentKind::Authorisation(Grantee::Structure(structure));
    let change = match action {
        Action::Open(patient) => return open(gateway, &read_ins(&patient.ins, config)?).await,
        Action::Show(patient) => {
            let shown = gateway.show_dossier(&read_ins(&patient.ins, config)?).await;
            return Ok(describe(&shown.map_err(no_record)?.disclose()));
        }
        Action::Close(patient) => return change(gateway, &patient, AccountMove::Close).await,
        Action::Reopen(patient) => return change(gateway, &patient, AccountMove::Reopen).await,
        Action::Authorise { of, period } => Change { period, ..list(of.patient, authorisation(of.ps), Active) },
        Action::AuthoriseStructure { patient, structure, period } => {
            Change { period, ..list(patient, of_structure(structure), Active) }
        }
        Action::Revoke(of) => list(of.patient, authorisation(of.ps), Inactive),
        Action::RevokeStructure { patient, structure } => list(patient, of_structure(structure), Inactive),
        Action::Block(of) => list(of.patient, ConsentKind::Block(of.ps), Active),
        Action::Unblock(of) => list(of.patient, ConsentKind::Block(of.ps), Inactive),
        Action::MedecinTraitant(of) => list(of.patient, ConsentKind::MedecinTraitant(of.ps), Active),
        Action::EndMedecinTraitant(of) => list(of.patient, ConsentKind::MedecinTraitant(of.ps), Inactive),
        Action::Mask(of) => labelled(of, VisibilityLabel::MasquePs, Active),
        Action::Unmask(of) => labelled(of, VisibilityLabel::MasquePs, Inactive),
        Action::Conceal { of, from } => labelled(of, from.label(), Active),
        Action::Reveal { of, to } => labelled(of, to.label(), Inactive),
        Action::MaskByDefault(patient) => list(patient, ConsentKind::MaskByDefault, Active),
        Action::EndMaskByDefault(patient) => list(patient, ConsentKind::MaskByDefault, Inactive),
        Action::OpposeBrisDeGlace(patient) => list(patient, ConsentKind::OppositionBrisDeGlace, Active),
        Action::AcceptBrisDeGlace(patient) => list(patient, ConsentKind::OppositionBrisDeGlace, Inactive),
        Action::OpposeCentre15(patient) => list(patient, ConsentKind::OppositionCentre15, Active),
        Action::AcceptCentre15(patient) => list(patient, ConsentKind::OppositionCentre15, Inactive),
        Action::ShowMaskedInEmergencies(patient) => list(patient, ConsentKind::MaskedInEmergencies, Active),
        Action::HideMaskedInEmergencies(patient) => list(patient, ConsentKind::MaskedInEmergencies, Inactive),
        Action::Delegate { to, period } => {
            let kind = to.kind();
            Change { period, ..list(to.patient, kind, Active) }
        }
        Action::EndDelegation(to) => {
            let kind = to.kind();
            list(to.patient, kind, Inactive)
        }
        Action::Contact(contact) => return set_contact(gateway, contact).await,
    };
    change.make(gateway).await
}

/// A change of the list or of a document, as the operator asks for it.
struct Change {
    patient: Patient,
    provision: ConsentProvision,
    state: ConsentState,
    period: Period,
}

impl Change {
    fn always(patient: Patient, provision: ConsentProvision, state: ConsentState) -> Self {
        Self { patient, provision, state, period: Period { since: None, until: None } }
    }

    async fn make(self, gateway: &Gateway) -> Result<Value, Failure> {
        let Self { patient, provision, state, period: Period { since, until } } = self;
        let patient = read_ins(&patient.ins, &gateway.config)?;
        let request = ConsentRequest { patient, id: None, provision, state, since, until };
        gateway.set_consent(&Caller::Operator, request).await.map_err(no_open_record)?.disclose();
        Ok(json!({ "done": true }))
    }
}

impl Delegation {
    fn kind(&self) -> ConsentKind {
        let role = match self.role {
            Role::LegalRepresentative => DelegateRole::LegalRepresentative,
            Role::Aidant => DelegateRole::Aidant,
        };
        ConsentKind::Delegation(Delegate { role, id: self.id.clone() })
    }
}

async fn open(gateway: &Gateway, ins: &Ins) -> Result<Value, Failure> {
    match gateway.open_dossier(ins).await?.disclose() {
        Opening::Opened => Ok(json!({ "opened": true })),
        Opening::WasOpen => Ok(json!({ "opened": false, "note": "it was open already" })),
        Opening::IsClosed => {
            let expected = "a record that is not closed; `carnet record reopen` opens a closed one";
            Err(Refusal::new(Rule::DossierClosed, "--ins", "a closed record", expected).into())
        }
    }
}

async fn set_contact(gateway: &Gateway, contact: Contact) -> Result<Value, Failure> {
    // One of the two, as the arguments say.
    let of = match (contact.ins, contact.ps) {
        (_, Some(ps)) => ContactOf::Professional(ps),
        (ins, None) => ContactOf::Patient(read_ins(&ins.unwrap_or_default(), &gateway.config)?),
    };
    let changed = gateway.set_contact(of, contact.mail).await.map_err(no_record)?.disclose();
    Ok(json!({ "changed": changed }))
}

async fn change(gateway: &Gateway, patient: &Patient, change: AccountMove) -> Result<Value, Failure> {
    let ins = read_ins(&patient.ins, &gateway.config)?;
    let state = gateway.move_dossier(&ins, change).await.map_err(no_record)?.disclose();
    Ok(json!({ "state": state.word() }))
}

/// Nothing is hidden from the operator: what is not found is not there.
fn no_record(failure: Failure) -> Failure {
    let expected = "an INS that `carnet record open` was given";
    instead_of(Rule::NotFound, failure, Refusal::new(Rule::NotFound, "--ins", "no such record", expected))
}

/// Nor is the operator ever denied a change of the list but for the state of the record.
fn no_open_record(failure: Failure) -> Failure {
    let expected = "the INS of an open record; `carnet record show` tells its state";
    instead_of(Rule::AccessDenied, failure, Refusal::new(Rule::NotFound, "--ins", "no open record", expected))
}

fn instead_of(rule: Rule, failure: Failure, clearer: Refusal) -> Failure {
    match failure.refusals() {
        [refusal] if refusal.rule == rule => clearer.into(),
        _ => failure,
    }
}

fn describe(dossier: &Dossier) -> Value {
    let closed = match dossier.state {
        DossierState::Closed { at } => Value::String(at.to_string()),
        DossierState::OpenNotActivated | DossierState::Activated => Value::Null,
    };
    json!({
        "dossier": dossier.id.to_string(),
        "state": dossier.state.word(),
        "closed": closed,
        "ins": dossier.ins.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "list": dossier.consents.iter().map(describe_line).collect::<Vec<_>>(),
    })
}

fn describe_line(line: &Consent) -> Value {
    let who = match &line.kind {
        ConsentKind::Authorisation(Grantee::Structure(structure)) => structure.to_string(),
        ConsentKind::Authorisation(Grantee::Professional(ps))
        | ConsentKind::Block(ps)
        | ConsentKind::MedecinTraitant(ps) => ps.to_string(),
        ConsentKind::Delegation(delegate) => delegate.id.to_string(),
        ConsentKind::OppositionBrisDeGlace
        | ConsentKind::OppositionCentre15
        | ConsentKind::MaskedInEmergencies
        | ConsentKind::MaskByDefault => "everybody".to_owned(),
    };
    let until = line.until.map_or_else(|| "no end".to_owned(), |until| until.to_string());
    json!({ "id": line.id.to_string(), "kind": line.kind.word(), "who": who, "since": line.since.to_string(), "until": until })
}

/// Reads `OID|matricule`, or a matricule alone under the NIR authority of the first configured domain.
pub(super) fn read_ins(text: &str, config: &Config) -> Result<Ins, Failure> {
    let read = if text.contains('|') { text.parse() } else { Ins::parse(text, default_authority(config).oid()) };
    read.map_err(|error: InsError| {
        let rule = if error == InsError::Key { Rule::InsKey } else { Rule::InsForm };
        Refusal::new(rule, "--ins", crate::domain::ins::mask(text), error.to_string()).into()
    })
}

fn default_authority(config: &Config) -> InsAuthority {
    match config.dmp.ins_domains.first() {
        Some(InsDomain::Test) => InsAuthority::NirTest,
        Some(InsDomain::Demo) => InsAuthority::Demonstration,
        Some(InsDomain::Production) | None => InsAuthority::Nir,
    }
}
